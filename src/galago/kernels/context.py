"""What the kernels run on in the current context: back end, instruction set, thread pool."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final, Literal, get_args

from galago.errors import UsageError
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago.kernels import _native

Backend = Literal["native", "numpy", "counting", "observing"]


class ThreadPool:
    """Worker threads of the native kernels. They start at the first product that is worth sharing.

    One pool may serve several Python threads: a call that finds it busy runs on its own thread alone.
    A forked child starts its own workers. The results do not depend on the number of threads.
    """

    def __init__(self, threads: int | None = None) -> None:
        """`threads` counts the calling thread too; None means every processor this process may use."""
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads!r}; it must be 1 or more")
        self.threads = usable_processors() if threads is None else threads

    @cached_property
    def native(self) -> _native.Pool:
        """The pool of the compiled extension."""
        from galago.kernels import _native

        return _native.Pool(self.threads)

    def __repr__(self) -> str:
        return f"ThreadPool({self.threads})"


@frozen
class Context:
    """How numpy arrays are computed with; torch tensors bring their own device and threads."""

    backend: Backend = "native"
    isa: str | None = None
    pool: ThreadPool | None = None
    round_attention: bool = False


_DEFAULT: Final = Context()
_CONTEXT: ContextVar[Context] = ContextVar("galago.kernels", default=_DEFAULT)


def current() -> Context:
    """The context of this thread or task."""
    return _CONTEXT.get()


@contextmanager
def using(
    *,
    threads: int | ThreadPool | None = None,
    isa: str | None = None,
    backend: Backend | None = None,
    round_attention: bool | None = None,
) -> Iterator[None]:
    """Run the kernels called inside with these threads, instruction set or back end; None keeps what holds.

    With `round_attention`, attention that is not causal may round what it multiplies to bfloat16, where an
    instruction set is faster with it. Causal attention never does: a row is the same alone and among others.

    Raises UsageError for a back end that does not exist or an instruction set that this machine cannot run.
    """
    changes: dict[str, object] = {}
    if threads is not None:
        changes["pool"] = threads if isinstance(threads, ThreadPool) else shared_pool(threads)
    if isa is not None:
        from galago.kernels.native import check_isa

        check_isa(isa)
        changes["isa"] = isa
    if backend is not None:
        if backend not in get_args(Backend):
            raise UsageError(f"there is no back end {backend!r}", hint="use native or numpy")
        changes["backend"] = backend
    if round_attention is not None:
        changes["round_attention"] = round_attention
    token = _CONTEXT.set(replace(_CONTEXT.get(), **changes))  # type: ignore[arg-type]
    try:
        yield
    finally:
        _CONTEXT.reset(token)


@cache
def shared_pool(threads: int | None = None) -> ThreadPool:
    """The pool of this size that everybody shares who does not bring one."""
    return ThreadPool(threads)


def usable_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
