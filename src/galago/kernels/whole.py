"""Whole decoder layers as one kernel, for one new row: what it is told, in plain tuples of arrays."""

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
    """Keys and values [capacity, G, d] of each layer; of `tokens` rows the last one is to be written."""

    keys: list[Array]
    values: list[Array]
    tokens: int


WholeLayers: TypeAlias = Callable[[Array, Array, Array, Room, float], Array]
"""x [1, D], cos and sin [1, d/2], room, eps -> [1, D]: the same numbers as layer by layer.

The keys and values of the row are written to the room.
"""
