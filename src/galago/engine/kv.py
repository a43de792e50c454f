"""Keys and values of earlier tokens: one sequence each, and several sequences met by one call of the decoder.

Both keep the cache contract of `galago.nn`. Arrays are float32: products of queries and keys need the range.
Not safe for two threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago import kernels

if TYPE_CHECKING:
    from galago.engine.pages import PagedCache

F32 = NDArray[np.float32]

ROUND = 64
"""Rows are reserved in multiples of this, so that a growing answer seldom copies its cache."""


WORTH_SHARING = 128
"""Tokens of a beginning from which on it is kept once for several sequences; a shorter one is copied."""


class Rows:
    """One layer's rows [S, G, d] of something, with room to grow; reserved rows cost no resident memory.

    In memory the rows of a head follow each other: a thread that attends reads those of one head, and a
    processor fetches ahead what lies in one piece (LOG 2026-11-29).
    """

    def __init__(self) -> None:
        self.array: F32 | None = None

    def write(self, start: int, new: F32, reserve: int) -> F32:
        """Put rows at `start`, keeping those before; all rows up to their end, as a view."""
        array = self.room(start, len(new), reserve, new.shape[1:])
        array[start : start + len(new)] = new
        return array[: start + len(new)]

    def room(self, start: int, count: int, reserve: int, shape: tuple[int, ...]) -> F32:
        """The whole array, with room for so many rows from `start` on; those before are kept."""
        end, held = start + count, self.array
        if held is not None and len(held) >= end:
            return held
        wanted = max(reserve, end, 0 if held is None else len(held) * 3 // 2)
        return self._move(-(-wanted // ROUND) * ROUND, start, shape)

    def shrink(self, count: int) -> None:
        """Give back all but the first rows."""
        if self.array is not None and len(self.array) > count:
            self._move(count, count, self.array.shape[1:])

    def _move(self, rows: int, kept: int, shape: tuple[int, ...]) -> F32:
        """Into an array of so many rows, of which the first are kept."""
        heads, size = shape
        held = self.array
        self.array = np.empty((heads, rows, size), np.float32).transpose(1, 0, 2)
        if held is not None:
            self.array[:kept] = held[:kept]
        return self.array


class Trunk:
    """The first `tokens` keys and values of several sequences, kept once.

    Behind them is room for the rest of one sequence at a time, so that attention meets both in one array: who
    comes after another copies its rest there. `guests` says for each layer whose rest it is, and its rows.
    """

    def __init__(self, tokens: int, keys: list[Rows], values: list[Rows]) -> None:
        self.tokens, self.keys, self.values = tokens, keys, values
        self.guests: list[tuple[object, int]] = [(None, 0)] * len(keys)

    @property
    def parts(self) -> list[Rows]:
        """The keys of all layers, then the values."""
        return [*self.keys, *self.values]

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens kept and of the rest behind them."""
        rows = self.tokens + self.guests[-1][1]
        return sum(part.array[:rows].nbytes for part in self.parts if part.array is not None)

    def attend(self, layer: int, guest: object, start: int, k: F32, v: F32) -> tuple[F32, F32]:
        """k and v [n, G, d]: the whole rest of a sequence, new from `start` on -> all its keys and values."""
        last, held = self.guests[layer]
        known = min(held, start) if last is guest else 0
        place, reserve = self.tokens + known, self.tokens + len(k)
        self.guests[layer] = (None, 0)  # nobody's, should memory end between the two
        keys = self.keys[layer].write(place, k[known:], reserve)
        values = self.values[layer].write(place, v[known:], reserve)
        self.guests[layer] = (guest, len(k))
        return keys, values

    def expect(self, guest: object, start: int) -> None:
        """A sequence is about to change its rest from row `start` on, elsewhere."""
        self.guests = [(who, min(rows, start) if who is guest else rows) for who, rows in self.guests]


class KVCache:
    """The keys and values of one sequence, [S, G, d] for each layer.

    Memory is reserved ahead and grows by half. A long beginning that several sequences share is a trunk, kept
    once; what such a sequence has of its own is kept apart.
    """

    def __init__(self, layers: int) -> None:
        self._keys = [Rows() for _ in range(layers)]
        self._values = [Rows() for _ in range(layers)]
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
        rows = len(self) - self._shared
        return sum(part.array[:rows].nbytes for part in self._parts if part.array is not None)

    @property
    def _shared(self) -> int:
        return 0 if self.trunk is None else self.trunk.tokens

    @property
    def _parts(self) -> list[Rows]:
        return [*self._keys, *self._values]

    def reserve(self, tokens: int) -> None:
        """Expect this many tokens in all, so that they are kept without copying."""
        self._reserve = max(self._reserve, -(-tokens // ROUND) * ROUND)

    def attend(self, layer: int, q: F32, k: F32, v: F32) -> F32:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d]; k and v are kept, every row sees all up to itself."""
        start = self._lengths[layer] - self._shared
        reserve = self._reserve - self._shared
        keys = self._keys[layer].write(start, k, reserve)
        values = self._values[layer].write(start, v, reserve)
        self._lengths[layer] += len(k)
        if self.trunk is not None:
            keys, values = self.trunk.attend(layer, self._name, start, keys, values)
        seen: F32 = kernels.attention(q, keys, values, causal=True)
        return seen

    def open_rows(self, count: int) -> list[kernels.Room] | None:
        """Where one token's keys and values go; None for more, and before the first (no shape is known)."""
        known = self._keys[0] if self.trunk is None else self.trunk.keys[0]
        if count != 1 or known.array is None:
            return None
        start, shape = len(self) - self._shared, known.array.shape[1:]
        for part in self._parts:
            part.room(start, 1, self._reserve - self._shared, shape)
        shared: tuple[list[kernels.Array], list[kernels.Array], int] = [], [], 0
        if self.trunk is not None:
            self.trunk.expect(self._name, start)
            shared = _arrays(self.trunk.keys), _arrays(self.trunk.values), self.trunk.tokens
        return [kernels.Room(_arrays(self._keys), _arrays(self._values), start + 1, *shared)]

    def close_rows(self) -> None:
        """Keep the row that was opened."""
        self._lengths = [length + 1 for length in self._lengths]

    def truncate(self, tokens: int) -> None:
        """Forget all but the first tokens, which are at least those of the trunk."""
        assert self._shared <= tokens <= max(self._lengths), (tokens, self._lengths)
        self._lengths = [tokens] * len(self._lengths)

    def shrink(self) -> None:
        """Give back what was reserved and is not used."""
        rows = len(self) - self._shared
        for part in self._parts:
            part.shrink(rows)
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
        copy.trunk = self.trunk if tokens >= self._shared else None
        for layer in range(layers if tokens > copy._shared else 0):
            reserve = copy._reserve - copy._shared
            copy._keys[layer].write(0, self._rows(self._keys, layer, tokens), reserve)
            copy._values[layer].write(0, self._rows(self._values, layer, tokens), reserve)
        copy._lengths = [tokens] * layers
        return copy

    def _make_trunk(self, tokens: int) -> None:
        """Give the first tokens to a trunk, and what follows them to arrays of its own."""
        rest = len(self) - tokens
        trunk = Trunk(tokens, self._keys, self._values)
        trunk.guests = [(self._name, rest)] * len(self._keys)
        keys, values = ([Rows() for _ in part] for part in (trunk.keys, trunk.values))
        reserve = self._reserve - tokens
        for own, shared in zip([*keys, *values], trunk.parts, strict=True):
            if rest and shared.array is not None:
                own.write(0, shared.array[tokens : tokens + rest], reserve)
        self._keys, self._values, self.trunk = keys, values, trunk

    def _rows(self, parts: list[Rows], layer: int, tokens: int) -> F32:
        """The rows that a fork of so many tokens copies: those behind the trunk, or all of a shorter one."""
        own = parts[layer].array
        if self.trunk is not None and tokens < self.trunk.tokens:
            own = (self.trunk.keys if parts is self._keys else self.trunk.values)[layer].array
        elif self.trunk is not None:
            tokens -= self.trunk.tokens
        assert own is not None
        return own[:tokens]


def _arrays(parts: Sequence[Rows]) -> list[kernels.Array]:
    return [part.array for part in parts]


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
