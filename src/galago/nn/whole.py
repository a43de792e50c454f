"""The blocks of a decoder as one kernel for a new row of each sequence, where back end and cache allow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from galago import kernels
from galago.kernels.context import current
from galago.nn.cache import Cache, RowCache
from galago.nn.module import Array, Module


class Weighted(Protocol):
    """A block that says what it computes with."""

    @property
    def weights(self) -> kernels.LayerWeights:
        """Its arrays."""
        ...


class WholeLayers:
    """Runs all blocks at once. What it keeps of them is made again when any module has changed."""

    def __init__(self) -> None:
        self._made_for: tuple[str, int] | None = None
        self._whole: kernels.WholeLayers | None = None

    def __call__(
        self, x: Array, cos: Array, sin: Array, cache: Cache, blocks: Sequence[Weighted], eps: float
    ) -> Array | None:
        """x [n, dim], cos and sin [n, d/2] -> [n, dim], as the blocks one after the other; None if it cannot.

        The cache keeps the rows' keys and values.
        """
        if not isinstance(cache, RowCache) or (whole := self._layers(x, blocks)) is None:
            return None
        rooms = cache.open_rows(len(x))
        if rooms is None:
            return None
        y = whole(x, cos, sin, rooms, eps)
        cache.close_rows()
        return y

    def _layers(self, x: Array, blocks: Sequence[Weighted]) -> kernels.WholeLayers | None:
        now = current().backend, Module.changes
        if now != self._made_for:
            self._made_for, self._whole = now, kernels.layers(x, [block.weights for block in blocks])
        return self._whole
