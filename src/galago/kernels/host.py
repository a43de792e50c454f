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


def attend_pages(
    q: F32, keys: F32, values: F32, tables: NDArray[np.int64], lengths: NDArray[np.int64]
) -> F32:
    """q [B, H, d], keys and values [pages, size, G, d], tables [B, n], lengths [B] -> [B, H, d]."""
    from galago.kernels import attention

    out = np.empty_like(q)
    for row, (table, length) in enumerate(zip(tables, lengths, strict=True)):
        k, v = (part[table].reshape(-1, *part.shape[2:])[:length] for part in (keys, values))
        out[row : row + 1] = attention(q[row : row + 1], k, v, causal=True)
    return out
