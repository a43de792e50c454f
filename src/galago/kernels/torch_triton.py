"""The product of a few tokens with a packed weight, unpacked in registers: every code is read once.

Groups are powers of two (`torch_packed.FUSED_GROUPS`).
Tiles and splits are chosen by reasoning, not by measurement: see docs/cuda.md. What is computed is what
`torch_packed.values` means; the test compares both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from galago.kernels.torch_packed import PackedTensor

_ROWS = 32
"""Rows of the weight in a tile."""
_COLUMNS = 128
"""Columns of the weight in a tile, where a group is not longer."""
_PROGRAMS = 512
"""Tiles wanted at once: about four for each multiprocessor of a large GPU, so that reading never stops."""


def product(x: Tensor, weight: PackedTensor) -> Tensor:
    """x [T, K], T at most a few dozen -> [T, N] in x's type."""
    tokens, groups = len(x), weight.scales.shape[1]
    columns = triton.cdiv(weight.rows, _ROWS)
    together = max(1, _COLUMNS // weight.group)
    splits = max(1, min(_PROGRAMS // columns, triton.cdiv(groups, together)))
    out = torch.empty((splits, tokens, weight.rows), dtype=torch.float32, device=x.device)
    _product[(columns, splits)](
        x.contiguous(),
        weight.codes,
        weight.scales,
        weight.steps,
        weight.offsets,
        out,
        tokens,
        weight.rows,
        weight.cols,
        groups,
        splits,
        GROUP=weight.group,
        BITS=weight.bits,
        TOKENS=max(16, triton.next_power_of_2(tokens)),
        ROWS=_ROWS,
        TOGETHER=together,
    )
    return out.sum(0).to(x.dtype)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _product(
    x: Any,
    codes: Any,
    scales: Any,
    steps: Any,
    offsets: Any,
    out: Any,
    tokens: Any,
    rows: Any,
    cols: Any,
    groups: Any,
    splits: Any,
    GROUP: tl.constexpr,
    BITS: tl.constexpr,
    TOKENS: tl.constexpr,
    ROWS: tl.constexpr,
    TOGETHER: tl.constexpr,
) -> None:
    """One tile of rows and one share of the groups, for all tokens: out [splits, tokens, rows]."""
    UNIT: tl.constexpr = GROUP * BITS // 8
    row, split = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
    token = tl.arange(0, TOKENS)
    place = tl.arange(0, TOGETHER * UNIT)
    inside, member = place % UNIT, place // UNIT
    sums = tl.zeros((TOKENS, ROWS), tl.float32)
    for first in range(split * TOGETHER, groups, splits * TOGETHER):
        group = first + member
        seen = (row < rows)[:, None] & (group < groups)[None, :]
        at = row[:, None].to(tl.int64) * groups + group[None, :]
        code = tl.load(codes + at * UNIT + inside[None, :], mask=seen, other=0)
        scale = tl.load(scales + at, mask=seen, other=0).to(tl.float32)
        offset = tl.zeros_like(scale)
        if offsets is not None:
            offset = tl.load(offsets + at, mask=seen, other=0).to(tl.float32)
        fits = (token < tokens)[:, None]
        if BITS == 8:
            column = group * GROUP + inside
            near = tl.load(
                x + token[:, None] * cols + column[None, :], mask=fits & (column < cols)[None, :], other=0
            )
            dense = code.to(tl.float32) * scale + offset
            sums += tl.dot(near, tl.trans(dense.to(near.dtype)), input_precision="ieee")
        else:
            step = tl.load(steps + at * (GROUP // 32) + (inside // 16)[None, :], mask=seen, other=0)
            zero = (step & 15).to(tl.float32)
            scale = scale * ((step >> 4).to(tl.float32) + 1)
            column = group * GROUP + inside // 16 * 32 + inside % 16
            near = tl.load(
                x + token[:, None] * cols + column[None, :], mask=fits & (column < cols)[None, :], other=0
            )
            dense = ((code & 15).to(tl.float32) - zero) * scale + offset
            sums += tl.dot(near, tl.trans(dense.to(near.dtype)), input_precision="ieee")
            column += 16
            far = tl.load(
                x + token[:, None] * cols + column[None, :], mask=fits & (column < cols)[None, :], other=0
            )
            dense = ((code >> 4).to(tl.float32) - zero) * scale + offset
            sums += tl.dot(far, tl.trans(dense.to(far.dtype)), input_precision="ieee")
    where = (split * tokens + token[:, None]) * rows + row[None, :]
    tl.store(out + where, sums, mask=(token < tokens)[:, None] & (row < rows)[None, :])
