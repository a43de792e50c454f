"""The compiled kernels, and somebody who is told what is multiplied with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.kernels import native
from galago.kernels.context import using
from galago.packing import Weight

F32 = NDArray[np.float32]

Observer: TypeAlias = Callable[[F32, Sequence[Weight]], None]
"""Told x [T, K] and the weights [N_i, K] that it is multiplied with."""

_OBSERVER: ContextVar[Observer] = ContextVar("galago.kernels.observing")

layers = None
"""Layers are not computed as one kernel: their products would not be seen."""


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Tell of every product computed inside, before it is computed, in whatever thread."""
    token = _OBSERVER.set(observer)
    try:
        with using(backend="observing"):
            yield
    finally:
        _OBSERVER.reset(token)


def linear(x: F32, weight: Weight, bias: F32 | None = None, residual: F32 | None = None) -> F32:
    """x [T, K], weight [N, K], bias [N], residual [T, N] -> [T, N]."""
    _OBSERVER.get()(x, [weight])
    return native.linear(x, weight, bias, residual)


def linears(x: F32, weights: Sequence[Weight], biases: Sequence[F32 | None]) -> list[F32]:
    """x [T, K], weights [N_i, K], biases [N_i] -> [T, N_i]."""
    _OBSERVER.get()(x, weights)
    return native.linears(x, weights, biases)


def gated(x: F32, weights: Sequence[Weight], biases: Sequence[F32 | None]) -> F32:
    """x [T, K], two weights [N, K], biases [N] -> [T, N]."""
    _OBSERVER.get()(x, weights)
    return native.gated(x, weights, biases)


def __getattr__(name: str) -> Any:
    return getattr(native, name)
