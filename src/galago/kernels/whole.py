"""Whole decoder layers as one kernel, for a new row of each sequence: what it is told, in plain tuples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

Array: TypeAlias = Any


class Product(NamedTuple):
    """A projection: weight [N, K] of any kind, bias [N] or None."""

    weight: Array
    bias: Array | None


class LayerWeights(NamedTuple):
    """A pre-norm decoder layer: RMS norms [D], grouped heads that are turned, SwiGLU."""

    attn_norm: Array
    q: Product
    k: Product
    v: Product
    o: Product
    mlp_norm: Array
    gate: Product
    up: Product
    down: Product

    @property
    def products(self) -> tuple[Product, ...]:
        """All projections, in the order of their use."""
        return self.q, self.k, self.v, self.o, self.gate, self.up, self.down


class Room(NamedTuple):
    """A sequence's keys and values, [2, layers, G, capacity, d]; of `own` rows the last is to be written.

    Before them come the first `shared` rows of another such array, None where there are none.
    """

    rows: Array
    own: int
    shared_rows: Array | None
    shared: int


WholeLayers: TypeAlias = Callable[[Array, Array, Array, list[Room], float], Array]
"""x [n, D], cos and sin [n, d/2], n rooms, eps -> [n, D]: the same numbers as layer by layer.

The keys and values of each row are written to its room.
"""
