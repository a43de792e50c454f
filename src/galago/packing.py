"""What the bits of bf16, q8 and q4 weights mean, in numpy: the one definition.

A packed weight is a matrix of int8 values with one float16 scale for each row and group of columns:
`scale * value`, and `+ offset` where other tools' weights have one. In q8 the values are stored; in q4 they
lie on a coarse grid, `multiplier * (nibble - zero)`, with a multiplier and a zero for 32 columns of a row.
Rows lie in panels of 16 so that a kernel computes 16 outputs from one register. Nothing here multiplies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from galago.errors import UsageError, WeightError
from galago.frozen import frozen

PANEL: Final = 16
"""Rows of one panel."""

STEP: Final = 32
"""Columns of a q4 weight that share a multiplier and a zero."""

BIAS: Final = 128
"""What is added to an int8 value to store it as a byte."""

MULTIPLIERS: Final = 16
"""A multiplier is 1 .. 16 and a zero 0 .. 15, so that both fit a byte."""

_CHUNK_VALUES: Final = 1 << 20
"""Values packed or unpacked at a time, so that intermediates stay small."""

Bits: TypeAlias = Literal[4, 8]
F32: TypeAlias = NDArray[np.float32]
U8: TypeAlias = NDArray[np.uint8]
F16: TypeAlias = NDArray[np.float16]
T = TypeVar("T", bound=np.generic)

PARTS: Final = ("codes", "scales", "steps", "offsets")
"""The arrays of a packed weight, in the order they are stored."""


@frozen(eq=False)
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


@frozen(eq=False)
class PackedWeight:
    """A matrix [rows, cols] in `bits` bits a value, in the layout the kernels read.

    Rows are padded to 16 and columns to `group`, with values of 0:

    - `codes` of 8 bits: uint8 [rows/16, cols/4, 16, 4], the value plus 128, 4 consecutive columns of one row
      together;
    - `codes` of 4 bits: uint8 [rows/16, cols/8, 16, 4], a byte's low nibble belongs to the even, its high
      nibble to the odd group of 4 columns;
    - `steps`, of q4 alone: uint8 [rows/16, cols/32, 16], the low nibble is the zero, the high one the
      multiplier less 1; value = multiplier * (code - zero), as int8 (whoever packs keeps it in range);
    - `scales`, and `offsets` unless they are None: float16 [rows/16, cols/group, 16].

    The arrays may be read-only memory maps; they are never modified. Raises WeightError when they do not fit
    together.
    """

    bits: Bits
    group: int
    rows: int
    cols: int
    codes: U8
    scales: F16
    steps: U8 | None = None
    offsets: F16 | None = None

    def __post_init__(self) -> None:
        check_group(self.bits, self.group)
        shapes = part_shapes(self.rows, self.cols, self.bits, self.group)
        for name, (dtype, shape) in shapes.items():
            array = getattr(self, name)
            if array is None and name == "offsets":
                continue
            if array is None or array.dtype != dtype or array.shape != shape:
                found = "missing" if array is None else f"{array.dtype} {list(array.shape)}"
                raise WeightError(
                    f"{name} of a q{self.bits} weight [{self.rows}, {self.cols}] in groups of {self.group} "
                    f"are {np.dtype(dtype)} {list(shape)}, not {found}"
                )
        if self.bits == 8 and self.steps is not None:
            raise WeightError("a q8 weight has no steps")

    @classmethod
    def of(
        cls, bits: Bits, group: int, shape: tuple[int, int], parts: Mapping[str, NDArray[Any]]
    ) -> PackedWeight:
        """A weight from its parts by name."""
        codes, scales, steps, offsets = (parts.get(name) for name in PARTS)
        assert codes is not None, sorted(parts)
        assert scales is not None, sorted(parts)
        return cls(bits, group, *shape, codes, scales, steps, offsets)

    @property
    def parts(self) -> dict[str, NDArray[Any]]:
        """The arrays that there are, by name, in the order they are stored."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}

    def panels(self, places: NDArray[np.integer]) -> PackedWeight:
        """The rows of the panels `places` [n], padding included, as a weight [16 n, cols] of its own."""
        parts = {name: array[places] for name, array in self.parts.items()}
        return PackedWeight.of(self.bits, self.group, (len(places) * PANEL, self.cols), parts)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols), without padding."""
        return self.rows, self.cols

    @property
    def nbytes(self) -> int:
        """Bytes held, with padding."""
        return sum(int(part.nbytes) for part in self.parts.values())


Weight: TypeAlias = F32 | Bf16Weight | PackedWeight
"""Any matrix that the CPU kernels multiply with."""


def check_group(bits: int, group: int) -> None:
    """Raise UsageError unless `bits` is 4 or 8 and `group` a positive multiple of 32."""
    if bits not in (4, 8):
        raise UsageError(f"weights are packed in 4 or 8 bits, not {bits!r}")
    if group < 32 or group % 32:
        raise UsageError(f"a group has 32, 64, 96, ... columns, not {group!r}")


def default_group(cols: int) -> int:
    """Columns that share a scale unless asked otherwise; few in short rows, so that little is padded."""
    return 128 if cols >= 1024 else 32  # LOG 2026-11-25


def part_shapes(
    rows: int, cols: int, bits: int, group: int
) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    """Type and shape of every part of a weight [rows, cols], with padding; `offsets` may be left out."""
    panels, groups = -(-rows // PANEL), -(-cols // group)
    columns = groups * group
    shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "codes": (np.uint8, (panels, columns * bits // 32, PANEL, 4)),
        "scales": (np.float16, (panels, groups, PANEL)),
        "steps": (np.uint8, (panels, columns // STEP, PANEL)),
        "offsets": (np.float16, (panels, groups, PANEL)),
    }
    if bits == 8:
        del shapes["steps"]
    return shapes


def to_bf16(dense: F32) -> Bf16Weight:
    """dense [N, K] float32 -> the nearest bf16 matrix, ties to even. Non-finite values raise WeightError."""
    _check_dense(dense)
    words = np.ascontiguousarray(dense, dtype=np.float32).view(np.uint32)
    bits = (words + (((words >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    return Bf16Weight(bits.astype(np.uint16))


def from_bf16(bits: NDArray[np.uint16]) -> F32:
    """Bits of any shape -> float32 of that shape, exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def pack(dense: F32, bits: Bits, group: int | None = None) -> PackedWeight:
    """dense [N, K] float32 -> packed in `bits` bits, `group` columns sharing a scale (None: default_group).

    The error of a value is at most half a step of its group in 8 bits; in 4 bits the grid of every 32 columns
    is searched for the least squared error. Raises WeightError for non-finite values and those beyond
    float16.
    """
    weight = empty_like(dense, bits, group)
    group, cols = weight.group, weight.cols
    groups = -(-cols // group)
    for panels in _chunks(len(weight.codes) if groups else 0, groups * group):
        padded = np.zeros(((panels.stop - panels.start) * PANEL, groups * group), np.float32)
        source = dense[panels.start * PANEL : panels.stop * PANEL]
        padded[: len(source), :cols] = source
        values = padded.reshape(len(padded), groups, group)
        scale = scales_of(values)
        if bits == 8:
            codes, steps = (np.rint(_over(values, scale[..., None])) + BIAS).astype(np.uint8), None
        else:
            codes, steps = grid_of(values.reshape(*scale.shape, -1, STEP), scale)
            steps = steps.reshape(len(padded), -1)
        put_rows(weight, panels, codes.reshape(padded.shape), scale, steps)
    return weight


def put_rows(weight: PackedWeight, panels: slice, codes: U8, scales: F16, steps: U8 | None) -> None:
    """Put the rows of some panels into a weight of `empty_like`, padding included.

    `codes` [16 P, columns], one a byte, `scales` [16 P, groups] and, in q4, `steps` [16 P, columns / 32].
    """
    weight.codes[panels] = _to_panels(codes, weight.bits)
    weight.scales[panels] = _by_panel(scales)
    if weight.steps is not None:
        assert steps is not None
        weight.steps[panels] = _by_panel(steps)


def empty_like(dense: F32, bits: Bits, group: int | None) -> PackedWeight:
    """A packed weight of zeros for dense [N, K], whose parts may be filled; raises what `pack` raises."""
    _check_dense(dense)
    rows, cols = dense.shape
    group = default_group(cols) if group is None else group
    check_group(bits, group)
    shapes = part_shapes(rows, cols, bits, group)
    del shapes["offsets"]  # only weights of other tools have them
    parts = {name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes.items()}
    return PackedWeight.of(bits, group, (rows, cols), parts)


def beyond_float16(dense: F32) -> WeightError:
    """The error for weights whose scales no float16 holds."""
    return WeightError(f"a weight of {np.abs(dense).max():.3g} is beyond the range of float16")


def unpack(weight: PackedWeight) -> F32:
    """The float32 matrix [rows, cols] that `weight` means."""
    dense = np.empty(weight.shape, np.float32)
    for panels in _chunks(len(weight.codes) if weight.cols else 0, weight.cols):
        values, scales, offsets = unpack_parts(weight, panels)
        wide = values.astype(np.float32) * scales[..., None]  # [16 P, groups, group]
        if offsets is not None:
            wide += offsets[..., None]
        target = dense[panels.start * PANEL : panels.stop * PANEL]
        target[...] = wide.reshape(len(values), values[0].size)[: len(target), : weight.cols]
    return dense


def unpack_parts(
    weight: PackedWeight, panels: slice = slice(None)
) -> tuple[NDArray[np.int8], F32, F32 | None]:
    """Values int8 [16 P, groups, group], scales and offsets float32 [16 P, groups] of P panels, padded."""
    codes = weight.codes[panels]
    if weight.bits == 4:
        codes = np.stack((codes & 15, codes >> 4), axis=2)  # [P, cols/8, 2, 16, 4]
    rows, groups = len(codes) * PANEL, weight.scales.shape[1]
    quads = codes.reshape(len(codes), groups * weight.group // 4, PANEL, 4)
    values = quads.transpose(0, 2, 1, 3).reshape(rows, -1)
    if weight.steps is None:
        values = values - np.uint8(BIAS)
    else:
        steps = _by_row(weight.steps[panels])[..., None]  # [16 P, cols/32, 1]
        values = ((steps >> 4) + np.uint8(1)) * (values.reshape(*steps.shape[:2], STEP) - (steps & 15))
    offsets = None if weight.offsets is None else _by_row(weight.offsets[panels]).astype(np.float32)
    return (
        values.view(np.int8).reshape(rows, groups, weight.group),
        _by_row(weight.scales[panels]).astype(np.float32),
        offsets,
    )


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
    taken: F32 = unpack(weight.panels(panels))[places * PANEL + ids % PANEL]
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


def scales_of(values: F32) -> F16:
    """Values [N, groups, group] -> the least scales [N, groups] with which 127 reaches every magnitude."""
    peak = np.abs(values).max(axis=-1, initial=0) / np.float32(127)
    with np.errstate(over="ignore"):
        halves: F16 = peak.astype(np.float16)
        halves = np.where(halves.astype(np.float32) < peak, np.nextafter(halves, np.float16(np.inf)), halves)
    if not np.isfinite(halves).all():
        raise beyond_float16(values)
    return halves


def grid_of(values: F32, scale: F16) -> tuple[U8, U8]:
    """The q4 grid: values [N, groups, n, 32], scales [N, groups] -> nibbles alike and steps [N, groups, n].

    A grid that covers the 32 columns errs evenly; narrower ones clip a little and are finer elsewhere. All
    multipliers from the covering one down to 3/4 of it are tried.
    """
    units = _over(values, scale[..., None, None])
    low, high = units.min(axis=-1).clip(max=0), units.max(axis=-1).clip(min=0)
    widest = np.clip(np.ceil((high - low) / 15), 1, MULTIPLIERS)
    best = np.full(low.shape, np.inf, np.float32)
    codes, steps = np.zeros(units.shape, np.uint8), np.zeros(low.shape, np.uint8)
    for narrower in range(5):
        multiplier = np.maximum(widest - narrower, 1)
        zero = np.clip(np.rint(7.5 - (high + low) / (2 * multiplier)), 0, 15)
        least = np.maximum(-zero, -np.floor(BIAS / multiplier))[..., None]
        most = np.minimum(15 - zero, np.floor((BIAS - 1) / multiplier))[..., None]
        levels = np.clip(np.rint(units / multiplier[..., None]), least, most)
        error = levels * multiplier[..., None]
        error -= units
        squares = np.einsum("...k,...k->...", error, error)
        wins = squares < best
        best = np.where(wins, squares, best)
        codes = np.where(wins[..., None], (levels + zero[..., None]).astype(np.uint8), codes)
        steps = np.where(wins, (16 * (multiplier - 1) + zero).astype(np.uint8), steps)
    return codes, steps


def _over(values: F32, scale: F16) -> F32:
    """Values / scale, and 0 where the scale is 0."""
    step = scale.astype(np.float32)
    inverse: F32 = np.divide(np.float32(1), step, out=np.zeros_like(step), where=step != 0)
    return values * inverse


def _by_panel(rows: NDArray[T]) -> NDArray[T]:
    """[16 P, n] -> [P, n, 16]."""
    panels: NDArray[T] = rows.reshape(-1, PANEL, rows.shape[1]).transpose(0, 2, 1)
    return panels


def _by_row(panels: NDArray[T]) -> NDArray[T]:
    """[P, n, 16] -> [16 P, n]."""
    rows: NDArray[T] = panels.transpose(0, 2, 1).reshape(len(panels) * PANEL, panels.shape[1])
    return rows


def _to_panels(codes: U8, bits: Bits) -> U8:
    """Codes [16 P, cols] -> the layout of PackedWeight.codes for P panels."""
    rows = codes.reshape(len(codes) // PANEL, PANEL, codes.shape[1] // 4, 4)
    quads: U8 = rows.transpose(0, 2, 1, 3)  # [P, cols/4, 16, 4]
    return quads[:, 0::2] | (quads[:, 1::2] << np.uint8(4)) if bits == 4 else quads
