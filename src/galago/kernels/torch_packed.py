"""Packed weights on torch: codes, scales and offsets on the device, and products that unpack as they go.

A row of a weight lies in one piece here, group after group, where the host has panels of rows: `_rows` is
the only place that knows the layout of `packing.PackedWeight`. A few tokens go through one fused kernel where
Triton is there; otherwise blocks of rows are unpacked one after the other, so that little is dense at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from numpy.typing import NDArray
from torch import Tensor

from galago.frozen import frozen
from galago.packing import BIAS, PANEL, STEP, PackedWeight

_BLOCK_VALUES = 1 << 24
"""Values unpacked at a time: 32 MB in bf16."""
FUSED_TOKENS = 64
"""Above this a weight is unpacked once for all tokens. From reasoning, not measured: see docs/cuda.md."""

FUSED_GROUPS = (32, 64, 128, 256)
"""Groups that the fused kernel takes: its tiles are powers of two, and have to fit in registers."""


@frozen(eq=False)
class PackedTensor:
    """A matrix [rows, cols], scale * value + offset, with groups padded to their full size by values of 0.

    `codes` of 8 bits are the values, int8 [rows, groups * group]; of 4 bits uint8 [rows, groups * group / 2],
    value = multiplier * (nibble - zero), where a byte's low nibble belongs to the first 16 of 32 columns, the
    high nibble to the others. `steps` of these 32 columns are uint8 [rows, groups * group / 32]: zero in the
    low nibble, multiplier less 1 in the high one. `scales`, and `offsets` if any, are float16 [rows, groups].
    """

    bits: int
    group: int
    rows: int
    cols: int
    codes: Tensor
    scales: Tensor
    steps: Tensor | None
    offsets: Tensor | None
    dtype: torch.dtype
    """What its rows are as activations."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.rows, self.cols

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        parts = (self.codes, self.scales, self.steps, self.offsets)
        return sum(part.nbytes for part in parts if part is not None)


def upload(weight: PackedWeight, device: torch.device, dtype: torch.dtype) -> PackedTensor:
    """A host weight on a device, row by row."""
    groups = weight.scales.shape[1]
    parts = [
        _rows(weight, slice(start, stop), device)
        for start, stop in _blocks(-(-weight.rows // PANEL), PANEL * groups * weight.group)
    ]
    codes, scales, steps, offsets = (
        None if part[0] is None else torch.cat(part)[: weight.rows].contiguous()
        for part in zip(*parts, strict=True)
    )
    assert codes is not None
    assert scales is not None
    return PackedTensor(
        weight.bits, weight.group, weight.rows, weight.cols, codes, scales, steps, offsets, dtype
    )


def linear(x: Tensor, weight: PackedTensor, bias: Tensor | None = None) -> Tensor:
    """x [T, K] -> [T, N] in x's type; sums are float32."""
    fused = _fused_product() if x.is_cuda and len(x) <= FUSED_TOKENS else None
    if fused is not None and weight.group in FUSED_GROUPS:
        y = fused(x, weight)
        return y if bias is None else y + bias
    out = x.new_empty((len(x), weight.rows))
    for start, stop in _blocks(weight.rows, weight.cols):
        part = None if bias is None else bias[start:stop]
        out[:, start:stop] = F.linear(x, values(weight, slice(start, stop), x.dtype), part)
    return out


def values(weight: PackedTensor, rows: slice | Tensor, dtype: torch.dtype) -> Tensor:
    """Some rows of a weight as numbers [n, cols]."""
    codes = weight.codes[rows]
    if weight.steps is not None:
        steps = weight.steps[rows].unsqueeze(-1)  # [n, cols/32, 1]
        codes = codes.reshape(*steps.shape[:2], -1)
        levels = torch.cat((codes & 15, codes >> 4), dim=-1).to(torch.int16) - (steps & 15)
        codes = levels * ((steps >> 4) + 1)
    scale = weight.scales[rows].float().unsqueeze(-1)
    dense = codes.reshape(*scale.shape[:2], -1).float() * scale  # [n, groups, group]
    if weight.offsets is not None:
        dense += weight.offsets[rows].float().unsqueeze(-1)
    return dense.to(dtype).flatten(1)[:, : weight.cols]


def host_tensor(array: NDArray[Any]) -> Tensor:
    """A host array as a tensor of the host; copied where it may not be written, as torch asks for."""
    if not array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C")
    return torch.from_numpy(array)


def _rows(
    weight: PackedWeight, panels: slice, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Codes, scales, steps and offsets of P panels as `PackedTensor` has them: the host's layout undone."""
    codes = host_tensor(weight.codes[panels]).to(device)
    if weight.bits == 4:
        codes = torch.stack((codes & 15, codes >> 4), dim=2)  # [P, cols/8, 2, 16, 4]
    quads = codes.reshape(len(codes), -1, PANEL, 4)
    codes = quads.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # [16 P, cols]
    if weight.bits == 4:
        low, high = codes.unflatten(1, (-1, STEP)).chunk(2, dim=-1)  # type: ignore[no-untyped-call]
        codes = (low | (high << 4)).flatten(1)
    else:
        codes = (codes ^ BIAS).view(torch.int8)

    def by_row(part: NDArray[Any] | None) -> Tensor | None:
        if part is None:
            return None
        return host_tensor(part[panels]).to(device).transpose(1, 2).flatten(0, 1)

    scales = by_row(weight.scales)
    assert scales is not None
    return codes, scales, by_row(weight.steps), by_row(weight.offsets)


def _blocks(rows: int, values_of_row: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BLOCK_VALUES // max(1, values_of_row))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


@cache
def _fused_product() -> Callable[[Tensor, PackedTensor], Tensor] | None:
    """The kernel that unpacks in registers, where Triton is installed (it comes with torch for CUDA)."""
    if importlib.util.find_spec("triton") is None:
        return None
    from galago.kernels.torch_triton import product

    return product
