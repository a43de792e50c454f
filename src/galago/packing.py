"""What the bits of bf16, q8 and q4 weights mean, in numpy: the one definition.

A packed weight is `scale * code + offset` with one scale and one offset for each row and group of columns.
Rows lie in panels of 16 so that a kernel computes 16 outputs from one register. Nothing here multiplies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.errors import UsageError, WeightError

PANEL: Final = 16
"""Rows of one panel."""

_CHUNK_VALUES: Final = 1 << 20
"""Values packed or unpacked at a time, so that intermediates stay small."""

Bits: TypeAlias = Literal[4, 8]
F32: TypeAlias = NDArray[np.float32]
U8: TypeAlias = NDArray[np.uint8]
F16: TypeAlias = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Bf16Weight:
    """A matrix [N, K] in bfloat16: the upper 16 bits of each float32, row-major as in checkpoints.

    `bits` may be a read-only memory map; it is never modified or copied.
    """

    bits: NDArray[np.uint16]

    def __post_init__(self) -> None:
        if self.bits.dtype != np.uint16 or self.bits.ndim != 2:
            raise WeightError(f"bf16 bits are uint16 [N, K], not {self.bits.dtype} {list(self.bits.shape)}")

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        return self.bits.shape[0], self.bits.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.bits.nbytes)


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A matrix [rows, cols] in `bits` bits a value, in the layout the kernels read.

    Rows are padded to 16 and columns to `group`, with scale, offset and code 0:

    - `codes` of 8 bits: uint8 [rows/16, cols/4, 16, 4], 4 consecutive columns of one row together;
    - `codes` of 4 bits: uint8 [rows/16, cols/8, 16, 4], a byte's low nibble belongs to the even, its high
      nibble to the odd group of 4 columns;
    - `scales`, `offsets`: float16 [rows/16, cols/group, 16].

    The arrays may be read-only memory maps; they are never modified. Raises WeightError when they do not fit
    together.
    """

    bits: Bits
    group: int
    rows: int
    cols: int
    codes: U8
    scales: F16
    offsets: F16

    def __post_init__(self) -> None:
        check_group(self.bits, self.group)
        panels, groups = -(-self.rows // PANEL), -(-self.cols // self.group)
        wanted = (
            ("codes", self.codes, np.uint8, codes_shape(self.rows, self.cols, self.bits, self.group)),
            ("scales", self.scales, np.float16, (panels, groups, PANEL)),
            ("offsets", self.offsets, np.float16, (panels, groups, PANEL)),
        )
        for name, array, dtype, shape in wanted:
            if array.dtype != dtype or array.shape != shape:
                raise WeightError(
                    f"{name} of a q{self.bits} weight [{self.rows}, {self.cols}] in groups of {self.group} "
                    f"are {np.dtype(dtype)} {list(shape)}, not {array.dtype} {list(array.shape)}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols), without padding."""
        return self.rows, self.cols

    @property
    def nbytes(self) -> int:
        """Bytes held, with padding."""
        return int(self.codes.nbytes + self.scales.nbytes + self.offsets.nbytes)


Weight: TypeAlias = F32 | Bf16Weight | PackedWeight
"""Any matrix that the CPU kernels multiply with."""


def check_group(bits: int, group: int) -> None:
    """Raise UsageError unless `bits` is 4 or 8 and `group` a positive multiple of 32."""
    if bits not in (4, 8):
        raise UsageError(f"weights are packed in 4 or 8 bits, not {bits!r}")
    if group < 32 or group % 32:
        raise UsageError(f"a group has 32, 64, 96, ... columns, not {group!r}")


def codes_shape(rows: int, cols: int, bits: int, group: int) -> tuple[int, int, int, int]:
    """Shape of the codes of a weight [rows, cols], with padding."""
    padded = -(-cols // group) * group
    return -(-rows // PANEL), padded * bits // 32, PANEL, 4


def to_bf16(dense: F32) -> Bf16Weight:
    """dense [N, K] float32 -> the nearest bf16 matrix, ties to even. Non-finite values raise WeightError."""
    _check_dense(dense)
    words = np.ascontiguousarray(dense, dtype=np.float32).view(np.uint32)
    bits = (words + (((words >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    return Bf16Weight(bits.astype(np.uint16))


def from_bf16(bits: NDArray[np.uint16]) -> F32:
    """Bits of any shape -> float32 of that shape, exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def pack(dense: F32, bits: Bits, group: int = 32) -> PackedWeight:
    """dense [N, K] float32 -> packed in `bits` bits, `group` columns sharing a scale and an offset.

    The error of a value is at most half a step of its group in 8 bits; in 4 bits scale and offset are refined
    to the least squared error. Raises WeightError for non-finite values and those beyond float16.
    """
    check_group(bits, group)
    _check_dense(dense)
    rows, cols = dense.shape
    groups = -(-cols // group)
    codes = np.zeros(codes_shape(rows, cols, bits, group), np.uint8)
    scales = np.zeros((codes.shape[0], groups, PANEL), np.float16)
    offsets = np.zeros_like(scales)
    for panels in _chunks(codes.shape[0] if groups else 0, groups * group):
        part = np.zeros(((panels.stop - panels.start) * PANEL, groups * group), np.float32)
        source = dense[panels.start * PANEL : panels.stop * PANEL]
        part[: len(source), :cols] = source
        values, scale, offset = _quantise(part.reshape(len(part), groups, group), bits)
        codes[panels] = _to_panels(values.reshape(part.shape), bits)
        scales[panels] = scale.reshape(-1, PANEL, groups).transpose(0, 2, 1)
        offsets[panels] = offset.reshape(-1, PANEL, groups).transpose(0, 2, 1)
    return PackedWeight(bits, group, rows, cols, codes, scales, offsets)


def unpack(weight: PackedWeight) -> F32:
    """The float32 matrix [rows, cols] that `weight` means."""
    dense = np.empty(weight.shape, np.float32)
    for panels in _chunks(len(weight.codes) if weight.cols else 0, weight.cols):
        codes, scales, offsets = unpack_parts(weight, panels)
        values = codes.astype(np.float32) * scales[..., None] + offsets[..., None]  # [16 P, groups, group]
        target = dense[panels.start * PANEL : panels.stop * PANEL]
        target[...] = values.reshape(len(codes), codes[0].size)[: len(target), : weight.cols]
    return dense


def unpack_parts(weight: PackedWeight, panels: slice = slice(None)) -> tuple[U8, F32, F32]:
    """Codes uint8 [16 P, groups, group], scales and offsets float32 [16 P, groups] of P panels, padded."""
    codes = weight.codes[panels]
    if weight.bits == 4:
        codes = np.stack((codes & 15, codes >> 4), axis=2)  # [P, cols/8, 2, 16, 4]
    rows, groups = len(codes) * PANEL, weight.scales.shape[1]
    quads = codes.reshape(len(codes), groups * weight.group // 4, PANEL, 4)
    scales, offsets = (
        part[panels].astype(np.float32).transpose(0, 2, 1).reshape(rows, groups)
        for part in (weight.scales, weight.offsets)
    )
    return quads.transpose(0, 2, 1, 3).reshape(rows, groups, weight.group), scales, offsets


def take_rows(weight: Weight, ids: NDArray[np.integer]) -> F32:
    """Rows `ids` [T] of a weight [N, K] of any kind -> float32 [T, K]."""
    if isinstance(weight, Bf16Weight):
        return from_bf16(weight.bits[ids])
    if not isinstance(weight, PackedWeight):
        rows: F32 = weight[ids]
        return rows
    if len(ids) == 0:
        return np.empty((0, weight.cols), np.float32)
    panels, places = np.unique(ids // PANEL, return_inverse=True)
    part = PackedWeight(
        weight.bits,
        weight.group,
        len(panels) * PANEL,
        weight.cols,
        weight.codes[panels],
        weight.scales[panels],
        weight.offsets[panels],
    )
    taken: F32 = unpack(part)[places * PANEL + ids % PANEL]
    return taken


def to_dense(weight: Weight) -> F32:
    """A weight of any kind as float32 [N, K]; a float32 matrix is returned as it is."""
    if isinstance(weight, Bf16Weight):
        return from_bf16(weight.bits)
    return unpack(weight) if isinstance(weight, PackedWeight) else weight


def _check_dense(dense: F32) -> None:
    if dense.ndim != 2:
        raise WeightError(f"a weight has two axes [N, K], not the shape {list(dense.shape)}")
    if not np.isfinite(dense).all():
        bad = np.argwhere(~np.isfinite(dense))[0]
        raise WeightError(f"the weight is not finite at {bad.tolist()}: {dense[tuple(bad)]}")


def _chunks(panels: int, cols: int) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // (PANEL * max(1, cols)))
    for start in range(0, panels, step):
        yield slice(start, min(start + step, panels))


def _quantise(values: F32, bits: Bits) -> tuple[U8, F16, F16]:
    """Values [N, groups, group] -> codes of that shape, scales and offsets [N, groups]."""
    levels = 2**bits - 1
    low, high = values.min(axis=-1), values.max(axis=-1)
    offset = _to_f16(low, -np.inf)
    scale = _to_f16((high - offset.astype(np.float32)) / levels, np.inf)
    codes = _nearest(values, scale, offset, levels)
    if bits == 8:
        return codes.astype(np.uint8), scale, offset
    better_scale, better_offset = _least_squares(values, codes)
    better_codes = _nearest(values, better_scale, better_offset, levels)
    gain = _squared_error(values, codes, scale, offset) - _squared_error(
        values, better_codes, better_scale, better_offset
    )
    wins = gain > 0
    codes = np.where(wins[..., None], better_codes, codes)
    return codes.astype(np.uint8), np.where(wins, better_scale, scale), np.where(wins, better_offset, offset)


def _to_f16(values: F32, towards: float) -> F16:
    """Round to float16 in one direction, so that the range from offset to the last code covers the group."""
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if not np.isfinite(halves).all():
        raise WeightError(f"a weight of {np.abs(values).max():.3g} is beyond the range of float16")
    back = halves.astype(np.float32)
    missed = back > values if towards < 0 else back < values
    return np.where(missed, np.nextafter(halves, np.float16(towards)), halves)


def _nearest(values: F32, scale: F16, offset: F16, levels: int) -> F32:
    step = scale.astype(np.float32)
    inverse = np.divide(np.float32(1), step, out=np.zeros_like(step), where=step != 0)
    codes = values - offset.astype(np.float32)[..., None]
    codes *= inverse[..., None]
    np.rint(codes, out=codes)
    return np.clip(codes, 0, levels, out=codes)


def _least_squares(values: F32, codes: F32) -> tuple[F16, F16]:
    """The scale and offset that fit values = scale * codes + offset best; scale 0 for constant codes."""
    mean_code, mean_value = codes.mean(axis=-1), values.mean(axis=-1)
    centred = codes - mean_code[..., None]
    spread, together = _dot(centred, centred), _dot(centred, values)
    scale = np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0)
    halves = scale.astype(np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        offset = (mean_value - halves.astype(np.float32) * mean_code).astype(np.float16)
    return halves, offset


def _squared_error(values: F32, codes: F32, scale: F16, offset: F16) -> F32:
    with np.errstate(over="ignore", invalid="ignore"):
        error = codes * scale.astype(np.float32)[..., None]
        error += offset.astype(np.float32)[..., None]
        error -= values
        return _dot(error, error)


def _dot(a: F32, b: F32) -> F32:
    sums: F32 = np.einsum("...k,...k->...", a, b)
    return sums


def _to_panels(codes: U8, bits: Bits) -> U8:
    """Codes [16 P, cols] -> the layout of PackedWeight.codes for P panels."""
    rows = codes.reshape(len(codes) // PANEL, PANEL, codes.shape[1] // 4, 4)
    quads: U8 = rows.transpose(0, 2, 1, 3)  # [P, cols/4, 16, 4]
    return quads[:, 0::2] | (quads[:, 1::2] << np.uint8(4)) if bits == 4 else quads
