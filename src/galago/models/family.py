"""What a family declares, and how it is found: the contract between model folders and the engine."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from galago.errors import ConfigError
from galago.frozen import frozen
from galago.nn import Angles, Array, Cache, Module
from galago.types import Box, Grid, Weights


@frozen
class Tensor:
    """One parameter of a model and how files spell it.

    `ours` is the dotted parameter name; `spellings` are its names in safetensors files, the first one being
    what export writes; `shape` is the shape in the file (same element order as ours); `floor` is the coarsest
    form it may be packed to ("f32" for norms and biases, which are always widened); `is_head`: logits are
    products with it.
    """

    ours: str
    spellings: tuple[str, ...]
    shape: tuple[int, ...]
    floor: Weights = "q4"
    is_head: bool = False

    @property
    def matrix(self) -> tuple[int, int] | None:
        """[rows, columns] as the kernels take it, trailing axes in one; None for a vector."""
        return None if len(self.shape) == 1 else (self.shape[0], math.prod(self.shape[1:]))

    def kind(self, wanted: Weights) -> Weights:
        """How the parameter is held when `wanted` is asked for: never coarser than its floor."""
        finest_first: tuple[Weights, ...] = ("f32", "bf16", "q8", "q4")
        return min(wanted, self.floor, key=finest_first.index)


@frozen
class Visual:
    """One picture or video of a prompt as the vision tower takes it.

    `patches` float32 [P, patch values]; `grid` in patches (temporal, rows, columns); `resized` and `original`
    are (height, width) in pixels; `seconds_per_step` is the time between two temporal patches of a video,
    else None.
    """

    patches: NDArray[np.float32]
    grid: Grid
    resized: tuple[int, int]
    original: tuple[int, int]
    seconds_per_step: float | None = None

    @property
    def kind(self) -> Literal["image", "video"]:
        """Which placeholder token stands for it."""
        return "image" if self.seconds_per_step is None else "video"


class ModelConfig(Protocol):
    """What the engine reads of a family's config, whatever else that holds."""

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        ...

    @property
    def vocabulary(self) -> int:
        """Logits of one token."""
        ...

    @property
    def image_token(self) -> int:
        """The placeholder of a picture's features."""
        ...

    @property
    def video_token(self) -> int:
        """The placeholder of a video's features."""
        ...

    @property
    def feature_values(self) -> int:
        """Numbers in the features of one visual token."""
        ...

    @property
    def cache_values(self) -> int:
        """Numbers that a cache keeps for one token, over all layers."""
        ...


@frozen
class Pieces:
    """How a tower works when memory is short; the numbers that come out are the same.

    `rows` patches, a multiple of merge^2, have their intermediates in memory at a time. `done` is called with
    every part of the tower after its last use.
    """

    rows: int
    done: Callable[[Module], None]


class VisionLanguageModel(Protocol):
    """The four things an engine sees: token ids, embeddings with positions, a cache, logits."""

    @property
    def module(self) -> Module:
        """The tree of parameters."""
        ...

    @property
    def layers(self) -> int:
        """Decoder layers: what a cache must keep."""
        ...

    @property
    def vision_parts(self) -> Sequence[Module]:
        """The tower's parts in the order of their use: what `Pieces.done` is told of."""
        ...

    @property
    def text_blocks(self) -> Sequence[Module]:
        """The decoder's blocks in order; the cache knows each by its place."""
        ...

    def encode(self, patches: Array, grids: Sequence[Grid], pieces: Pieces | None = None) -> Array:
        """Patches [P, values] of one or more visuals -> features [P / merge^2, dim].

        Without `pieces` nothing is changed in place, and gradients flow.
        """
        ...

    def embed(self, ids: NDArray[np.int64]) -> Array:
        """Ids [T] -> [T, dim]."""
        ...

    def decode(
        self, x: Array, positions: NDArray[np.int64], cache: Cache, wanted: NDArray[np.int64] | None = None
    ) -> Array:
        """x [T, dim], positions [axes, T] -> [T, dim] after the final norm, or only the rows `wanted`."""
        ...

    def angles(self, positions: NDArray[np.int64]) -> Angles:
        """Positions [axes, T] -> the host's share of `decode`: tables [T, ...] that `run` takes."""
        ...

    def run(self, x: Array, cos: Array, sin: Array, cache: Cache) -> Array:
        """The device's share of `decode`, x [T, dim] -> hidden [T, dim]: no host array is met on the way."""
        ...

    def logits(self, hidden: Array) -> Array:
        """Hidden [T, dim] -> [T, vocabulary]."""
        ...

    def best_logits(self, hidden: Array, best: int) -> Array:
        """Hidden [1, dim] -> [1, vocabulary], of which only the `best` largest are looked at."""
        ...

    def screen_with(self, rough: Array) -> None:
        """Take a coarse copy of the output projection, with which `best_logits` reads less."""
        ...


class Processor(Protocol):
    """Pixels to patches, placeholders to token runs, tokens to positions."""

    @property
    def min_pixels(self) -> int:
        """Smaller pictures are enlarged to this area."""
        ...

    @property
    def max_pixels(self) -> int:
        """Larger pictures are reduced to this area."""
        ...

    @property
    def pixels_per_token(self) -> int:
        """Pixels of the resized picture behind one image token."""
        ...

    def describe(self) -> str:
        """Every setting that changes the patches, as one line: part of a feature cache's key."""
        ...

    def with_pixels(self, min_pixels: int | None, max_pixels: int | None) -> Processor:
        """The same processor with other bounds; UsageError when they exclude each other."""
        ...

    def limited(self, pixels: int) -> Processor:
        """The same processor, for which no bound that is asked for goes beyond these pixels."""
        ...

    def remarks(self, height: int, width: int) -> tuple[str, ...]:
        """What the limit does to a picture of this size; empty where it does nothing."""
        ...

    def image_grid(self, height: int, width: int) -> Grid:
        """The grid that `image` will give a picture of this size; raises as it does."""
        ...

    def video_grid(self, frames: int, height: int, width: int) -> Grid:
        """The grid that `video` will give so many frames of this size; OutOfMemoryError beyond the limit."""
        ...

    def image(self, pixels: NDArray[np.uint8]) -> Visual:
        """Pixels [H, W, 3] -> a visual; raises PictureError for a shape the family refuses."""
        ...

    def video(self, frames: Sequence[NDArray[np.uint8]], fps: float) -> Visual:
        """Frames [H, W, 3], all of one size, sampled at `fps` -> a visual."""
        ...

    def tokens(self, grid: Grid) -> int:
        """How many tokens stand for a visual of this grid."""
        ...

    def positions(self, ids: NDArray[np.int64], visuals: Sequence[Visual]) -> tuple[NDArray[np.int64], int]:
        """Ids [T] with expanded placeholders -> positions [axes, T] and the next free one."""
        ...


class Boxes(Protocol):
    """How a family writes boxes in text."""

    @property
    def question(self) -> str:
        """Asks for boxes: a format string with `{what}`."""
        ...

    def parse(self, text: str, resized: tuple[int, int], original: tuple[int, int]) -> list[Box]:
        """Boxes in pixels of the original (height, width); tolerant of an answer that was cut short."""
        ...


@frozen
class Family:
    """A model family: plain functions over its config."""

    model_type: str
    parse_config: Callable[[Mapping[str, Any]], Any]
    """config.json as a mapping -> the family's config; raises ConfigError for unknown or contradictory
    keys."""
    build: Callable[[Any], VisionLanguageModel]
    """A model with placeholders; `nn.assign(model.module, ...)` fills it."""
    tensors: Callable[[Any], list[Tensor]]
    """Every parameter, expanded over layers."""
    unused: Callable[[str], bool]
    """Whether a tensor name is known and not needed (a tied output matrix, a stored rotary table)."""
    processor: Callable[[Any, Mapping[str, Any]], Processor]
    """Config and preprocessor_config.json -> a processor."""
    encode_bytes: Callable[[Any, int, int], int]
    """Config, visual tokens and `Pieces.rows` -> bytes of all that exists at once while they are encoded."""
    decode_bytes: Callable[[Any, int], int]
    """Config and rows of one call -> bytes of what the decoder computes with, without caches and logits."""
    boxes: Boxes
    aliases: tuple[str, ...] = field(default=())


@lru_cache(maxsize=1)
def families() -> tuple[str, ...]:
    """Names of all family folders, sorted."""
    package = importlib.import_module("galago.models")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg))


def family(model_type: str) -> Family:
    """The family of a `model_type`; raises ConfigError naming the known ones."""
    names = families()
    if model_type in names:
        return _family_in(model_type)
    for name in names:
        if model_type in _family_in(name).aliases:
            return _family_in(name)
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(model_type, names, n=1)
    raise ConfigError(
        f"model_type {model_type!r} is not a family Galago knows: {', '.join(names)}",
        hint=f"did you mean {close[0]!r}?" if close else "galago models lists what can be loaded",
    )


def _family_in(folder: str) -> Family:
    found = importlib.import_module(f"galago.models.{folder}").FAMILY
    assert isinstance(found, Family), folder
    return found
