"""The blocks of a decoder as one kernel for one new row, where the back end and the cache allow it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

from galago import kernels
from galago.kernels import LayerWeights
from galago.kernels.context import current
from galago.nn.cache import Cache, RowCache
from galago.nn.module import Array


class WholeLayers:
    """Runs all blocks at once. Looks at their arrays every time, as any of them may have been replaced."""

    def __init__(self) -> None:
        self._backend: str | None = None
        self._arrays: list[Array] = []
        self._whole: kernels.WholeLayers | None = None

    def __call__(
        self, x: Array, cos: Array, sin: Array, cache: Cache, blocks: Sequence[LayerWeights], eps: float
    ) -> Array | None:
        """x [1, dim], cos and sin [1, d/2] -> [1, dim], as the blocks one after the other; None if it cannot.

        The cache keeps the row's keys and values.
        """
        if not isinstance(cache, RowCache) or (whole := self._layers(x, blocks)) is None:
            return None
        room = cache.open_row()
        if room is None:
            return None
        y = whole(x, cos, sin, room, eps)
        cache.close_row()
        return y

    def _layers(self, x: Array, blocks: Sequence[LayerWeights]) -> kernels.WholeLayers | None:
        arrays = [
            array
            for block in blocks
            for array in (
                block.attn_norm,
                block.mlp_norm,
                *(part for both in block.products for part in both),
            )
        ]
        backend = current().backend
        same = backend == self._backend and len(arrays) == len(self._arrays)
        if not same or not all(map(is_, arrays, self._arrays)):
            self._backend, self._arrays, self._whole = backend, arrays, kernels.layers(x, blocks)
        return self._whole
