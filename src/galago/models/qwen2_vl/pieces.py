"""A tower in pieces: the same numbers, with the intermediates of some patches in memory instead of all.

Segments that attend within themselves are computed some at a time. In a longer one all keys and values exist
at once, and everything else exists for one piece of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.models.family import Pieces
from galago.models.qwen2_vl.config import Config
from galago.nn import Array

if TYPE_CHECKING:
    from galago.models.qwen2_vl.vision import VisionBlock

F32 = NDArray[np.float32]
FLOAT = 4


def encode_bytes(c: Config, tokens: int, rows: int) -> int:
    """Bytes of all that exists at once while a picture of some tokens is encoded, its patches included."""
    return tower_bytes(c, tokens, rows, hidden=2)


def tower_bytes(c: Config, tokens: int, rows: int, *, hidden: int) -> int:
    """`hidden` arrays of the MLP's width exist at once; the rest is the same in all towers."""
    v = c.vision
    patches = tokens * v.merge**2
    held = v.patch_values + v.dim + 2 * v.head_dim  # pixels, the tower's rows, rotary tables
    embedding = v.patch_values + v.dim
    attending = 8 * v.dim
    feeding = 2 * v.dim + hidden * v.mlp_dim
    piece = min(patches, rows) * max(embedding, attending, feeding)
    long = 3 * v.dim * patches + 6 * v.dim * rows if patches > rows else 0
    return FLOAT * (patches * held + max(piece, long))


def run_block(
    block: VisionBlock, x: F32, tables: tuple[F32, F32], bounds: NDArray[np.int32], rows: int
) -> None:
    """One block over x [P, dim], changed in place; `tables` are cos and sin [P, d/2]."""
    cos, sin = tables
    for start, stop, inner in groups(bounds, rows):
        part = slice(start, stop)
        if stop - start > rows:
            _attend_long(block, x[part], cos[part], sin[part], rows)
            for piece in spans(stop - start, rows):
                inside = x[part][piece]
                inside += block.mlp(block.mlp_norm(inside))
        else:
            x[part] = block(x[part], cos[part], sin[part], inner)


def _attend_long(block: VisionBlock, x: F32, cos: F32, sin: F32, rows: int) -> None:
    """x [P, dim] += attention among all P rows: q, k and v of all of them, the rest by piece."""
    attn = block.attn
    q, k, v = np.empty((3, len(x), attn.heads, attn.head_dim), np.float32)
    for piece in spans(len(x), rows):
        joined = attn.qkv(block.attn_norm(x[piece])).reshape(-1, 3, attn.heads, attn.head_dim)
        q[piece] = kernels.rotate(joined[:, 0], cos[piece], sin[piece])
        k[piece] = kernels.rotate(joined[:, 1], cos[piece], sin[piece])
        v[piece] = joined[:, 2]
    for piece in spans(len(x), rows):
        y = kernels.attention(q[piece], k, v, causal=False)
        inside = x[piece]
        inside += attn.o(y.reshape(len(y), -1))


def map_rows(layer: Callable[[Array], Array], count: int, take: Callable[[slice], Array], rows: int) -> Array:
    """`layer(take(rows))` of all `count` rows, by piece, as one array."""
    first, *others = spans(count, rows)
    result = layer(take(first))
    if not others:
        return result
    whole = np.empty((count * len(result) // (first.stop - first.start), *result.shape[1:]), np.float32)
    whole[: len(result)] = result
    done = len(result)
    for piece in others:
        result = layer(take(piece))
        whole[done : done + len(result)] = result
        done += len(result)
    return whole


def rows_of(pieces: Pieces | None, count: int) -> int:
    """How many rows to take at a time; all of them where nothing is asked."""
    return max(count, 1) if pieces is None else pieces.rows


def spans(count: int, rows: int) -> Iterator[slice]:
    """0 .. count in spans of at most `rows`; one empty span for nothing."""
    yield slice(0, min(rows, count))
    for start in range(rows, count, rows):
        yield slice(start, min(start + rows, count))


def groups(bounds: NDArray[np.int32], rows: int) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
    """Whole neighbouring segments of at most `rows` patches: (start, stop, their own bounds from 0).

    A longer segment stands alone.
    """
    first = 0
    for place in range(1, len(bounds)):
        is_last = place == len(bounds) - 1
        if is_last or bounds[place + 1] - bounds[first] > rows:
            yield int(bounds[first]), int(bounds[place]), bounds[first : place + 1] - bounds[first]
            first = place
