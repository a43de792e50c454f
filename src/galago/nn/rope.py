"""Rotary position angles (Su et al. 2021): tables of cosines and sines, computed in float32 on the host.

`axial_angles` is the two-dimensional form of vision towers, `mrope_angles` the three-axis form of language
models that place pictures and video in the position space (Wang et al. 2024, Qwen2-VL). The rotation is a
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Angles = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Cosines and sines, each [T, d/2]; channel i turns with channel i + d/2."""


@lru_cache
def inverse_frequencies(dim: int, base: float) -> NDArray[np.float32]:
    """base^(-2i/dim) for i = 0 .. dim/2 - 1, in float32 as the reference has it: [dim/2], read only."""
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    frequencies: NDArray[np.float32] = 1 / np.power(np.float32(base), exponents)
    frequencies.flags.writeable = False
    return frequencies


def axial_angles(rows: NDArray[np.int64], columns: NDArray[np.int64], head_dim: int, base: float) -> Angles:
    """Rows [P] and columns [P] of patches -> tables [P, head_dim/2]: row angles, column angles."""
    frequencies = inverse_frequencies(head_dim // 2, base)  # [head_dim/4]
    angles = np.concatenate(
        [rows[:, None].astype(np.float32) * frequencies, columns[:, None].astype(np.float32) * frequencies],
        axis=1,
    )
    return np.cos(angles), np.sin(angles)


def mrope_angles(positions: NDArray[np.int64], head_dim: int, sections: Sequence[int], base: float) -> Angles:
    """Positions [3, T] (time, row, column) -> two tables [T, head_dim/2].

    `sections` says how many frequencies take their position from time, from the row and from the column.
    """
    frequencies = inverse_frequencies(head_dim, base)  # [head_dim/2]
    angles = positions.astype(np.float32)[_axes(tuple(sections))].T * frequencies  # [T, head_dim/2]
    return np.cos(angles), np.sin(angles)


@lru_cache
def _axes(sections: tuple[int, ...]) -> NDArray[np.int64]:
    """Which axis each frequency follows, [head_dim/2]."""
    return np.repeat(np.arange(len(sections)), sections)
