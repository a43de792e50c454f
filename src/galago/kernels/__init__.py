"""Arithmetic on arrays: products with dense or packed weights, norms, rotation, attention, activations.

The kind of the first array chooses who computes: a numpy array the compiled kernels (or the numpy definition,
when asked for by `using(backend="numpy")`), a torch tensor the torch back end. Nothing here knows a model.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np

from galago.errors import UsageError
from galago.kernels.context import Backend, ThreadPool, current, using
from galago.kernels.devices import DEVICES, Device, Gpu, Host, Recorder, check_device, gpu, open_device
from galago.kernels.whole import LayerWeights, Product, Room, WholeLayers
from galago.packing import Bf16Weight, Bits, PackedWeight

__all__ = [
    "DEVICES",
    "Array",
    "Backend",
    "Device",
    "Gpu",
    "Host",
    "LayerWeights",
    "Product",
    "Recorder",
    "Room",
    "ThreadPool",
    "WholeLayers",
    "attend_pages",
    "attention",
    "available",
    "check_device",
    "concatenate",
    "embed",
    "gated",
    "gelu",
    "gelu_tanh",
    "gpu",
    "is_finite",
    "layer_norm",
    "layers",
    "like",
    "linear",
    "linear_best",
    "linears",
    "open_device",
    "pack",
    "quick_gelu",
    "rms_norm",
    "rotate",
    "silu",
    "silu_mul",
    "take",
    "to_numpy",
    "using",
]

Array: TypeAlias = Any
"""A numpy array or a torch tensor; as a weight also `packing.Bf16Weight` or `packing.PackedWeight`."""

_BACKENDS: Final = {
    "counting": "galago.kernels.counting",
    "host": "galago.kernels.host",
    "native": "galago.kernels.native",
    "numpy": "galago.kernels.reference",
    "observing": "galago.kernels.observing",
    "torch": "galago.kernels.torch_backend",
}
_PACKED: Final = "galago.kernels.torch_packed"
"""Where packed weights on torch are made."""


def linear(x: Array, weight: Array, bias: Array | None = None, residual: Array | None = None) -> Array:
    """x [T, K], weight [N, K], bias [N], residual [T, N] -> x weight^T + bias + residual, [T, N].

    With a packed weight, x is rounded to int8 by token and group of columns (see `reference.quantise`).
    """
    return _backend(x).linear(x, weight, bias, residual)


def linear_best(x: Array, weight: Array, rough: Array, best: int) -> Array:
    """x [1, K], weight [N, K] -> [1, N]: the `best` largest elements are those of `linear`, others nearly.

    `rough` is a coarse copy of the weight, of which a back end may read all to read little of the weight.
    """
    return _backend(x).linear_best(x, weight, rough, best)


def linears(x: Array, weights: Sequence[Array], biases: Sequence[Array | None]) -> Sequence[Array]:
    """Several products with one x, which is rounded once: weights [N_i, K], biases [N_i] -> [T, N_i]."""
    found: Sequence[Array] = _backend(x).linears(x, weights, biases)
    return found


def gated(x: Array, weights: Sequence[Array], biases: Sequence[Array | None]) -> Array:
    """silu(linear(x, weights[0], biases[0])) * linear(x, weights[1], biases[1]): [T, K] -> [T, N]."""
    return _backend(x).gated(x, weights, biases)


def embed(weight: Array, ids: Array) -> Array:
    """weight [V, D] of any kind, integer ids [T] -> [T, D]. Ids outside 0 .. V-1 raise UsageError."""
    return _backend(weight).embed(weight, ids)


def pack(dense: Array, bits: Bits, group: int | None = None) -> PackedWeight:
    """A numpy matrix [N, K], packed as `packing.pack` packs it and many times faster; raises the same."""
    packed: PackedWeight = _backend(dense).pack(dense, bits, group)
    return packed


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """x [T, D], weight [D] -> [T, D]: x / sqrt(mean(x^2) + eps) * weight."""
    return _backend(x).rms_norm(x, weight, eps)


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """x [T, D], weight [D], bias [D] -> [T, D]: (x - mean) / sqrt(variance + eps) * weight + bias."""
    return _backend(x).layer_norm(x, weight, bias, eps)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """x [T, H, d], cos and sin [T, d/2] -> [T, H, d]: elements i and i + d/2 turned by angle i."""
    return _backend(x).rotate(x, cos, sin)


def attention(q: Array, k: Array, v: Array, *, causal: bool, bounds: Array | None = None) -> Array:
    """q [T, H, d], k and v [S, G, d] -> [T, H, d]: softmax(q k / sqrt(d)) v, query head h over head h G/H.

    `causal`: token t sees keys 0 .. S-T+t, so that the queries are the last T of S tokens. `bounds` [n+1]
    int32, from 0 to T: tokens see the keys of their own segment only (then T = S and `causal` is False).
    """
    return _backend(q).attention(q, k, v, causal=causal, bounds=bounds)


def attend_pages(q: Array, keys: Array, values: Array, tables: Array, lengths: Array) -> Array:
    """One query of each of B sequences over keys in pages: q [B, H, d] -> [B, H, d].

    `keys` and `values` [pages, size, G, d]; `tables` [B, n] names the pages of each sequence in order, of
    whose rows the first `lengths` [B], at least one, are seen.
    """
    return _rows(q).attend_pages(q, keys, values, tables, lengths)


def layers(x: Array, blocks: Sequence[LayerWeights]) -> WholeLayers | None:
    """All these layers as one kernel for arrays like x; None where the back end has none for them."""
    make = getattr(_backend(x), "layers", None)
    whole: WholeLayers | None = None if make is None else make(blocks)
    return whole


def silu(x: Array) -> Array:
    """x / (1 + exp(-x)), any shape."""
    return _backend(x).silu(x)


def gelu(x: Array) -> Array:
    """x times the normal distribution function of x (exact, by erf), any shape."""
    return _backend(x).gelu(x)


def gelu_tanh(x: Array) -> Array:
    """The tanh approximation of `gelu`, any shape."""
    return _backend(x).gelu_tanh(x)


def quick_gelu(x: Array) -> Array:
    """x / (1 + exp(-1.702 x)), any shape."""
    return _backend(x).quick_gelu(x)


def silu_mul(gate: Array, up: Array) -> Array:
    """silu(gate) * up; two arrays of one shape."""
    return _backend(gate).silu_mul(gate, up)


def take(x: Array, index: Array) -> Array:
    """x [T, ...], index [n] on the host -> rows [n, ...]."""
    return _rows(x).take(x, index)


def like(x: Array, array: Array) -> Array:
    """A host array as the kind, dtype and device of x."""
    return _rows(x).like(x, array)


def concatenate(parts: Sequence[Array]) -> Array:
    """Arrays [T_i, ...] of one kind -> [sum T_i, ...]; at least one."""
    return _rows(parts[0]).concatenate(parts)


def to_numpy(x: Array) -> Array:
    """x as a float32 numpy array on the host; a numpy array is returned as it is."""
    return _rows(x).to_numpy(x)


def is_finite(x: Array) -> bool:
    """Whether no element is infinite or NaN."""
    return bool(_backend(x).is_finite(x))


def available() -> tuple[str, ...]:
    """Instruction sets that the compiled kernels can use on this machine, the best last.

    Raises MissingDependencyError when the extension is not built.
    """
    from galago.kernels.native import available_isas

    return available_isas()


def _backend(array: Array) -> ModuleType:
    kind = _kind(array)
    return _load(current().backend if kind == "numpy" else kind)


def _rows(array: Array) -> ModuleType:
    """Who moves rows: numpy itself, or the torch back end."""
    return _load("torch" if _kind(array) == "torch" else "host")


def _kind(array: Array) -> str:
    if isinstance(array, (np.ndarray, Bf16Weight, PackedWeight)):
        return "numpy"
    cls = type(array)
    if any(
        base.__module__.partition(".")[0] == "torch" or base.__module__ == _PACKED for base in cls.__mro__
    ):
        return "torch"
    raise UsageError(f"kernels take numpy arrays and torch tensors, not {cls.__module__}.{cls.__name__}")


@cache
def _load(name: str) -> ModuleType:
    return importlib.import_module(_BACKENDS[name])
