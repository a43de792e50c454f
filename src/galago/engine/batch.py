"""Several answers written together: every product is computed once for the rows of all of them.

Answers join while others are written. Places are given in the order of arrival; who waits for a picture, or
for a prompt being fed that begins like its own, lets others by. A prompt that begins like one that is kept,
or like one being fed right now, takes over those keys and values. One that others wait for is fed to where
theirs part from it, then all go on together. Of answers that are given back together all pictures are encoded
first, then all prompts fed, so that the answers are written together. Knows nothing of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galago.engine.decode import decode
from galago.engine.generation import Generation
from galago.engine.grammar import Constraint
from galago.engine.job import Job
from galago.engine.kv import SequenceCache
from galago.engine.load import LoadedModel
from galago.engine.memory import memory_errors
from galago.engine.prefix import PrefixStore, common
from galago.engine.share import BESIDE, CHUNK, Pending, share
from galago.frozen import frozen
from galago.text import StreamDecoder

Computing = Callable[[], AbstractContextManager[None]]
"""What the threads of an engine are in while they compute."""
TOGETHER = 8
"""Answers written at the same time; more wait."""
WORTH_WAITING = 16
"""Tokens that a prompt must gain from another's prefill to wait for it."""


class _Beginning(NamedTuple):
    """Of a prompt: tokens that are held, by which cache; how many will be soon, and whose doing that is."""

    held: int
    source: SequenceCache | None
    promised: int
    giver: Job | None


@frozen
class Step:
    """Rows of some jobs for one call of the decoder, and what came of it."""

    model: LoadedModel
    shares: list[tuple[Job, int]]
    outcomes: list[NDArray[np.float32] | Exception | None]

    def compute(self, computing: Computing = nullcontext) -> None:
        """Fill `outcomes`: logits, None where a prompt is not fed to its end, or what went wrong.

        What fails for all together is tried for each alone, so that only those fail whose fault it is.
        Every try is inside `computing`.
        """
        self.outcomes[:] = self._decoded(self.shares, computing)

    def _decoded(
        self, shares: list[tuple[Job, int]], computing: Computing
    ) -> Sequence[NDArray[np.float32] | Exception | None]:
        rows = [(job.generation, count) for job, count in shares if job.generation is not None]
        try:
            with computing():
                return decode(self.model.network, rows)
        except Exception as error:  # noqa: BLE001 - the edge of a request: raised where the answer is awaited
            if len(shares) == 1:
                return [error]
            return [outcome for one in shares for outcome in self._decoded([one], computing)]


class Batch:
    """The answers being written and those that wait; `begin`, `Step.compute` and `finish` make one step.

    `begin`, `finish` and `add` are called by one thread at a time; `compute` touches nothing that they read.
    """

    def __init__(
        self,
        model: LoadedModel,
        prefixes: PrefixStore,
        new_cache: Callable[[], SequenceCache],
        *,
        chunk: int = CHUNK,
        beside: int = BESIDE,
        together: int = TOGETHER,
    ) -> None:
        self._model, self._prefixes, self._new_cache = model, prefixes, new_cache
        self._chunk, self._beside, self._together = chunk, beside, together
        self._waiting: list[Job] = []
        self._active: list[Job] = []

    @property
    def jobs(self) -> list[Job]:
        """All that have not ended, in the order of arrival as far as they wait."""
        return [*self._active, *self._waiting]

    @property
    def caches(self) -> list[SequenceCache]:
        """The keys and values of the answers being written."""
        return [job.generation.cache for job in self._active if job.generation]

    def add(self, job: Job) -> None:
        """Take a job in; it begins with the first step that has a place for it and its pictures encoded."""
        self._waiting.append(job)

    def begin(self) -> Step | None:
        """End what was cancelled, admit what can start: the rows to compute now, None when there are none."""
        for job in [job for job in self.jobs if job.cancelled]:
            self._cancel(job)
        partings: dict[Job, int] = {}
        self._waiting = [job for job in self._waiting if not self._admit(job, partings)]
        held = self._held()
        free = [job for job in self._active if job not in held]
        pending = [_pending(job, partings.get(job)) for job in free]
        rows = share(pending, self._chunk, self._beside)
        shares = [(job, count) for job, count in zip(free, rows, strict=True) if count]
        return Step(self._model, shares, []) if shares else None

    def finish(self, step: Step) -> None:
        """Append a token wherever all rows are fed; who has ended leaves."""
        for (job, _), outcome in zip(step.shares, step.outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._fail(job, outcome)
            elif outcome is not None:
                self._take(job, outcome)

    def step(self) -> bool:
        """One whole step; whether there was anything to compute."""
        step = self.begin()
        if step is not None:
            step.compute()
            self.finish(step)
        return step is not None

    def fail(self, error: BaseException) -> None:
        """End everything with an error of ours."""
        for job in self.jobs:
            self._fail(job, error)

    def _take(self, job: Job, logits: NDArray[np.float32]) -> None:
        assert job.generation is not None
        if job.first_token is None:
            job.first_token = time.perf_counter()
        try:
            job.generation.take(logits)
        except Exception as error:  # noqa: BLE001 - the edge of a request: raised where the answer is awaited
            self._fail(job, error)
            return
        if job.generation.finished:
            self._retire(job)
        elif job.streamed:
            job.news.put(None)

    def _held(self) -> Sequence[Job]:
        """Those that wait for others of their crowd: to write till all are fed, to be fed till all are seen.

        None while anybody else's answer is written.
        """
        waiting = self._waiting if len(self._active) < self._together else []
        unseen = [job for job in waiting if not job.seen]
        feeding = [job for job in self._active if not _is_writing(job)]
        held = []
        for job in self._active:
            coming = [*feeding, *waiting] if _is_writing(job) else unseen
            if not job.streamed and any(other in job.crowd for other in coming):
                held.append(job)
            elif _is_writing(job):
                return ()
        return held

    def _admit(self, job: Job, partings: dict[Job, int]) -> bool:
        """Start a job, or end it: False while there is no room or another computes what it needs.

        `partings` then learns after how many tokens of the other's prompt this one parts from it.
        """
        broken = next((sight.error for sight in job.sights if sight.error), None)
        if broken is not None:
            self._fail(job, broken)
            return True
        if len(self._active) >= self._together or not job.seen:
            return False
        held, source, promised, other = self._beginning(job)
        if other is not None and promised >= held + WORTH_WAITING:
            partings[other] = min(promised, partings.get(other, promised))
            return False
        expected = len(job.prompt) + min(job.request.params.max_tokens, CHUNK)
        job.fed = time.perf_counter()
        try:
            with memory_errors(self._model.name):
                new = (
                    source.fork(held, expected=expected, head=job.prompt.head)
                    if source
                    else self._new_cache()
                )
                new.reserve(expected)
            job.generation = self._generation(job, new, job.constraint)
        except Exception as error:  # noqa: BLE001 - the edge of a request: raised where the answer is awaited
            self._fail(job, error)
            return True
        self._active.append(job)
        if job.generation.finished:  # a constraint that leaves no choice at all
            self._retire(job)
        return True

    def _beginning(self, job: Job) -> _Beginning:
        identity, most = job.prompt.identity, len(job.prompt) - 1  # the last token's logits are needed
        held, source = self._prefixes.find(identity)
        promised, giver = 0, None
        for other in self._active:
            assert other.generation is not None
            shared = common(other.prompt.identity, identity)
            if shared > promised:
                promised, giver = shared, other
            if min(shared, len(other.generation.cache)) > held:
                held, source = min(shared, len(other.generation.cache)), other.generation.cache
        return _Beginning(min(held, most), source, min(promised, most), giver)

    def _generation(self, job: Job, cache: SequenceCache, constraint: Constraint | None = None) -> Generation:
        return Generation(
            job.prompt,
            job.request.params,
            cache=cache,
            end_ids=self._model.end_ids,
            room=self._model.context,
            decoder=StreamDecoder(self._model.tokenizer, show_special=job.request.show_special),
            constraint=constraint,
        )

    def _cancel(self, job: Job) -> None:
        if job.generation is None:
            job.generation = self._generation(job, self._new_cache())
        job.generation.cancel()
        self._retire(job)

    def _fail(self, job: Job, error: BaseException) -> None:
        """End a job without an answer; nothing of it is kept."""
        job.error, job.generation = error, None
        self._leave(job)

    def _retire(self, job: Job) -> None:
        """End a job; its keys and values are kept for others, unless they are garbage or memory has ended."""
        assert job.generation is not None
        if job.generation.finish_reason != "garbage":
            with suppress(MemoryError):
                self._prefixes.put(job.generation.identity, job.generation.cache, job.prompt.head)
        self._leave(job)

    def _leave(self, job: Job) -> None:
        self._active = [one for one in self._active if one is not job]
        self._waiting = [one for one in self._waiting if one is not job]
        job.end(time.perf_counter())


def _pending(job: Job, parting: int | None) -> Pending:
    """What a job has yet to feed; up to where others wait for it, if they do."""
    assert job.generation is not None
    wanted = job.generation.wanted
    if parting is not None:
        wanted = min(wanted, parting - len(job.generation.cache))
    return Pending(wanted, job.generation.is_writing)


def _is_writing(job: Job) -> bool:
    return job.generation is not None and job.generation.is_writing
