"""The cache contract: how a decoder layer meets the keys and values of earlier tokens.

A block hands its rows to `attend` and does not know whether they are one sequence, several decoded together,
or a training batch: that is the cache's matter.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from galago.kernels import Room
from galago.nn.module import Array


class Cache(Protocol):
    """Keys and values by layer for the rows of one call of a decoder."""

    def attend(self, layer: int, q: Array, k: Array, v: Array) -> Array:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d].

        Keeps the new keys and values of `layer`, and lets every row see its own sequence up to itself,
        earlier tokens included.
        """
        ...


@runtime_checkable
class RowCache(Cache, Protocol):
    """A cache that may also let all layers of new rows be computed at once."""

    def open_rows(self, count: int) -> list[Room] | None:
        """Room for `count` new rows, each of a sequence of its own; None where each layer must `attend`."""
        ...

    def close_rows(self) -> None:
        """Keep the rows that were opened last; all layers have written theirs."""
        ...
