"""The kernels on numpy arrays, computed by the compiled extension.

Chooses the native function by the kind of weight, makes the result array, hands over pool and instruction
set. The extension checks shapes, types and layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import addressof, c_char
from functools import cache
from math import prod
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.errors import MissingDependencyError, UsageError
from galago.kernels.context import current, shared_pool
from galago.kernels.whole import LayerWeights, Room, WholeLayers
from galago.packing import Bf16Weight, Bits, PackedWeight, Weight, beyond_float16, empty_like

try:
    from galago.kernels import _native
except ImportError as error:
    raise MissingDependencyError(
        f"the compiled kernels cannot be loaded: {error}",
        hint="`pip install .` in the source tree builds them; it needs a C++ compiler",
    ) from error

F32: TypeAlias = NDArray[np.float32]

CANDIDATES: Final = 96
"""Panels of a screened product that are computed again: those with the largest coarse elements."""

SURE: Final = 6.0
"""Times what a coarse row errs by, root-mean-square, that must lie between the best rows and the others."""

LINE: Final = 64
"""Bytes of a cache line."""


def linear(x: F32, weight: Weight, bias: F32 | None = None, residual: F32 | None = None) -> F32:
    """x [T, K], weight [N, K], bias [N], residual [T, N] -> [T, N]."""
    out = _empty((x.shape[0], weight.shape[0]))
    pool, isa = _place()
    if isinstance(weight, PackedWeight):
        _native.linear_packed(pool, isa, x, [_packed(weight)], [bias], [out], residual)
        return out
    if isinstance(weight, Bf16Weight):
        _native.linear_bf16(pool, isa, x, weight.bits, bias, out)
    else:
        _native.linear_f32(pool, isa, x, weight, bias, out)
    return out if residual is None else np.add(out, residual, out)


def linear_best(x: F32, weight: Weight, rough: Weight, best: int) -> F32:
    """x [1, K], weight [N, K] and its coarse copy -> [1, N]."""
    if isinstance(weight, PackedWeight) and isinstance(rough, PackedWeight) and best <= CANDIDATES:
        out = _empty((1, weight.rows))
        whole, coarse = _packed(weight), _packed(rough)
        if _native.linear_best(*_place(), x, whole, coarse, best, CANDIDATES, SURE, out):
            return out
    return linear(x, weight)


def linears(x: F32, weights: Sequence[Weight], biases: Sequence[F32 | None]) -> list[F32]:
    """x [T, K], weights [N_i, K], biases [N_i] -> [T, N_i]."""
    packed = _alike(weights)
    if packed is None:
        return [linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    outs = [_empty((x.shape[0], weight.shape[0])) for weight in weights]
    _native.linear_packed(*_place(), x, packed, list(biases), outs, None)
    return outs


def gated(x: F32, weights: Sequence[Weight], biases: Sequence[F32 | None]) -> F32:
    """x [T, K], two weights [N, K], biases [N] -> [T, N]."""
    packed = _alike(weights)
    if packed is None:
        return silu_mul(*linears(x, weights, biases))
    out = _empty((x.shape[0], weights[0].shape[0]))
    _native.gated_packed(*_place(), x, packed, list(biases), [out])
    return out


def pack(dense: F32, bits: Bits, group: int | None = None) -> PackedWeight:
    """dense [N, K] -> packed, as `packing.pack` does it."""
    weight = empty_like(dense, bits, group)
    rows = np.ascontiguousarray(dense, np.float32)
    if not _native.pack(*_place(), rows, bits, weight.group, weight.codes, weight.scales, weight.steps):
        raise beyond_float16(dense)
    return weight


def embed(weight: Weight, ids: NDArray[np.integer]) -> F32:
    """weight [V, D], ids [T] -> [T, D]."""
    places = np.ascontiguousarray(ids, np.int64)
    out = _empty((len(places), weight.shape[1]))
    if isinstance(weight, PackedWeight):
        _native.embed_packed(_packed(weight), places, out)
    elif isinstance(weight, Bf16Weight):
        _native.embed_bf16(weight.bits, places, out)
    else:
        _native.embed_f32(weight, places, out)
    return out


def rms_norm(x: F32, weight: F32, eps: float) -> F32:
    """x [T, D], weight [D] -> [T, D]."""
    out = _empty(x.shape)
    _native.rms_norm(*_place(), x, weight, eps, out)
    return out


def layer_norm(x: F32, weight: F32, bias: F32, eps: float) -> F32:
    """x [T, D], weight [D], bias [D] -> [T, D]."""
    out = _empty(x.shape)
    _native.layer_norm(*_place(), x, weight, bias, eps, out)
    return out


def rotate(x: F32, cos: F32, sin: F32) -> F32:
    """x [T, H, d], cos and sin [T, d/2] -> [T, H, d]."""
    out = _empty(x.shape)
    _native.rotate(*_place(), x, cos, sin, out)
    return out


def attention(q: F32, k: F32, v: F32, *, causal: bool, bounds: NDArray[np.int32] | None = None) -> F32:
    """q [T, H, d], k and v [S, G, d] -> [T, H, d]."""
    out = _empty(q.shape)
    rounded = current().round_attention and not causal
    _native.attention(*_place(), q, k, v, causal, bounds, rounded, out)
    return out


def layers(blocks: Sequence[LayerWeights]) -> WholeLayers | None:
    """`decode_rows` of these layers; None unless all are packed in one shape, o and down without bias."""
    listed: list[_native.Layer] = []
    forms = set()
    for block in blocks:
        weights = [product.weight for product in block.products]
        packed = _alike(weights[:3]), _alike(weights[3:4]), _alike(weights[4:6]), _alike(weights[6:])
        if None in packed or block.o.bias is not None or block.down.bias is not None:
            return None
        forms.add(tuple((weight.shape, weight.group) for weight in weights))
        q, k, v, o, gate, up, down = ((_packed(weight), bias) for weight, bias in block.products)
        listed.append((block.attn_norm, q, k, v, o, block.mlp_norm, gate, up, down))
    if len(forms) != 1:
        return None
    held = _native.Layers(listed)
    return lambda *arrays: decode_rows(held, *arrays)


def decode_rows(held: _native.Layers, x: F32, cos: F32, sin: F32, rooms: list[Room], eps: float) -> F32:
    """x [n, D], cos and sin [n, d/2], n rooms -> [n, D]."""
    out = _empty(x.shape)
    _native.decode_rows(*_place(), held, x, cos, sin, rooms, eps, out)
    return out


def silu(x: F32) -> F32:
    """x [...] -> [...]."""
    return _activate(_native.Activation.silu, x)


def gelu(x: F32) -> F32:
    """x [...] -> [...]."""
    return _activate(_native.Activation.gelu, x)


def gelu_tanh(x: F32) -> F32:
    """x [...] -> [...]."""
    return _activate(_native.Activation.gelu_tanh, x)


def quick_gelu(x: F32) -> F32:
    """x [...] -> [...]."""
    return _activate(_native.Activation.quick_gelu, x)


def silu_mul(gate: F32, up: F32) -> F32:
    """gate, up [...] -> [...]."""
    out = _empty(gate.shape)
    _native.silu_mul(*_place(), gate, up, out)
    return out


def is_finite(x: F32) -> bool:
    """Whether no element is infinite or NaN."""
    return _native.is_finite(*_place(), x)


def peak_int8() -> float:
    """Multiply-adds of bytes in a second that the threads in use can do at most; 0 where it is not known."""
    return _native.peak_int8(*_place())


def peak_bf16() -> float:
    """The same for multiply-adds of bfloat16 in vectors."""
    return _native.peak_bf16(*_place())


def peak_f32() -> float:
    """The same for multiply-adds of float32."""
    return _native.peak_f32(*_place())


def read_rate(memory: NDArray[np.uint8]) -> float:
    """Bytes in a second that the threads in use read from memory [n], which is far larger than the caches."""
    return _native.read_rate(*_place(), memory)


@cache
def available_isas() -> tuple[str, ...]:
    """Instruction sets that this machine can run, the best last."""
    return tuple(_native.isas())


def check_isa(name: str) -> None:
    """Raise UsageError for an instruction set that this machine cannot run or that does not exist."""
    if name not in available_isas():
        raise UsageError(
            f"this machine cannot run the instruction set {name!r}",
            hint=f"it can: {', '.join(available_isas())}",
        )


@cache
def _isa_number(name: str | None) -> int:
    return len(available_isas()) - 1 if name is None else available_isas().index(name)


def _place() -> tuple[_native.Pool, int]:
    context = current()
    return (context.pool or shared_pool()).native, _isa_number(context.isa)


def _empty(shape: tuple[int, ...]) -> F32:
    """Begins at a cache line: where every row lies across two, a product takes a tenth longer."""
    count = prod(shape)
    memory = np.empty(count + LINE // 4, np.float32)
    first = -addressof(c_char.from_buffer(memory.data)) % LINE // 4  # twice as fast as memory.ctypes
    return memory[first : first + count].reshape(shape)


def _activate(kind: _native.Activation, x: F32) -> F32:
    out = _empty(x.shape)
    _native.activate(*_place(), kind, x, out)
    return out


def _alike(weights: Sequence[Weight]) -> list[_native.Packed] | None:
    """Weights for one call: all packed, and in the same group; else None."""
    packed = [weight for weight in weights if isinstance(weight, PackedWeight)]
    if len(packed) < len(weights) or len({weight.group for weight in packed}) > 1:
        return None
    return [_packed(weight) for weight in packed]


def _packed(weight: PackedWeight) -> _native.Packed:
    parts = weight.codes, weight.scales, weight.steps, weight.offsets
    return weight.bits, weight.group, weight.rows, weight.cols, *parts
