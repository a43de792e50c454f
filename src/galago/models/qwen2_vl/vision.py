"""The vision tower: a ViT over 14x14 patches in merge-block order, 2-D rope, a merger of 2x2 patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.models.family import Pieces
from galago.models.qwen2_vl.config import VisionConfig
from galago.models.qwen2_vl.pieces import map_rows, rows_of, run_block
from galago.nn import MLP, Array, FeedForward, Layer, LayerNorm, Linear, Module, axial_angles
from galago.types import Grid

EPS = 1e-6
ROPE_BASE = 10_000.0


class VisionAttention(Module):
    """Attention inside segments of patches: fused q, k, v projection with bias, rotated by row and column."""

    def __init__(self, c: VisionConfig) -> None:
        self.heads, self.head_dim = c.heads, c.head_dim
        self.qkv = Linear(c.dim, 3 * c.dim, bias=True)
        self.o = Linear(c.dim, c.dim, bias=True)

    def __call__(
        self, x: Array, cos: Array, sin: Array, bounds: NDArray[np.int32], residual: Array | None = None
    ) -> Array:
        """x [P, dim], cos and sin [P, d/2], bounds [n + 1] -> [P, dim], to which a residual may be added."""
        q, k, v = self.qkv(x).reshape(len(x), 3, -1, self.head_dim).swapaxes(0, 1)  # each [P, H, d]
        q, k = kernels.rotate(q, cos, sin), kernels.rotate(k, cos, sin)
        y = kernels.attention(q, k, v, causal=False, bounds=bounds)  # [P, H, d]
        return self.o(y.reshape(len(x), -1), residual)


class VisionBlock(Module):
    """Pre-norm encoder layer; the norms and the MLP are the family's."""

    def __init__(self, c: VisionConfig, norm: Callable[[], Layer], mlp: Callable[[], FeedForward]) -> None:
        self.attn_norm = norm()
        self.attn = VisionAttention(c)
        self.mlp_norm = norm()
        self.mlp = mlp()

    def __call__(self, x: Array, cos: Array, sin: Array, bounds: NDArray[np.int32]) -> Array:
        """x [P, dim] -> [P, dim]."""
        x = self.attn(self.attn_norm(x), cos, sin, bounds, x)
        return self.mlp(self.mlp_norm(x), x)


class PatchMerger(Module):
    """Norm each patch, put merge^2 neighbours side by side, project to the decoder's width."""

    def __init__(self, c: VisionConfig, norm: Layer) -> None:
        self.width = c.dim * c.merge**2
        self.norm = norm
        self.mlp = MLP(self.width, self.width, c.out_dim, kernels.gelu)

    def __call__(self, x: Array) -> Array:
        """x [P, dim] -> [P / merge^2, out_dim]."""
        return self.mlp(self.norm(x).reshape(-1, self.width))


class VisionTower(Module):
    """Patches to features; every picture and every temporal patch attends within itself only."""

    def __init__(self, c: VisionConfig) -> None:
        self.config = c
        self.patch_embedding = Linear(c.patch_values, c.dim)
        self.blocks = [
            VisionBlock(
                c, lambda: LayerNorm(c.dim, EPS), lambda: MLP(c.dim, c.mlp_dim, c.dim, kernels.quick_gelu)
            )
            for _ in range(c.layers)
        ]
        self.merger = PatchMerger(c, LayerNorm(c.dim, EPS))

    def __call__(self, patches: Array, grids: tuple[Grid, ...], pieces: Pieces | None = None) -> Array:
        """Patches [P, values] in merge-block order -> features [P / merge^2, out_dim]."""
        count = len(patches)
        rows = rows_of(pieces, count)
        x = map_rows(self.patch_embedding, count, lambda part: patches[part], rows)
        finish(self.patch_embedding, pieces)
        angles = patch_angles(grids, self.config.merge, self.config.head_dim)
        cos, sin = (kernels.like(x, table) for table in angles)
        bounds = frame_bounds(grids)
        for block in self.blocks:
            x = next_rows(block, x, (cos, sin), bounds, pieces)
        features = map_rows(self.merger, count, lambda part: x[part], rows)
        finish(self.merger, pieces)
        return features


def next_rows(
    block: VisionBlock,
    x: Array,
    tables: tuple[Array, Array],
    bounds: NDArray[np.int32],
    pieces: Pieces | None,
) -> Array:
    """x [P, dim] after a block: a new array, or x itself where it is worked on in pieces."""
    if pieces is None or len(x) <= pieces.rows:
        x = block(x, *tables, bounds)
    else:
        run_block(block, x, tables, bounds, pieces.rows)
    finish(block, pieces)
    return x


def finish(part: Module, pieces: Pieces | None) -> None:
    """Tell that a part of the tower has had its last use."""
    if pieces is not None:
        pieces.done(part)


@lru_cache(maxsize=8)
def patch_angles(
    grids: tuple[Grid, ...], merge: int, head_dim: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rotary tables [P, head_dim/2] in merge-block order, the same for every temporal patch."""
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    for time, height, width in grids:
        row, column = np.indices((height, width), dtype=np.int64)
        for axis, where in ((row, rows), (column, columns)):
            blocks = axis.reshape(height // merge, merge, width // merge, merge).transpose(0, 2, 1, 3)
            where.append(np.tile(blocks.ravel(), time))
    return axial_angles(np.concatenate(rows), np.concatenate(columns), head_dim, ROPE_BASE)


def frame_bounds(grids: tuple[Grid, ...]) -> NDArray[np.int32]:
    """Borders [n + 1] between temporal patches of all visuals, counted in patches."""
    lengths = [height * width for time, height, width in grids for _ in range(time)]
    return np.cumsum([0, *lengths], dtype=np.int32)
