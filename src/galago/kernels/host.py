"""What numpy itself does well enough for both numpy back ends: moving rows, not computing on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def take(x: F32, index: NDArray[np.int64]) -> F32:
    """x [T, ...], index [n] -> [n, ...]."""
    rows: F32 = np.take(x, index, axis=0)
    return rows


def like(_x: F32, array: NDArray[Any]) -> F32:
    """A host array as float32."""
    return np.ascontiguousarray(array, np.float32)


def concatenate(parts: Sequence[F32]) -> F32:
    """Rows of several arrays under each other."""
    return np.concatenate(parts)


def to_numpy(x: F32) -> F32:
    """The array itself: it is on the host already."""
    return x
