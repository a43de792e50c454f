"""The decoder: Qwen2 blocks with grouped heads and three-axis rotary positions."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.models.qwen2_vl.config import Config, TextConfig
from galago.nn import (
    Angles,
    Array,
    Cache,
    Embedding,
    GatedMLP,
    Linear,
    Module,
    RMSNorm,
    Screen,
    WholeLayers,
    mrope_angles,
    project,
)

Index: TypeAlias = NDArray[np.int64]


def decode_bytes(c: Config, rows: int) -> int:
    """Bytes of all that exists at once in a call with some rows, without caches and logits."""
    t = c.text
    attending = 3 * t.dim + 3 * t.heads * t.head_dim + 2 * t.kv_heads * t.head_dim
    feeding = 4 * t.dim + 3 * t.mlp_dim
    return 4 * rows * (max(attending, feeding) + t.head_dim)


class Block(Module):
    """Pre-norm decoder layer: T new rows, H query heads over G key/value heads of size d."""

    def __init__(self, c: TextConfig, layer: int) -> None:
        self.layer = layer
        self.head_dim = c.head_dim
        self.attn_norm = RMSNorm(c.dim, c.norm_eps)
        self.q = Linear(c.dim, c.heads * c.head_dim, bias=True)
        self.k = Linear(c.dim, c.kv_heads * c.head_dim, bias=True)
        self.v = Linear(c.dim, c.kv_heads * c.head_dim, bias=True)
        self.o = Linear(c.heads * c.head_dim, c.dim)
        self.mlp_norm = RMSNorm(c.dim, c.norm_eps)
        self.mlp = GatedMLP(c.dim, c.mlp_dim)

    def __call__(self, x: Array, cos: Array, sin: Array, cache: Cache, wanted: Index | None = None) -> Array:
        """x [T, dim], cos and sin [T, d/2] -> [T, dim], or only the rows `wanted`; the cache keeps all T."""
        seen = self.attend(self.attn_norm(x), cos, sin, cache)
        if wanted is not None:
            x, seen = kernels.take(x, wanted), kernels.take(seen, wanted)
        x = self.o(seen, x)
        return self.mlp(self.mlp_norm(x), x)

    def attend(self, x: Array, cos: Array, sin: Array, cache: Cache) -> Array:
        """x [T, dim], already normed -> what its heads see, [T, H * d]."""
        q, k, v = (y.reshape(len(x), -1, self.head_dim) for y in project(x, self.q, self.k, self.v))
        q, k = kernels.rotate(q, cos, sin), kernels.rotate(k, cos, sin)  # q [T, H, d]; k, v [T, G, d]
        return cache.attend(self.layer, q, k, v).reshape(len(x), -1)

    @property
    def weights(self) -> kernels.LayerWeights:
        """All that `__call__` computes with."""
        q, k, v, o, gate, up, down = (
            kernels.Product(one.weight, one.bias)
            for one in (self.q, self.k, self.v, self.o, self.mlp.gate, self.mlp.up, self.mlp.down)
        )
        return kernels.LayerWeights(self.attn_norm.weight, q, k, v, o, self.mlp_norm.weight, gate, up, down)


class Decoder(Module):
    """Embedding, blocks, final norm and the output projection, which may be the embedding itself."""

    def __init__(self, c: TextConfig) -> None:
        self.config = c
        self.embedding = Embedding(c.vocabulary, c.dim)
        self.blocks = [Block(c, layer) for layer in range(c.layers)]
        self.whole = WholeLayers()
        self.norm = RMSNorm(c.dim, c.norm_eps)
        self.output = None if c.tied else Linear(c.dim, c.vocabulary)
        self.screen: Screen | None = None

    def __call__(self, x: Array, positions: Index, cache: Cache, wanted: Index | None = None) -> Array:
        """x [T, dim], positions [3, T] -> [T, dim] after the final norm, or only the rows `wanted`."""
        cos, sin = (kernels.like(x, table) for table in self.angles(positions))
        return self.run(x, cos, sin, cache, wanted)

    def angles(self, positions: Index) -> Angles:
        """Positions [3, T] -> rotary tables on the host, [T, d/2] each."""
        c = self.config
        return mrope_angles(positions, c.head_dim, c.rope_sections, c.rope_base)

    def run(self, x: Array, cos: Array, sin: Array, cache: Cache, wanted: Index | None = None) -> Array:
        """x [T, dim], cos and sin [T, d/2] -> [T, dim] after the final norm, or only the rows `wanted`.

        Of the last block the other rows need no more than keys and values.
        """
        y = self.whole(x, cos, sin, cache, self.blocks, self.config.norm_eps)
        if y is not None:
            return self.norm(y if wanted is None else kernels.take(y, wanted))
        *others, last = self.blocks
        for block in others:
            x = block(x, cos, sin, cache)
        return self.norm(last(x, cos, sin, cache, wanted))

    def logits(self, hidden: Array) -> Array:
        """Hidden [T, dim] -> [T, vocabulary]."""
        return kernels.linear(hidden, self.head)

    def best_logits(self, hidden: Array, best: int) -> Array:
        """Hidden [1, dim] -> [1, vocabulary]: the `best` largest are right, the others nearly."""
        return self.logits(hidden) if self.screen is None else self.screen(hidden, self.head, best)

    @property
    def head(self) -> Array:
        """The output projection [vocabulary, dim]."""
        return self.embedding.weight if self.output is None else self.output.weight
