"""Keys and values as they lie in memory: those of one sequence in a mapping of their own.

Arrays for each layer would leave holes in the heap, as sequences of many lengths come and go, and a step
would have to look at each of them (LOG 2026-11-29).
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

ROUND = 64
"""Rows are reserved in multiples of this, so that a growing answer seldom copies its cache."""


class Rows:
    """Rows [G, d] of keys and of values in L layers, with room to grow: `array` [2, L, G, capacity, d].

    The rows of a head follow each other: a thread that attends reads those of one head, and a processor
    fetches ahead what lies in one piece (LOG 2026-11-29). Reserved rows cost no resident memory.
    """

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._memory: mmap.mmap | None = None
        self.array: F32 | None = None

    @property
    def shape(self) -> tuple[int, int] | None:
        """G and d; None before the first row."""
        return None if self.array is None else (self.array.shape[2], self.array.shape[4])

    def nbytes(self, count: int) -> int:
        """Bytes of so many rows."""
        return 0 if self.array is None else self.array[..., :1, :].nbytes * count

    def layer(self, number: int) -> tuple[F32, F32]:
        """The keys and the values of a layer, [capacity, G, d] each, as views."""
        assert self.array is not None
        keys, values = self.array[:, number].swapaxes(1, 2)
        return keys, values

    def write(self, layer: int, start: int, k: F32, v: F32, reserve: int) -> tuple[F32, F32]:
        """Put k and v [T, G, d] at row `start` of a layer; all its rows up to their end, as views."""
        end = start + len(k)
        self.room(end, reserve, k.shape[1:])
        keys, values = (rows[:end] for rows in self.layer(layer))
        keys[start:], values[start:] = k, v
        return keys, values

    def copy(self, source: Rows, start: int, count: int, reserve: int) -> None:
        """Begin with rows of another, from its row `start` on."""
        if count and source.array is not None and source.shape is not None:
            array = self.room(count, reserve, source.shape)
            array[..., :count, :] = source.array[..., start : start + count, :]

    def room(self, count: int, reserve: int, shape: tuple[int, ...]) -> F32:
        """The whole array, with room for so many rows [G, d] at least; those that there are stay."""
        held = 0 if self.array is None else self.array.shape[3]
        if self.array is not None and held >= count:
            return self.array
        wanted = max(reserve, count, held * 3 // 2)
        return self._move(-(-wanted // ROUND) * ROUND, held, shape)

    def shrink(self, count: int) -> None:
        """Give back all but the first rows."""
        if self.array is not None and self.shape is not None and self.array.shape[3] > count:
            self._move(count, count, self.shape)

    def _move(self, rows: int, kept: int, shape: tuple[int, ...]) -> F32:
        """Into a mapping with so many rows, the first ones kept; the old one is given back meanwhile."""
        heads, size = shape
        count = 2 * self._layers * heads * rows * size
        memory = _mapping(count * np.dtype(np.float32).itemsize)
        array = np.frombuffer(memory, np.float32, count).reshape(2, self._layers, heads, rows, size)
        if self.array is not None and self._memory is not None and kept:
            old, new = (whole.reshape(-1, *whole.shape[2:]) for whole in (self.array, array))
            for place, part in enumerate(old):
                new[place, :, :kept] = part[:, :kept]
                done = (place + 1) * part.nbytes // mmap.PAGESIZE * mmap.PAGESIZE
                self._memory.madvise(mmap.MADV_DONTNEED, 0, done)
        self._memory, self.array = memory, array
        return array


def _mapping(size: int) -> mmap.mmap:
    """Memory that no other process sees; raises MemoryError."""
    try:
        return mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from error
