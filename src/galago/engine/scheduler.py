"""The one loop of an engine: requests of any thread join it, and every step computes the rows of all of them.

The loop runs in a thread of its own while there is something to compute; who waits for an answer sleeps. It
sees to the order of things; what a step computes is `Batch`'s and `share`'s matter.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from galago.engine.batch import Batch, Computing, Step
from galago.engine.encoding import EncodeQueue
from galago.engine.job import Job
from galago.engine.worker import Work, Worker, hear


class Scheduler:
    """Methods may be called by any thread that does not hold the lock.

    `rest` is the `Worker`'s.
    """

    def __init__(
        self,
        batch: Batch,
        lock: threading.Lock,
        computing: Computing,
        rest: Callable[[], Work | None] | None = None,
    ) -> None:
        self._batch, self._lock, self._computing = batch, lock, computing
        self._worker = Worker("galago-decode", lock, self._take, batch.fail, rest)

    def submit(self, job: Job, pictures: EncodeQueue) -> None:
        """Have a job's pictures encoded and its answer written."""
        with self._lock:
            for sight in job.sights:
                pictures.add(sight)
            self._batch.add(job)
            self._worker.wake()

    def wake(self) -> None:
        """Look again at the jobs that wait for pictures; the lock is held."""
        if self._batch.jobs:
            self._worker.wake()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """End jobs where they are, within one step; those that have ended stay as they are.

        One that an interrupt has kept from being submitted ends at once.
        """
        for job in jobs:
            job.cancelled = True
        with self._lock:
            for job in jobs:
                if not job.finished and job not in self._batch.jobs:
                    job.end(time.perf_counter())
            self.wake()

    def wait(self, job: Job) -> Job:
        """The job when it has ended; raises what ended it without an answer."""
        while not job.finished:
            hear(job.news)
        if job.error is not None:
            raise job.error
        return job

    def piece(self, job: Job) -> str:
        """What the answer has gained, as soon as it has gained something; empty when it has ended.

        Raises what ended the job without an answer.
        """
        while True:
            with self._lock:
                piece, is_last = "" if job.generation is None else job.generation.new_text(), job.finished
            if piece or is_last:
                break
            hear(job.news)
        if job.error is not None and not piece:
            raise job.error
        return piece

    def _take(self) -> Work | None:
        step = self._batch.begin()
        return None if step is None else partial(self._run, step)

    def _run(self, step: Step) -> None:
        step.compute(self._computing)
        with self._lock:
            self._batch.finish(step)
