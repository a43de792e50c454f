"""A weight of one kind as one of another, in blocks of rows so that little of it is float32 at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galago import kernels, packing
from galago.packing import PANEL, Bf16Weight, PackedWeight, Weight
from galago.types import Weights

if TYPE_CHECKING:
    from concurrent.futures import Executor

_BLOCK_VALUES = 1 << 22
"""Values that one thread converts at a time: a few of these are all the float32 there is in memory."""


def repack(weight: Weight, kind: Weights, group: int | None, threads: Executor | None) -> Weight:
    """The matrix [rows, columns] in the wanted kind; what has it already is returned, if in the wanted group.

    `group` None takes what is packed in any group, and packs in the default one. Raises WeightError for
    values that cannot be packed.
    """
    if kind_of(weight) == kind and group in (None, getattr(weight, "group", group)):
        return weight
    apply = map if threads is None else threads.map
    parts = list(apply(lambda rows: _convert_rows(weight, rows, kind, group), _blocks(weight.shape)))
    return _joined(parts, weight.shape)


def kind_of(weight: Weight) -> Weights:
    """What a weight is held as."""
    if isinstance(weight, Bf16Weight):
        return "bf16"
    if isinstance(weight, PackedWeight):
        return "q4" if weight.bits == 4 else "q8"
    return "f32"


def _blocks(shape: tuple[int, ...]) -> Iterator[NDArray[np.int64]]:
    """Row numbers in blocks of whole panels."""
    step = max(1, _BLOCK_VALUES // (shape[1] * PANEL)) * PANEL
    for start in range(0, shape[0], step):
        yield np.arange(start, min(start + step, shape[0]))


def _convert_rows(weight: Weight, rows: NDArray[np.int64], kind: Weights, group: int | None) -> Weight:
    dense = packing.take_rows(weight, rows)
    if kind in ("q4", "q8"):
        return kernels.pack(dense, 4 if kind == "q4" else 8, group)
    return packing.to_bf16(dense) if kind == "bf16" else dense


def _joined(parts: list[Any], shape: tuple[int, int]) -> Weight:
    """Blocks of rows as one weight; all but the last are whole panels."""
    first = parts[0]
    if len(parts) == 1:
        whole: Weight = first
    elif isinstance(first, PackedWeight):
        held = {name: np.concatenate([getattr(part, name) for part in parts]) for name in first.parts}
        whole = PackedWeight.of(first.bits, first.group, shape, held)
    elif isinstance(first, Bf16Weight):
        whole = Bf16Weight(np.concatenate([part.bits for part in parts]))
    else:
        whole = np.concatenate(parts)
    return whole
