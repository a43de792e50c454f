"""The whole model: a vision tower, a decoder, and nothing between them but features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from galago.models.family import Pieces
from galago.models.qwen2_vl.config import Config
from galago.models.qwen2_vl.language import Decoder
from galago.models.qwen2_vl.vision import PatchMerger, VisionBlock, VisionTower
from galago.nn import Angles, Array, Cache, Linear, Module, Screen
from galago.types import Grid


class Tower(Protocol):
    """A vision tower of either generation."""

    patch_embedding: Linear
    blocks: list[VisionBlock]
    merger: PatchMerger

    def __call__(self, patches: Array, grids: tuple[Grid, ...], pieces: Pieces | None = None) -> Array:
        """Patches [P, values] -> features [P / merge^2, out_dim]."""
        ...


class Model(Module):
    """Vision tower and decoder as the engine sees them (see `models.family.VisionLanguageModel`)."""

    def __init__(self, vision: Tower, language: Decoder) -> None:
        self.vision = vision
        self.language = language

    @property
    def module(self) -> Module:
        """The tree of parameters."""
        return self

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return len(self.language.blocks)

    @property
    def vision_parts(self) -> Sequence[Module]:
        """The tower's parts in the order of their use."""
        return [self.vision.patch_embedding, *self.vision.blocks, self.vision.merger]

    @property
    def text_blocks(self) -> Sequence[Module]:
        """The decoder's blocks in order."""
        return self.language.blocks

    def encode(self, patches: Array, grids: Sequence[Grid], pieces: Pieces | None = None) -> Array:
        """Patches [P, values] of one or more visuals -> features [P / merge^2, dim]."""
        return self.vision(patches, tuple(grids), pieces)

    def embed(self, ids: NDArray[np.int64]) -> Array:
        """Ids [T] -> [T, dim]."""
        return self.language.embedding(ids)

    def decode(
        self, x: Array, positions: NDArray[np.int64], cache: Cache, wanted: NDArray[np.int64] | None = None
    ) -> Array:
        """x [T, dim], positions [3, T] -> [T, dim] after the final norm, or only the rows `wanted`."""
        return self.language(x, positions, cache, wanted)

    def angles(self, positions: NDArray[np.int64]) -> Angles:
        """Positions [3, T] -> rotary tables on the host, [T, d/2] each."""
        return self.language.angles(positions)

    def run(self, x: Array, cos: Array, sin: Array, cache: Cache) -> Array:
        """`decode` of positions whose tables are on the device already."""
        return self.language.run(x, cos, sin, cache)

    def logits(self, hidden: Array) -> Array:
        """Hidden [T, dim] -> [T, vocabulary]."""
        return self.language.logits(hidden)

    def best_logits(self, hidden: Array, best: int) -> Array:
        """Hidden [1, dim] -> [1, vocabulary], of which only the `best` largest are looked at."""
        return self.language.best_logits(hidden, best)

    def screen_with(self, rough: Array) -> None:
        """Take a coarse copy of the output projection."""
        self.language.screen = Screen(self.language.head, rough)


def build(config: Config) -> Model:
    """A model with placeholders for its arrays."""
    return Model(VisionTower(config.vision), Decoder(config.text))
