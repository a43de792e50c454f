"""Every kernel in numpy: the definition that the others are compared with.

Sums are float64 and results float32. Plain and slow on purpose; chosen only by `using(backend="numpy")`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago import packing
from galago.errors import UsageError
from galago.packing import Bits, PackedWeight, Weight, take_rows, to_dense, unpack_parts

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]

_TINY: Final = np.float32(1e-30)
"""Groups of activations below this count as zero: 127 / max would overflow."""


def linear(x: F32, weight: Weight, bias: F32 | None = None, residual: F32 | None = None) -> F32:
    """x [T, K], weight [N, K], bias [N], residual [T, N] -> [T, N]."""
    _check(x.shape[-1] == weight.shape[1], f"x {list(x.shape)} does not fit a weight {list(weight.shape)}")
    if isinstance(weight, PackedWeight):
        y = _packed_product(x, weight)
    else:
        y = x.astype(np.float64) @ to_dense(weight).astype(np.float64).T
    y = y if bias is None else y + bias
    return _narrow(y if residual is None else y + residual)


def linear_best(x: F32, weight: Weight, _rough: Weight, _best: int) -> F32:
    """x [1, K], weight [N, K] -> [1, N]."""
    return linear(x, weight)


def linears(x: F32, weights: Sequence[Weight], biases: Sequence[F32 | None]) -> list[F32]:
    """x [T, K], weights [N_i, K], biases [N_i] -> [T, N_i]."""
    return [linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def gated(x: F32, weights: Sequence[Weight], biases: Sequence[F32 | None]) -> F32:
    """x [T, K], two weights [N, K], biases [N] -> [T, N]."""
    return silu_mul(*linears(x, weights, biases))


def quantise(x: F32, group: int) -> tuple[NDArray[np.int8], F32]:
    """x [T, K] -> int8 [T, groups, group] (columns padded with 0) and scales [T, groups], x = scale * int8.

    scale = max |x| / 127 in each group. A group whose maximum is below 1e-30 is zero; one that is not finite
    has the scale NaN and the integers 0, so that the whole token becomes NaN.
    """
    tokens, cols = x.shape
    groups = -(-cols // group)
    padded = np.zeros((tokens, groups * group), np.float32)
    padded[:, :cols] = x
    parts = padded.reshape(tokens, groups, group)
    peak = np.abs(parts).max(axis=-1, initial=0)  # NaN if any is
    good = np.isfinite(peak)
    used = good & (peak >= _TINY)
    inverse = np.divide(np.float32(127), peak, out=np.zeros_like(peak), where=used)
    with np.errstate(invalid="ignore"):
        scaled = np.where(used[..., None], parts * inverse[..., None], 0)
    scale = np.where(good, np.where(used, peak / np.float32(127), 0), np.nan)
    return np.rint(scaled).astype(np.int8), scale.astype(np.float32)


def _packed_product(x: F32, weight: PackedWeight) -> F64:
    values, scales, offsets = unpack_parts(weight)  # [N', groups, group], [N', groups]
    integers, step = quantise(x, weight.group)
    sums = integers.sum(axis=-1, dtype=np.int64)
    y = np.zeros((len(x), len(values)))
    for g in range(values.shape[1]):
        dot = integers[:, g].astype(np.float64) @ values[:, g].astype(np.float64).T  # exact integers
        y += step[:, g, None] * scales[:, g] * dot
        if offsets is not None:
            y += step[:, g, None] * offsets[:, g] * sums[:, g, None]
    return y[:, : weight.rows]


def pack(dense: F32, bits: Bits, group: int | None = None) -> PackedWeight:
    """dense [N, K] -> packed."""
    return packing.pack(dense, bits, group)


def embed(weight: Weight, ids: NDArray[np.integer]) -> F32:
    """weight [V, D], ids [T] -> [T, D]."""
    rows = weight.shape[0]
    if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < rows):
        raise UsageError(f"ids from {ids.min()} to {ids.max()} do not fit an embedding of {rows} rows")
    return take_rows(weight, ids)


def rms_norm(x: F32, weight: F32, eps: float) -> F32:
    """x [T, D], weight [D] -> [T, D]."""
    wide = x.astype(np.float64)
    mean = np.square(wide).mean(axis=-1, keepdims=True)
    return _narrow(wide / np.sqrt(mean + eps) * weight)


def layer_norm(x: F32, weight: F32, bias: F32, eps: float) -> F32:
    """x [T, D], weight [D], bias [D] -> [T, D]."""
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return _narrow(centred / np.sqrt(variance + eps) * weight + bias)


def rotate(x: F32, cos: F32, sin: F32) -> F32:
    """x [T, H, d], cos and sin [T, d/2] -> [T, H, d]."""
    half = x.shape[-1] // 2
    _check(cos.shape == sin.shape == (len(x), half), f"cos {list(cos.shape)} does not fit x {list(x.shape)}")
    first, second = x[..., :half], x[..., half:]
    c, s = cos[:, None], sin[:, None]
    out = np.empty(x.shape, np.float32)
    out[..., :half] = first * c - second * s
    out[..., half:] = second * c + first * s
    return out


def attention(q: F32, k: F32, v: F32, *, causal: bool, bounds: NDArray[np.int32] | None = None) -> F32:
    """q [T, H, d], k and v [S, G, d] -> [T, H, d]."""
    (tokens, heads, size), (keys, kv_heads) = q.shape, k.shape[:2]
    _check(heads % kv_heads == 0, f"{heads} query heads are no multiple of {kv_heads} key heads")
    _check(not causal or keys >= tokens, f"{tokens} tokens are more than {keys} keys")
    _check(
        bounds is None or (keys == tokens and not causal), "bounds are for self-attention that is not causal"
    )
    if tokens == 0:
        return np.empty_like(q)
    _check(keys > 0, "there are no keys to attend to")
    grouped = q.astype(np.float64).reshape(tokens, kv_heads, -1, size)
    scores = np.einsum("tgrd,sgd->grts", grouped, k.astype(np.float64)) / math.sqrt(size)
    place = np.arange(keys)
    seen = np.ones((tokens, keys), bool)
    if causal:
        seen = place <= np.arange(tokens)[:, None] + keys - tokens
    if bounds is not None:
        segment = np.searchsorted(bounds, place, side="right")
        seen = segment[:, None] == segment
    scores = np.where(seen, scores, -np.inf)
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    y = np.einsum("grts,sgd->tgrd", weights, v.astype(np.float64))
    return _narrow(y.reshape(q.shape))


def silu(x: F32) -> F32:
    """x [...] -> [...]."""
    return _times_sigmoid(x, x.astype(np.float64))


def gelu(x: F32) -> F32:
    """x [...] -> [...]."""
    wide = x.astype(np.float64)
    return _narrow(0.5 * wide * _erfc(wide * -math.sqrt(0.5)))


def gelu_tanh(x: F32) -> F32:
    """x [...] -> [...]; 0.5 (1 + tanh(u)) = sigmoid(2 u)."""
    wide = x.astype(np.float64)
    return _times_sigmoid(x, 2 * math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))


def quick_gelu(x: F32) -> F32:
    """x [...] -> [...]."""
    return _times_sigmoid(x, 1.702 * x.astype(np.float64))


def silu_mul(gate: F32, up: F32) -> F32:
    """gate, up [...] -> [...]."""
    _check(gate.shape == up.shape, f"gate {list(gate.shape)} and up {list(up.shape)} differ")
    wide = gate.astype(np.float64)
    return _times_sigmoid(wide * up, wide)


def is_finite(x: F32) -> bool:
    """Whether no element is infinite or NaN."""
    return bool(np.isfinite(x).all())


def _times_sigmoid(x: F32 | F64, u: F64) -> F32:
    with np.errstate(over="ignore"):
        return _narrow(x / (1 + np.exp(-u)))


def _erfc(x: F64) -> F64:
    return np.array([math.erfc(value) for value in x.ravel()]).reshape(x.shape)


def _narrow(wide: F64) -> F32:
    """Float64 -> float32; what overflows becomes infinite, as it does in float32 sums."""
    with np.errstate(over="ignore"):
        return wide.astype(np.float32)


def _check(good: object, message: str) -> None:
    if not good:
        raise UsageError(message)
