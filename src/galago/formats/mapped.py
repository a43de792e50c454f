"""Pages of mapped files: whose they are, and giving them back to the system until they are read again.

A page that is given back stays in the system's file cache as long as there is room; reading it again maps it
without the disk. Nothing here copies or changes a file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class MappedPages:
    """The pages behind some arrays of mapped files; arrays that are no views of one do not count.

    Keeps the mappings alive. `nbytes` is what the arrays hold of them.
    """

    def __init__(self, arrays: Iterable[NDArray[Any]]) -> None:
        spans: dict[int, tuple[mmap.mmap, list[tuple[int, int]]]] = {}
        for array in arrays:
            mapping = _mapping(array)
            if mapping is not None and array.nbytes:
                start = array.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
                spans.setdefault(id(mapping), (mapping, []))[1].append((start, start + array.nbytes))
        self.nbytes = sum(stop - start for _, parts in spans.values() for start, stop in parts)
        self._spans = [
            (mapping, start, stop - start)
            for mapping, parts in spans.values()
            for start, stop in _merged(parts, len(mapping))
        ]

    def release(self) -> None:
        """Take the pages out of this process, and of no other; the next read brings them back."""
        advice = getattr(mmap, "MADV_DONTNEED", None)  # not on every system
        if advice is None:
            return
        for mapping, start, length in self._spans:
            mapping.madvise(advice, start, length)


def _mapping(array: Any) -> mmap.mmap | None:
    """The mapping that a read-only array is a view of, else None."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return None
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return array if isinstance(array, mmap.mmap) else None


def _merged(spans: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Spans in whole pages, neighbours in one."""
    page = mmap.PAGESIZE
    held: tuple[int, int] | None = None
    for start, stop in sorted(
        (low // page * page, min(-(-high // page) * page, size)) for low, high in spans
    ):
        if held is not None and start <= held[1]:
            held = held[0], max(held[1], stop)
            continue
        if held is not None:
            yield held
        held = start, stop
    if held is not None:
        yield held
