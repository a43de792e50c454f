"""Keys and values as they lie in memory: those of one sequence in a mapping of their own.

Arrays for each layer would leave holes in the heap, as sequences of many lengths come and go, and a step
would have to look at each of them (LOG 2026-11-29).
"""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

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
        return self._move(-(-wanted // ROUND) * ROUND, shape)

    def shrink(self, count: int) -> None:
        """Give back all but the first rows. They move within the mapping, which then ends behind them."""
        if self.array is None or self._memory is None or self.array.shape[3] <= count:
            return
        blocks, form = self.array.reshape(-1, *self.array.shape[3:]), self.array.shape
        kept = blocks.reshape(-1)[: len(blocks) * count * form[-1]].reshape(len(blocks), count, form[-1])
        for new, old in zip(kept, blocks, strict=True):
            new[:] = old[:count]
        size = max(kept.nbytes, 1)
        del blocks, kept, new, old  # a mapping that is seen anywhere can't be resized
        self.array = None
        with suppress(BufferError):  # an error's traceback may see it: then what is reserved stays
            self._memory.resize(size)
        self.array = _rows_in(self._memory, (*form[:3], count, form[-1]))

    def _move(self, rows: int, shape: tuple[int, ...]) -> F32:
        """Into a mapping with more rows; the old one is given back meanwhile."""
        heads, size = shape
        form = 2, self._layers, heads, rows, size
        memory = _mapping(math.prod(form) * np.dtype(np.float32).itemsize)
        array = _rows_in(memory, form)
        if self.array is not None and self._memory is not None and self.array.size:
            old, new = (whole.reshape(-1, *whole.shape[2:]) for whole in (self.array, array))
            for place, part in enumerate(old):
                new[place, :, : part.shape[1]] = part
                done = (place + 1) * part.nbytes // mmap.PAGESIZE * mmap.PAGESIZE
                self._memory.madvise(mmap.MADV_DONTNEED, 0, done)
        self._memory, self.array = memory, array
        return array


def _rows_in(memory: mmap.mmap, form: tuple[int, ...]) -> F32:
    return np.frombuffer(memory, np.float32, math.prod(form)).reshape(form)


def _mapping(size: int) -> mmap.mmap:
    """Memory that no other process sees; raises MemoryError."""
    try:
        return mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from error
