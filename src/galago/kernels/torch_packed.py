"""Packed weights on torch: codes, scales and offsets on the device, and products that unpack as they go.

A row of a weight lies in one piece here, group after group, where the host has panels of rows: `_rows` is
the only place that knows the layout of `packing.PackedWeight`. A few tokens go through one fused kernel where
Triton is there; otherwise blocks of rows are unpacked one after the other, so that little is dense at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from numpy.typing import NDArray
from torch import Tensor

from galago.packing import PANEL, PackedWeight

_BLOCK_VALUES = 1 << 24
"""Values unpacked at a time: 32 MB in bf16."""
FUSED_TOKENS = 64
"""Above this a weight is unpacked once for all tokens. From reasoning, not measured: see docs/cuda.md."""

FUSED_GROUPS = (32, 64, 128, 256)
"""Groups that the fused kernel takes: its tiles are powers of two, and have to fit in registers."""


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """A matrix [rows, cols], scale * code + offset, with groups padded to their full size by code 0.

    `codes` uint8 [rows, groups * group] of 8 bits, or [rows, groups * group / 2] of 4: a byte's low nibble
    belongs to the first half of its group, the high nibble to the second. `scales` and `offsets` are float16
    [rows, groups].
    """

    bits: int
    group: int
    rows: int
    cols: int
    codes: Tensor
    scales: Tensor
    offsets: Tensor
    dtype: torch.dtype
    """What its rows are as activations."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.rows, self.cols

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return self.codes.nbytes + self.scales.nbytes + self.offsets.nbytes


def upload(weight: PackedWeight, device: torch.device, dtype: torch.dtype) -> PackedTensor:
    """A host weight on a device, row by row."""
    groups = weight.scales.shape[1]
    width = groups * weight.group * weight.bits // 8
    codes = torch.empty((weight.rows, width), dtype=torch.uint8, device=device)
    scales = torch.empty((weight.rows, groups), dtype=torch.float16, device=device)
    offsets = torch.empty_like(scales)
    for start, stop in _blocks(-(-weight.rows // PANEL), PANEL * groups * weight.group):
        rows = slice(start * PANEL, min(stop * PANEL, weight.rows))
        count = rows.stop - rows.start
        values, scale, offset = _rows(weight, slice(start, stop), device)
        if weight.bits == 4:
            low, high = values.chunk(2, dim=-1)
            values = low | (high << 4)
        codes[rows] = values.flatten(1)[:count]
        scales[rows], offsets[rows] = scale[:count], offset[:count]
    return PackedTensor(weight.bits, weight.group, weight.rows, weight.cols, codes, scales, offsets, dtype)


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
    codes = codes.reshape(len(codes), weight.scales.shape[1], -1)  # [n, groups, bytes of a group]
    if weight.bits == 4:
        codes = torch.cat((codes & 15, codes >> 4), dim=-1)
    scale, offset = (part[rows].float().unsqueeze(-1) for part in (weight.scales, weight.offsets))
    dense = torch.addcmul(offset, codes.float(), scale)  # [n, groups, group]
    return dense.to(dtype).flatten(1)[:, : weight.cols]


def host_tensor(array: NDArray[Any]) -> Tensor:
    """A host array as a tensor of the host; copied where it may not be written, as torch asks for."""
    if not array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C")
    return torch.from_numpy(array)


def _rows(weight: PackedWeight, panels: slice, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Codes uint8 [16 P, groups, group], scales and offsets [16 P, groups] of P panels: `unpack_parts`."""
    codes, scales, offsets = (
        host_tensor(part[panels]).to(device) for part in (weight.codes, weight.scales, weight.offsets)
    )
    if weight.bits == 4:
        codes = torch.stack((codes & 15, codes >> 4), dim=2)  # [P, cols/8, 2, 16, 4]
    rows, groups = len(codes) * PANEL, scales.shape[1]
    quads = codes.reshape(len(codes), groups * weight.group // 4, PANEL, 4)
    codes = quads.permute(0, 2, 1, 3).reshape(rows, groups, weight.group)
    scales, offsets = (part.transpose(1, 2).reshape(rows, groups) for part in (scales, offsets))
    return codes, scales, offsets


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
