"""A back end that computes nothing and counts: what the products of a model cost, without the time they take.

Results are zeros of the right shape. A weight is anything with a shape: one without numbers will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago import packing
from galago.frozen import frozen
from galago.kernels.context import current, using
from galago.packing import Bits, PackedWeight

F32 = NDArray[np.float32]


@frozen
class Stub:
    """A weight without numbers, for counting alone: its shape, the bytes it would hold, its arithmetic."""

    shape: tuple[int, ...]
    nbytes: int
    is_packed: bool


@dataclass
class Tally:
    """What was asked for so far: multiply-adds by what multiplies them, and bytes of the matrices read.

    `int8` are products with packed weights, `f32` those with weights that are computed with as floats. A
    matrix counts as read once by each product, however many rows it has. `rounded` is attention that may
    round its factors. `calls` are those of all kernels.
    """

    int8: int = 0
    f32: int = 0
    attention: int = 0
    weight_bytes: int = 0
    calls: int = 0
    rounded: int = 0


_TALLY: ContextVar[Tally] = ContextVar("galago.kernels.counting")


@contextmanager
def counting() -> Iterator[Tally]:
    """Count the kernels called inside instead of computing them; the tally grows as they come."""
    tally = Tally()
    token = _TALLY.set(tally)
    try:
        with using(backend="counting"):
            yield tally
    finally:
        _TALLY.reset(token)


def linear(x: F32, weight: Any, _bias: Any = None, _residual: Any = None) -> F32:
    """x [T, K], weight [N, K] -> zeros [T, N]."""
    tally = _TALLY.get()
    tally.calls += 1
    return _product(tally, x, weight)


def _product(tally: Tally, x: F32, weight: Any) -> F32:
    rows, columns = weight.shape
    if isinstance(weight, PackedWeight) or getattr(weight, "is_packed", False):
        tally.int8 += len(x) * rows * columns
    else:
        tally.f32 += len(x) * rows * columns
    tally.weight_bytes += getattr(weight, "nbytes", 0)
    return np.zeros((len(x), rows), np.float32)


def linear_best(x: F32, _weight: Any, rough: Any, _best: int) -> F32:
    """x [1, K], a weight [N, K] and its coarse copy -> zeros [1, N]; little is read of the weight."""
    return linear(x, rough)


def linears(x: F32, weights: Sequence[Any], _biases: Sequence[Any]) -> list[F32]:
    """x [T, K], weights [N_i, K] -> zeros [T, N_i]."""
    tally = _TALLY.get()
    tally.calls += 1
    return [_product(tally, x, weight) for weight in weights]


def gated(x: F32, weights: Sequence[Any], biases: Sequence[Any]) -> F32:
    """x [T, K], two weights [N, K] -> zeros [T, N]."""
    return linears(x, weights, biases)[0]


def pack(dense: F32, bits: Bits, group: int | None = None) -> PackedWeight:
    """dense [N, K] -> packed zeros."""
    return packing.empty_like(dense, bits, group)


def embed(weight: Any, ids: NDArray[np.integer]) -> F32:
    """weight [V, D], ids [T] -> zeros [T, D]; rows are looked up, nothing is multiplied."""
    _TALLY.get().calls += 1
    return np.zeros((len(ids), weight.shape[1]), np.float32)


def attention(q: F32, k: F32, _v: F32, *, causal: bool, bounds: NDArray[np.int32] | None = None) -> F32:
    """q [T, H, d], k and v [S, G, d] -> zeros [T, H, d]; each query meets the keys it sees, twice d times."""
    tokens, heads, size = q.shape
    if bounds is not None:
        pairs = sum(length * length for length in np.diff(bounds).tolist())
    elif causal:
        pairs = causal_pairs(tokens, len(k))
    else:
        pairs = tokens * len(k)
    tally = _TALLY.get()
    tally.calls += 1
    if current().round_attention and not causal:
        tally.rounded += 2 * pairs * heads * size
    else:
        tally.attention += 2 * pairs * heads * size
    return np.zeros(q.shape, np.float32)


def causal_pairs(tokens: int, keys: int) -> int:
    """Pairs of a query and a key it sees, for the last `tokens` of `keys` tokens."""
    return tokens * (keys - tokens) + tokens * (tokens + 1) // 2


def _same(x: F32, *_: Any) -> F32:
    """Zeros of the shape of x: what is done to each element is a call and no more."""
    _TALLY.get().calls += 1
    return np.zeros(x.shape, np.float32)


rms_norm = layer_norm = rotate = silu = gelu = gelu_tanh = quick_gelu = silu_mul = _same


def is_finite(_x: F32) -> bool:
    """Zeros are."""
    return True
