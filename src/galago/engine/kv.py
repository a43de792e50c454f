"""Keys and values of earlier tokens: one sequence each, and several sequences met by one call of the decoder.

Both keep the cache contract of `galago.nn`. Arrays are float32: products of queries and keys need the range.
Not safe for two threads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago import kernels

if TYPE_CHECKING:
    from galago.engine.pages import PagedCache

F32 = NDArray[np.float32]

ROUND = 64
"""Rows are reserved in multiples of this, so that a growing answer seldom copies its cache."""


class KVCache:
    """The keys and values of one sequence, [S, G, d] for each layer.

    Memory is reserved ahead and grows by half; reserved rows that were never written cost no resident memory.
    """

    def __init__(self, layers: int) -> None:
        self._keys: list[F32 | None] = [None] * layers
        self._values: list[F32 | None] = [None] * layers
        self._lengths = [0] * layers
        self._reserve = ROUND

    def __len__(self) -> int:
        """Tokens kept. Between two calls of a decoder all layers agree."""
        return self._lengths[-1]

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens kept."""
        rows = (array[: len(self)] for array in (*self._keys, *self._values) if array is not None)
        return sum(part.nbytes for part in rows)

    def reserve(self, tokens: int) -> None:
        """Expect this many tokens in all, so that they are kept without copying."""
        self._reserve = max(self._reserve, -(-tokens // ROUND) * ROUND)

    def attend(self, layer: int, q: F32, k: F32, v: F32) -> F32:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d]; k and v are kept, every row sees all up to itself."""
        start = self._lengths[layer]
        end = start + len(k)
        keys = self._room(self._keys, layer, k, end)
        values = self._room(self._values, layer, v, end)
        keys[start:end] = k
        values[start:end] = v
        self._lengths[layer] = end
        seen: F32 = kernels.attention(q, keys[:end], values[:end], causal=True)
        return seen

    def truncate(self, tokens: int) -> None:
        """Forget all but the first tokens."""
        assert 0 <= tokens <= len(self), (tokens, len(self))
        self._lengths = [tokens] * len(self._lengths)

    def fork(self, tokens: int, *, expected: int = 0) -> KVCache:
        """A cache of its own with a copy of the first tokens and room for the expected number in all."""
        assert tokens <= len(self), (tokens, len(self))
        copy = KVCache(len(self._lengths))
        copy.reserve(max(tokens, expected))
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            if keys is not None and values is not None and tokens:
                copy._room(copy._keys, layer, keys, tokens)[:tokens] = keys[:tokens]
                copy._room(copy._values, layer, values, tokens)[:tokens] = values[:tokens]
        copy._lengths = [tokens] * len(self._lengths)
        return copy

    def _room(self, arrays: list[F32 | None], layer: int, like: F32, rows: int) -> F32:
        """The array of a layer with room for `rows` rows shaped as those of `like`."""
        held = arrays[layer]
        if held is not None and len(held) >= rows:
            return held
        wanted = max(self._reserve, rows, 0 if held is None else len(held) * 3 // 2)
        grown = np.empty((-(-wanted // ROUND) * ROUND, *like.shape[1:]), np.float32)
        if held is not None:
            grown[: self._lengths[layer]] = held[: self._lengths[layer]]
        arrays[layer] = grown
        return grown


SequenceCache: TypeAlias = "KVCache | PagedCache"
"""What keeps one sequence: on the host, or in the pages of a device."""


class BatchCache:
    """Several sequences side by side: their rows share every product, and meet only their own past.

    `parts` gives each cache and how many of the rows belong to it, in the order of the rows.
    """

    def __init__(self, parts: Sequence[tuple[SequenceCache, int]]) -> None:
        self._parts = parts

    def attend(self, layer: int, q: kernels.Array, k: kernels.Array, v: kernels.Array) -> kernels.Array:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d], as `KVCache.attend` for each sequence."""
        if len(self._parts) == 1:
            return self._parts[0][0].attend(layer, q, k, v)
        seen, start = [], 0
        for cache, count in self._parts:
            rows = slice(start, start + count)
            seen.append(cache.attend(layer, q[rows], k[rows], v[rows]))
            start += count
        assert start == len(q), (start, len(q))
        return kernels.concatenate(seen)
