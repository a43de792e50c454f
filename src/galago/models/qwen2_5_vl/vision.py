"""The windowed tower: most blocks attend within windows of 112 pixels, a few within the whole picture.

Patches are put in window order once, before the first block; rotary tables move along; features are put back
in raster order after the merger.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.models.family import Pieces
from galago.models.qwen2_5_vl.config import WindowedVisionConfig
from galago.models.qwen2_vl.config import Config
from galago.models.qwen2_vl.pieces import map_rows, rows_of, tower_bytes
from galago.models.qwen2_vl.vision import (
    EPS,
    PatchMerger,
    VisionBlock,
    finish,
    frame_bounds,
    next_rows,
    patch_angles,
)
from galago.nn import Array, GatedMLP, Linear, Module, RMSNorm
from galago.types import Grid


class WindowPlan(NamedTuple):
    """Where every merged cell goes, and where windows end."""

    order: NDArray[np.int64]
    """[cells]: cell `order[i]` of the raster stands at place i of the window order."""
    back: NDArray[np.int64]
    """[cells]: the inverse."""
    patches: NDArray[np.int64]
    """[P]: the same order in patches; the merge^2 patches of a cell stay together."""
    bounds: NDArray[np.int32]
    """Borders of windows in patches."""


class WindowedTower(Module):
    """Patches to features."""

    def __init__(self, c: WindowedVisionConfig) -> None:
        self.config = c
        self.patch_embedding = Linear(c.patch_values, c.dim)
        self.blocks = [
            VisionBlock(c, lambda: RMSNorm(c.dim, EPS), lambda: GatedMLP(c.dim, c.mlp_dim, bias=True))
            for _ in range(c.layers)
        ]
        self.merger = PatchMerger(c, RMSNorm(c.dim, EPS))

    def __call__(self, patches: Array, grids: tuple[Grid, ...], pieces: Pieces | None = None) -> Array:
        """Patches [P, values] in merge-block order -> features [P / merge^2, out_dim] in raster order."""
        c = self.config
        plan = window_plan(grids, c.merge, c.window_cells)
        whole = frame_bounds(grids)
        angles = patch_angles(grids, c.merge, c.head_dim)
        count = len(patches)
        rows = rows_of(pieces, count)
        x = map_rows(
            self.patch_embedding, count, lambda part: kernels.take(patches, plan.patches[part]), rows
        )
        finish(self.patch_embedding, pieces)
        cos, sin = (kernels.like(x, table[plan.patches]) for table in angles)
        for index, block in enumerate(self.blocks):
            x = next_rows(block, x, (cos, sin), whole if index in c.full_attention else plan.bounds, pieces)
        features = map_rows(self.merger, count, lambda part: x[part], rows)
        finish(self.merger, pieces)
        return kernels.take(features, plan.back)


def encode_bytes(c: Config, tokens: int, rows: int) -> int:
    """Bytes of all that exists at once while a picture of some tokens is encoded, its patches included."""
    return tower_bytes(c, tokens, rows, hidden=3)


@lru_cache(maxsize=8)
def window_plan(grids: tuple[Grid, ...], merge: int, window: int) -> WindowPlan:
    """The window order of all visuals; windows are in raster order, cells in raster order inside each."""
    orders: list[NDArray[np.int64]] = []
    lengths: list[int] = []
    first = 0
    for time, height, width in grids:
        rows, columns = height // merge, width // merge
        raster = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
        windows = [
            raster[y : y + window, x : x + window].ravel()
            for y in range(0, rows, window)
            for x in range(0, columns, window)
        ]
        for _ in range(time):
            orders += [first + cells for cells in windows]
            lengths += [len(cells) * merge**2 for cells in windows]
            first += rows * columns
    order = np.concatenate(orders)
    patches = (order[:, None] * merge**2 + np.arange(merge**2)).ravel()
    return WindowPlan(order, np.argsort(order), patches, np.cumsum([0, *lengths], dtype=np.int32))
