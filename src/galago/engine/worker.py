"""A thread that is there while there is work, and gone when there is none."""

from __future__ import annotations

import atexit
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from galago.errors import OutOfMemoryError

Work = Callable[[], None]
LOOK_UP_S = 0.5
"""A signal that comes just before a thread falls asleep is seen this late."""


class _Running:
    """The threads of all workers of the process. When it ends none is started any more."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._leaving = False
        atexit.register(self._leave)  # before any engine is made, so after whatever else happens at the end

    @property
    def leaving(self) -> bool:
        """Whether the process ends."""
        return self._leaving

    def start(self, thread: threading.Thread) -> None:
        """Start a thread; raises RuntimeError where the system has none left, or the process ends."""
        with self._door:
            if self._leaving:
                raise RuntimeError("the process ends")
            thread.start()
            self._threads.add(thread)

    def ends(self) -> None:
        """The thread that calls this has done its last piece of work."""
        self._threads.discard(threading.current_thread())

    def _leave(self) -> None:
        """No thread may be inside a kernel when the interpreter goes: see what they do to its end."""
        with self._door:
            self._leaving = True
        for thread in list(self._threads):
            thread.join()


_running = _Running()


def hear(news: SimpleQueue[None]) -> None:
    """Sleep until there is news, or for `LOOK_UP_S`; holds no lock, so an interrupt leaves none held."""
    with suppress(Empty):
        news.get(timeout=LOOK_UP_S)


class Worker:
    """Calls `take` with the lock held for the next piece of work, does it without the lock, and again.

    The thread ends when `take` gives None; `wake` starts another, in the context (kernels, back end) of who
    wakes it. `failed` is told, with the lock held, what a piece of work raises beyond its own handling, which
    is our bug, and that no thread could be started, so that nobody waits for ever. Where nothing is left
    after work was done, `rest` may give a last piece, the lock held too. At the end of the process the piece
    that is being done is finished.
    """

    def __init__(
        self,
        name: str,
        lock: threading.Lock,
        take: Callable[[], Work | None],
        failed: Callable[[BaseException], None],
        rest: Callable[[], Work | None] | None = None,
    ) -> None:
        self._name, self._lock = name, lock
        self._take, self._failed, self._rest = take, failed, rest
        self._tired = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """See that the thread runs; the lock is held."""
        if self._thread is not None and self._thread.is_alive():
            return
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=self._name, daemon=True)
        try:
            _running.start(self._thread)
        except (RuntimeError, MemoryError) as error:
            self._thread = None
            self._failed(
                OutOfMemoryError(
                    f"no thread could be started: {error}",
                    hint="end other programs, or allow more processes and memory (ulimit -u, ulimit -v)",
                )
            )

    def _run(self) -> None:
        while True:
            with self._lock:
                work = None
                try:
                    work = None if _running.leaving else self._next()
                except BaseException as error:  # noqa: BLE001 - the edge of a thread: told to who waits
                    self._failed(error)
                if work is None:
                    self._thread = None
                    _running.ends()
                    return
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - the edge of a thread: told to who waits
                with self._lock:
                    self._failed(error)

    def _next(self) -> Work | None:
        work = self._take()
        if work is not None:
            self._tired = True
        elif self._tired and self._rest is not None:
            work = self._rest()
            self._tired = work is None
        return work
