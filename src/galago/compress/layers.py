"""How far the weights of each layer moved: two checkpoints of one model, matrix by matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galago import packing
from galago.engine.checkpoint import Checkpoint
from galago.errors import UsageError

_BLOCK_VALUES = 1 << 22
_LAYER = re.compile(r"(?P<numbered>.*?\.\d+)\.|(?P<named>[^.]+\.[^.]+)")


@dataclass
class ErrorSum:
    """Squares of differences and of originals, gathered piece by piece."""

    difference: float = 0.0
    original: float = 0.0

    def add(self, original: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        """One piece; two arrays of one shape."""
        gap = (other - original).ravel()
        flat = original.ravel()
        self.difference += float(np.dot(gap, gap))
        self.original += float(np.dot(flat, flat))

    @property
    def relative(self) -> float:
        """Root of the summed squares of differences over those of the originals; 0 where both are 0."""
        if self.difference == 0:
            return 0.0
        return float(np.sqrt(self.difference / self.original)) if self.original else float("inf")


def layer_of(parameter: str) -> str:
    """`language.blocks.3.mlp.up.weight` -> `language.blocks.3`; without a number, the first two names."""
    found = _LAYER.match(parameter)
    assert found is not None, parameter
    return found["numbered"] or found["named"]


def weight_errors(original: Checkpoint, other: Checkpoint) -> dict[str, ErrorSum]:
    """The error of all matrices of each layer, sorted by name.

    Reads both files in blocks of rows. Raises UsageError when the two are not one model, WeightError for
    damage.
    """
    if [(one.ours, one.shape) for one in original.tensors] != [
        (one.ours, one.shape) for one in other.tensors
    ]:
        raise UsageError(
            f"{original.folder} and {other.folder} are not two forms of one model",
            hint="compare a model with what `galago convert` made of it",
        )
    errors: dict[str, ErrorSum] = {}
    for tensor in sorted(original.tensors, key=lambda tensor: _place(tensor.ours)):
        if tensor.matrix is None:
            continue
        pair = original.weight(tensor), other.weight(tensor)
        for rows in _blocks(tensor.matrix):
            errors.setdefault(layer_of(tensor.ours), ErrorSum()).add(
                *(packing.take_rows(weight, rows) for weight in pair)
            )
    return errors


def _place(parameter: str) -> list[tuple[int, str]]:
    """Sorts names with numbers in them as people count."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parameter.split(".")]


def _blocks(shape: tuple[int, int]) -> Iterator[NDArray[np.int64]]:
    step = max(1, _BLOCK_VALUES // shape[1])
    for start in range(0, shape[0], step):
        yield np.arange(start, min(start + step, shape[0]))
