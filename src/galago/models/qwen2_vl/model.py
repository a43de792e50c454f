"""The whole model: a vision tower, a decoder, and nothing between them but features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from galago.models.qwen2_vl.config import Config
from galago.models.qwen2_vl.language import Decoder
from galago.models.qwen2_vl.vision import VisionTower
from galago.nn import Angles, Array, Cache, Module
from galago.types import Grid


class Model(Module):
    """Vision tower and decoder as the engine sees them (see `models.family.VisionLanguageModel`)."""

    def __init__(self, vision: Callable[[Array, tuple[Grid, ...]], Array], language: Decoder) -> None:
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

    def encode(self, patches: Array, grids: Sequence[Grid]) -> Array:
        """Patches [P, values] of one or more visuals -> features [P / merge^2, dim]."""
        return self.vision(patches, tuple(grids))

    def embed(self, ids: NDArray[np.int64]) -> Array:
        """Ids [T] -> [T, dim]."""
        return self.language.embedding(ids)

    def decode(self, x: Array, positions: NDArray[np.int64], cache: Cache) -> Array:
        """x [T, dim], positions [3, T] -> hidden [T, dim], after the final norm."""
        return self.language(x, positions, cache)

    def angles(self, positions: NDArray[np.int64]) -> Angles:
        """Positions [3, T] -> rotary tables on the host, [T, d/2] each."""
        return self.language.angles(positions)

    def run(self, x: Array, cos: Array, sin: Array, cache: Cache) -> Array:
        """`decode` of positions whose tables are on the device already."""
        return self.language.run(x, cos, sin, cache)

    def logits(self, hidden: Array) -> Array:
        """Hidden [T, dim] -> [T, vocabulary]."""
        return self.language.logits(hidden)


def build(config: Config) -> Model:
    """A model with placeholders for its arrays."""
    return Model(VisionTower(config.vision), Decoder(config.text))
