"""Mapped files and their pages: whose they are, and giving them back to the system until they are read again.

A page that is given back stays in the system's file cache as long as there is room; reading it again maps it
without the disk. Nothing here copies or changes a file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray


def map_file(file: int, size: int) -> mmap.mmap:
    """Map the first `size` bytes of an open file to be read, in pages of 2 MB where the system has them.

    A file that comes from the disk this way stays in the file cache in large pieces; through small pages
    weights are read at half of the memory's rate on some processors (LOG 2026-11-28). Raises OSError.
    """
    mapping = mmap.mmap(file, size, access=mmap.ACCESS_READ)
    advice = getattr(mmap, "MADV_HUGEPAGE", None)  # not on every system
    if advice is not None:
        with suppress(OSError):  # a kernel without large pages
            mapping.madvise(advice)
    return mapping


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
