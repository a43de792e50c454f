"""The kernels on torch tensors, on any device and with gradients: CUDA inference and training.

The same names and shapes as the native table. Dtypes follow the tensors given (bf16 stays bf16); norms and
rotary products are computed in float32 inside.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from numpy.typing import NDArray
from torch import Tensor

from galago.kernels import torch_packed
from galago.kernels.torch_packed import PackedTensor

_WORTH_COMPILING = 1 << 18
"""Elements from which a compiled pass over memory pays for its call."""


def _fused(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile a chain of element-wise steps into one pass, for the large tensors of training on a CPU.

    There such chains take most of a step, not the matrix products (LOG 2026-11-20). Without a C++ compiler,
    and for small or gradient-free tensors, the plain function runs.
    """

    @cache
    def compiled() -> Callable[..., Tensor]:
        return torch.compile(plain, dynamic=True) if shutil.which(os.environ.get("CXX", "g++")) else plain

    @wraps(plain)
    def choose(x: Tensor, *rest: Any) -> Tensor:
        large = x.is_cpu and x.requires_grad and x.numel() >= _WORTH_COMPILING
        return (compiled() if large else plain)(x, *rest)

    return choose


def linear(
    x: Tensor, weight: Tensor | PackedTensor, bias: Tensor | None = None, residual: Tensor | None = None
) -> Tensor:
    """x [T, K], weight [N, K], bias [N], residual [T, N] -> [T, N]."""
    if isinstance(weight, PackedTensor):
        y = torch_packed.linear(x, weight, bias)
    else:
        y = F.linear(x, weight, bias)
    return y if residual is None else residual + y


def linear_best(x: Tensor, weight: Tensor | PackedTensor, _rough: Any, _best: int) -> Tensor:
    """x [1, K], weight [N, K] -> [1, N]."""
    return linear(x, weight)


def linears(
    x: Tensor, weights: Sequence[Tensor | PackedTensor], biases: Sequence[Tensor | None]
) -> list[Tensor]:
    """x [T, K], weights [N_i, K], biases [N_i] -> [T, N_i]."""
    return [linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def gated(x: Tensor, weights: Sequence[Tensor | PackedTensor], biases: Sequence[Tensor | None]) -> Tensor:
    """x [T, K], two weights [N, K], biases [N] -> [T, N]."""
    return silu_mul(*linears(x, weights, biases))


def embed(weight: Tensor | PackedTensor, ids: Tensor | NDArray[np.int64]) -> Tensor:
    """weight [V, D], ids [T] -> [T, D]."""
    if isinstance(weight, PackedTensor):
        return torch_packed.values(weight, _index(ids, weight.codes), weight.dtype)
    return F.embedding(_index(ids, weight), weight)


def take(x: Tensor, index: NDArray[np.int64]) -> Tensor:
    """x [T, ...], index [n] -> [n, ...]."""
    return x.index_select(0, _index(index, x))


def like(x: Tensor, array: NDArray[Any]) -> Tensor:
    """A host array on the device and in the dtype of x."""
    return torch.as_tensor(array, device=x.device).to(x.dtype)


def concatenate(parts: list[Tensor]) -> Tensor:
    """Rows of several tensors under each other."""
    return torch.cat(parts)


def to_numpy(x: Tensor) -> NDArray[np.float32]:
    """A float32 copy on the host."""
    host: NDArray[np.float32] = x.detach().float().cpu().numpy()
    return host


@_fused
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x [T, D] -> [T, D]; rounded to x's dtype before the gain, as the reference does."""
    wide = x.float()
    scale = (wide.square().mean(-1, keepdim=True) + eps).rsqrt()
    return (wide * scale).to(x.dtype) * weight


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """x [T, D] -> [T, D]."""
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


@_fused
def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [T, H, d], cos and sin [T, d/2] -> [T, H, d]; channel i turns with channel i + d/2."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool, bounds: NDArray[np.int32] | None = None
) -> Tensor:
    """q [T, H, d], k and v [S, G, d] -> [T, H, d].

    With `causal`, row t sees keys 0 .. S - T + t; with `bounds`, rows see their own segment only.
    """
    repeat = q.shape[1] // k.shape[1]
    if repeat > 1:
        k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
    if bounds is None:
        mask = None
        if causal and q.shape[0] > 1:
            mask = torch.ones(q.shape[0], k.shape[0], dtype=torch.bool, device=q.device).tril(len(k) - len(q))
        return _attend(q[None], k[None], v[None], mask)[0]
    lengths = np.diff(bounds)
    if len(lengths) and (lengths == lengths[0]).all():  # equal segments are a batch
        q, k, v = (x.reshape(len(lengths), int(lengths[0]), *x.shape[1:]) for x in (q, k, v))
        return _attend(q, k, v, None).flatten(0, 1)
    out = torch.empty_like(q)
    for length in np.unique(lengths):  # segments of one length go together
        starts = bounds[:-1][lengths == length].astype(np.int64)
        rows = _index(starts[:, None] + np.arange(length), q)  # [n, length]
        out = out.index_put((rows,), _attend(q[rows], k[rows], v[rows], None))
    return out


def attend_pages(q: Tensor, keys: Tensor, values: Tensor, tables: Tensor, lengths: Tensor) -> Tensor:
    """q [B, H, d], keys and values [pages, size, G, d], tables [B, n], lengths [B] -> [B, H, d].

    Shapes alone decide what is launched, so that a graph can be made of it: all rows of all pages of a table
    are read, and those past a sequence's length are masked.
    """
    count, heads, size = q.shape
    k, v = (part[tables].flatten(1, 2).transpose(1, 2) for part in (keys, values))  # [B, G, S, d]
    seen = torch.arange(k.shape[2], device=q.device) < lengths[:, None]  # [B, S]
    grouped = q.reshape(count, k.shape[1], -1, size)  # the queries of one key head are rows of one matrix
    y = F.scaled_dot_product_attention(grouped, k, v, attn_mask=seen[:, None, None])
    return y.reshape(count, heads, size)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """q [B, T, H, d], k and v [B, S, H, d] -> [B, T, H, d]; `mask` [T, S] is true where a row may look."""
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if q.is_cpu and q.requires_grad:  # the fused backward pass takes twice as long on a CPU, LOG 2026-11-20
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        y: Tensor = scores.softmax(-1) @ v
    else:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.transpose(1, 2)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return F.silu(x)


@_fused
def silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    return F.silu(gate) * up


def gelu(x: Tensor) -> Tensor:
    """GELU by the error function."""
    return F.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation."""
    return F.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def is_finite(x: Tensor) -> bool:
    """Whether no element is infinite or NaN."""
    return bool(torch.isfinite(x).all())


def _index(ids: Tensor | NDArray[Any], beside: Tensor) -> Tensor:
    return torch.as_tensor(ids, device=beside.device, dtype=torch.int64)
