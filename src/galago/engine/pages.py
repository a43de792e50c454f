"""Keys and values on a device: pages of one pool, so that every step of decoding has the same shapes.

A sequence has a table of pages and takes another when the last one is full. Page 0 belongs to nobody: the
rows that fill up a step write there. Keeps the cache contract of `galago.nn`. Arrays are touched where the
device computes and nowhere else, so one thread at a time; to fork, to measure and to forget needs no array.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.kernels import Array, Device
from galago.models import VisionLanguageModel

PAGE = 64
"""Rows of a page."""
FIRST_PAGES = 32
"""Pages of a new pool: room for a conversation about a picture."""
LEAST_WIDTH = 8
"""Pages of the narrowest table of a step; wider ones double, so that few steps have to be recorded."""

Ids = NDArray[np.int64]


class PagePool:
    """The keys and values of all sequences of one engine: `store` [layers, 2, pages, PAGE, G, d].

    It grows when no page is free, which moves everything; recordings made around it are then forgotten.
    """

    def __init__(self, layers: int, device: Device) -> None:
        self.layers, self.device = layers, device
        self.recorder = device.recorder()
        self.store: Array = None
        self.row_bytes = 0
        """Bytes of one token, known once there is one."""
        self._free: list[int] = []
        self._expected = FIRST_PAGES

    def new(self) -> PagedCache:
        """The cache of a new sequence."""
        return PagedCache(self)

    def expect(self, pages: int) -> None:
        """So many more pages will be taken: a pool that has to grow for them grows by all at once."""
        self._expected = max(FIRST_PAGES, pages)

    def take(self, count: int, row: tuple[int, ...]) -> list[int]:
        """So many pages with rows [G, d], all 0: what was there before may not have been finite."""
        if len(self._free) < count:
            self._grow(max(count, self._expected), row)
        pages = [self._free.pop() for _ in range(count)]
        if pages:
            self.store[:, :, pages] = 0
        return pages

    def give(self, pages: list[int]) -> None:
        """Take back the pages of a sequence."""
        self._free.extend(pages)

    def _grow(self, count: int, row: tuple[int, ...]) -> None:
        first = 1 if self.store is None else self.store.shape[2]  # page 0 is given to nobody
        whole = max(first + count, first * 3 // 2)
        grown = self.device.zeros((self.layers, 2, whole, PAGE, *row))
        if self.store is not None:
            grown[:, :, :first] = self.store
        self.store = grown
        self.row_bytes = int(grown[:, :, 0, 0].nbytes)
        self._free.extend(range(first, whole))
        self.recorder.clear()


class PagedCache:
    """The keys and values of one sequence; its pages go back to the pool when nobody holds it any more."""

    trunk = None  # nothing is shared with others

    def __init__(self, pool: PagePool) -> None:
        self.pool = pool
        self.pages: list[int] = []
        self._length = 0
        self._source: PagedCache | None = None
        self._places: tuple[Array, Array] | None = None
        weakref.finalize(self, pool.give, self.pages).atexit = False

    def __len__(self) -> int:
        """Tokens kept."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens kept."""
        return self._length * self.pool.row_bytes

    def reserve(self, tokens: int) -> None:
        """Expect this many tokens in all."""
        self.pool.expect(-(-tokens // PAGE) - len(self.pages))

    def attend(self, layer: int, q: Array, k: Array, v: Array) -> Array:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d]; k and v are kept, every row sees all up to itself."""
        end = self._length + len(k)
        if layer == 0:
            self.make_room(end, tuple(k.shape[1:]))
            rows = self._rows(end)
            index = self.pool.device.index
            self._places = index(rows[self._length :]), index(rows)
        assert self._places is not None
        written, seen = self._places
        keys, values = self.pool.store[layer].reshape(2, -1, *k.shape[1:])
        keys[written], values[written] = k, v
        y = kernels.attention(q, kernels.take(keys, seen), kernels.take(values, seen), causal=True)
        if layer == self.pool.layers - 1:
            self._length, self._places = end, None
        return y

    def truncate(self, tokens: int) -> None:
        """Forget all but the first tokens."""
        assert 0 <= tokens <= self._length, (tokens, self._length)
        self._length = tokens

    def shrink(self) -> None:
        """Give back the pages that hold no token."""
        spare = self.pages[-(-self._length // PAGE) :]
        del self.pages[len(self.pages) - len(spare) :]
        self.pool.give(spare)

    def fork(self, tokens: int, *, expected: int = 0, head: int = 0) -> PagedCache:  # noqa: ARG002 - the contract
        """A cache of its own that begins with the first tokens: they are copied when it is first fed.

        Until then it holds on to this one, whose first tokens never change. `head` is a matter of caches that
        share a beginning; a copy on a device costs less than meeting two arrays in every layer.
        """
        assert tokens <= self._length, (tokens, self._length)
        copy = PagedCache(self.pool)
        copy.reserve(max(tokens, expected))
        copy._source = self if tokens else None
        copy._length = tokens
        return copy

    def make_room(self, tokens: int, row: tuple[int, ...]) -> None:
        """Have pages for so many tokens in all, and in them what a fork begins with."""
        source, self._source = self._source, None
        if source is not None:
            source.make_room(self._length, row)  # it may be a fork itself
            self.make_room(self._length, row)
            store = self.pool.store
            store[:, :, self.pages] = store[:, :, source.pages[: len(self.pages)]]
        missing = -(-tokens // PAGE) - len(self.pages)
        if missing > 0:
            self.pages.extend(self.pool.take(missing, row))

    def grew(self) -> None:
        """A step has written one token at the end."""
        self._length += 1

    def _rows(self, end: int) -> Ids:
        """Where the first `end` tokens are, in rows of the pool."""
        rows = np.array(self.pages, np.int64)[:, None] * PAGE + np.arange(PAGE)
        return rows.ravel()[:end]


class _Step:
    """What the rows of one step meet: one token of each of B sequences, all indices on the device."""

    def __init__(self, store: Array, written: Array, tables: Array, lengths: Array) -> None:
        self._store, self._written, self._tables, self._lengths = store, written, tables, lengths

    def attend(self, layer: int, q: Array, k: Array, v: Array) -> Array:
        """q [B, H, d], k and v [B, G, d] -> [B, H, d]."""
        pages = self._store[layer]
        keys, values = pages.reshape(2, -1, *k.shape[1:])
        keys[self._written], values[self._written] = k, v
        return kernels.attend_pages(q, pages[0], pages[1], self._tables, self._lengths)


def step(
    network: VisionLanguageModel, caches: Sequence[PagedCache], ids: Ids, positions: Ids
) -> NDArray[np.float32]:
    """The next token of each of B sequences, ids [B] and positions [axes, B] -> logits [B, V].

    The number of rows is filled up to a power of two, and so is the width of the tables, so that few
    different steps are ever recorded. Modifies the caches, none of which may be empty.
    """
    pool, count = caches[0].pool, len(caches)
    for cache in caches:
        cache.make_room(len(cache) + 1, tuple(pool.store.shape[-2:]))
    rows = _power_of_two(count)
    width = max(LEAST_WIDTH, _power_of_two(max(len(cache.pages) for cache in caches)))
    tables, lengths = np.zeros((rows, width), np.int64), np.ones(rows, np.int64)
    written = np.zeros(rows, np.int64)
    for row, cache in enumerate(caches):
        place = len(cache)
        tables[row, : len(cache.pages)] = cache.pages
        lengths[row] = place + 1
        written[row] = cache.pages[place // PAGE] * PAGE + place % PAGE
    filled = np.resize(ids, rows), np.resize(positions.T, (rows, len(positions))).T
    cos, sin = network.angles(filled[1])

    def compute(ids: Array, cos: Array, sin: Array, written: Array, tables: Array, lengths: Array) -> Array:
        hidden = network.run(network.embed(ids), cos, sin, _Step(pool.store, written, tables, lengths))
        return network.logits(hidden)

    logits = pool.recorder.run((rows, width), compute, (filled[0], cos, sin, written, tables, lengths))
    for cache in caches:
        cache.grew()
    found: NDArray[np.float32] = kernels.to_numpy(logits)[:count]
    return found


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
