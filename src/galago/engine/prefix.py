"""Keys and values of earlier prompts, for what begins the same way: the next question about a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galago.engine.kv import SequenceCache, held_bytes
from galago.frozen import frozen

PREFIX_BYTES = 256 << 20
KEPT = 24
"""Sequences that are kept at most, however short: a process is soon as large as it will ever be."""


@frozen(eq=False)
class _Entry:
    identity: NDArray[np.int64]
    cache: SequenceCache
    head: int


def common(first: NDArray[np.int64], second: NDArray[np.int64]) -> int:
    """How many leading numbers two sequences share."""
    count = min(len(first), len(second))
    differing = np.flatnonzero(first[:count] != second[:count])
    return int(differing[0]) if len(differing) else count


class PrefixStore:
    """Finished sequences, the least recently used dropped first so that bytes and number stay below caps.

    A sequence that begins with all of an older one's pictures takes that one's place, so a picture is kept
    once however many questions are asked. Not safe for two threads at once.
    """

    def __init__(self, max_bytes: int = PREFIX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: list[_Entry] = []  # least recently used first

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values held."""
        return held_bytes(self.caches)

    @property
    def caches(self) -> list[SequenceCache]:
        """What is held."""
        return [entry.cache for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, identity: NDArray[np.int64]) -> tuple[int, SequenceCache | None]:
        """How many leading tokens are held, and the cache that begins with them."""
        best, found = 0, None
        for entry in self._entries:
            shared = min(common(entry.identity, identity), len(entry.cache))
            if shared > best:
                best, found = shared, entry
        if found is None:
            return 0, None
        self._entries.remove(found)
        self._entries.append(found)
        return best, found.cache

    def put(self, identity: NDArray[np.int64], cache: SequenceCache, head: int) -> None:
        """Keep a sequence; `head` tokens of it, up to its last picture, are what others may share.

        The cache belongs to the store from now on.
        """
        held = len(cache)
        if held == 0:
            return
        cache.shrink()
        kept = _Entry(identity[:held], cache, min(head, held))
        self._entries = [entry for entry in self._entries if not self._replaces(kept, entry)]
        self._entries.append(kept)
        while len(self._entries) > KEPT or self.nbytes > self._max_bytes:
            self._entries.pop(0)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    @staticmethod
    def _replaces(new: _Entry, old: _Entry) -> bool:
        shared = common(new.identity, old.identity)
        return shared >= (old.head or len(old.identity))
