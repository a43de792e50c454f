"""Keys and values of earlier tokens: one sequence each, and several sequences met by one call of the decoder.

Both keep the cache contract of `galago.nn`. Arrays are float32: products of queries and keys need the range.
Not safe for two threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from galago import kernels
from galago.engine.rows import F32, ROUND, Rows

if TYPE_CHECKING:
    from galago.engine.pages import PagedCache

WORTH_SHARING = 128
"""Tokens of a beginning from which on it is kept once for several sequences; a shorter one is copied."""


class Trunk:
    """The first `tokens` keys and values of several sequences, kept once.

    Behind them is room for the rest of one sequence at a time, so that attention meets both in one array: who
    comes after another copies its rest there. `guests` says for each layer whose rest it is, and its rows.
    """

    def __init__(self, tokens: int, rows: Rows, layers: int) -> None:
        self.tokens, self.rows = tokens, rows
        self.guests: list[tuple[object, int]] = [(None, 0)] * layers

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens kept and of the rest behind them."""
        return self.rows.nbytes(self.tokens + self.guests[-1][1])

    def attend(self, layer: int, guest: object, start: int, k: F32, v: F32) -> tuple[F32, F32]:
        """k and v [n, G, d]: the whole rest of a sequence, new from `start` on -> all its keys and values."""
        last, held = self.guests[layer]
        known = min(held, start) if last is guest else 0
        place, reserve = self.tokens + known, self.tokens + len(k)
        self.guests[layer] = (None, 0)  # nobody's, should memory end meanwhile
        seen = self.rows.write(layer, place, k[known:], v[known:], reserve)
        self.guests[layer] = (guest, len(k))
        return seen

    def expect(self, guest: object, start: int) -> None:
        """A sequence is about to change its rest from row `start` on, elsewhere."""
        self.guests = [(who, min(rows, start) if who is guest else rows) for who, rows in self.guests]


class KVCache:
    """The keys and values of one sequence.

    Memory is reserved ahead and grows by half. A long beginning that several sequences share is a trunk, kept
    once; what such a sequence has of its own is kept apart.
    """

    def __init__(self, layers: int) -> None:
        self._rows = Rows(layers)
        self._lengths = [0] * layers  # with the trunk's
        self._reserve = ROUND
        self._name = object()  # by which a trunk knows whose rest it holds
        self.trunk: Trunk | None = None

    def __len__(self) -> int:
        """Tokens kept. Between two calls of a decoder all layers agree."""
        return self._lengths[-1]

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens kept, without those of the trunk."""
        return self._rows.nbytes(len(self) - self._shared)

    @property
    def _shared(self) -> int:
        return 0 if self.trunk is None else self.trunk.tokens

    def reserve(self, tokens: int) -> None:
        """Expect this many tokens in all, so that they are kept without copying."""
        self._reserve = max(self._reserve, -(-tokens // ROUND) * ROUND)

    def attend(self, layer: int, q: F32, k: F32, v: F32) -> F32:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d]; k and v are kept, every row sees all up to itself."""
        start = self._lengths[layer] - self._shared
        keys, values = self._rows.write(layer, start, k, v, self._reserve - self._shared)
        self._lengths[layer] += len(k)
        if self.trunk is not None:
            keys, values = self.trunk.attend(layer, self._name, start, keys, values)
        seen: F32 = kernels.attention(q, keys, values, causal=True)
        return seen

    def open_rows(self, count: int) -> list[kernels.Room] | None:
        """Where one token's keys and values go; None for more, and before the first (no shape is known)."""
        shape = (self._rows if self.trunk is None else self.trunk.rows).shape
        if count != 1 or shape is None:
            return None
        start = len(self) - self._shared
        own = self._rows.room(start + 1, self._reserve - self._shared, shape)
        if self.trunk is None:
            return [kernels.Room(own, start + 1, None, 0)]
        self.trunk.expect(self._name, start)
        return [kernels.Room(own, start + 1, self.trunk.rows.array, self.trunk.tokens)]

    def close_rows(self) -> None:
        """Keep the row that was opened."""
        self._lengths = [length + 1 for length in self._lengths]

    def truncate(self, tokens: int) -> None:
        """Forget all but the first tokens, which are at least those of the trunk."""
        assert self._shared <= tokens <= max(self._lengths), (tokens, self._lengths)
        self._lengths = [tokens] * len(self._lengths)

    def shrink(self) -> None:
        """Give back what was reserved and is not used."""
        self._rows.shrink(len(self) - self._shared)
        self._reserve = ROUND

    def fork(self, tokens: int, *, expected: int = 0, head: int = 0) -> KVCache:
        """A cache that begins with the same tokens, and room for the expected number in all.

        Where the first `head` of them are worth it, this cache and the new one share them from now on; the
        others are copied.
        """
        assert tokens <= len(self), (tokens, len(self))
        if self.trunk is None and min(head, tokens) >= WORTH_SHARING:
            self._make_trunk(min(head, tokens))
        layers = len(self._lengths)
        copy = KVCache(layers)
        copy.reserve(max(tokens, expected))
        if self.trunk is not None and tokens < self.trunk.tokens:
            copy._rows.copy(self.trunk.rows, 0, tokens, copy._reserve)
        else:
            copy.trunk = self.trunk
            copy._rows.copy(self._rows, 0, tokens - self._shared, copy._reserve - self._shared)
        copy._lengths = [tokens] * layers
        return copy

    def _make_trunk(self, tokens: int) -> None:
        """Give the first tokens to a trunk, and what follows them to rows of its own."""
        layers, rest = len(self._lengths), len(self) - tokens
        own = Rows(layers)
        own.copy(self._rows, tokens, rest, self._reserve - tokens)
        trunk = Trunk(tokens, self._rows, layers)
        trunk.guests = [(self._name, rest)] * layers
        self._rows, self.trunk = own, trunk


SequenceCache: TypeAlias = "KVCache | PagedCache"
"""What keeps one sequence: on the host, or in the pages of a device."""


def held_bytes(caches: Iterable[SequenceCache]) -> int:
    """Bytes of the tokens that some caches keep; a trunk counts once."""
    held = list(caches)
    trunks = {id(cache.trunk): cache.trunk for cache in held if cache.trunk is not None}
    return sum(cache.nbytes for cache in held) + sum(trunk.nbytes for trunk in trunks.values())


class BatchCache:
    """Several sequences side by side: their rows share every product, and meet only their own past.

    `parts` gives each cache and how many of the rows belong to it, in the order of the rows.
    """

    def __init__(self, parts: Sequence[tuple[SequenceCache, int]]) -> None:
        self._parts = parts

    def open_rows(self, count: int) -> list[kernels.Room] | None:
        """As `KVCache.open_rows` of each sequence, where each has one row; else None."""
        rooms = []
        for cache, rows in self._parts:
            opened = cache.open_rows(rows) if isinstance(cache, KVCache) else None
            if opened is None:
                return None
            rooms += opened
        assert len(rooms) == count, (len(rooms), count)
        return rooms

    def close_rows(self) -> None:
        """As `KVCache.close_rows` of each sequence."""
        for cache, _ in self._parts:
            assert isinstance(cache, KVCache)
            cache.close_rows()

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
