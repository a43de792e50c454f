"""A network that works in little memory: its tower in pieces, and weight pages given back after their use.

Computes nothing itself, and what is computed is the same. Only pages of mapped files are given back: the next
use of a weight maps them again.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from galago import nn
from galago.engine.memory import MemoryPlan
from galago.formats.mapped import MappedPages
from galago.models import Pieces, VisionLanguageModel
from galago.packing import Bf16Weight, PackedWeight, Weight
from galago.types import Grid

HEAP_OPTIONS = ((-8, 1), (-3, 32 << 20), (-1, (1 << 31) - 1))
"""M_ARENA_MAX, M_MMAP_THRESHOLD (at its most) and M_TRIM_THRESHOLD (never) of malloc.h."""
MANY_ROWS = 64
"""Rows of a call that leave so much free memory behind that looking for it is worth its 0.2 ms."""


class FrugalNetwork:
    """A filled network as the engine sees it (see `models.family.VisionLanguageModel`).

    `rows` patches are encoded at a time. With `release_vision` every part of the tower is given back after
    its use, and so is every block of the decoder from the `kept_blocks`-th on. Where memory is `tight`, the
    heap's free pages are given back after each of the two, else when the engine rests.
    """

    def __init__(
        self,
        network: VisionLanguageModel,
        *,
        rows: int,
        release_vision: bool,
        kept_blocks: int,
        tight: bool = True,
    ) -> None:
        self._network, self._kept, self._tight = network, kept_blocks, tight
        self._vision = {id(part): pages_of(part) for part in network.vision_parts if release_vision}
        self._text = [pages_of(block) for block in network.text_blocks[kept_blocks:]]
        self._pieces = Pieces(rows, self._left)

    @property
    def module(self) -> nn.Module:
        """The tree of parameters."""
        return self._network.module

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return self._network.layers

    @property
    def vision_parts(self) -> Sequence[nn.Module]:
        """The tower's parts in the order of their use."""
        return self._network.vision_parts

    @property
    def text_blocks(self) -> Sequence[nn.Module]:
        """The decoder's blocks in order."""
        return self._network.text_blocks

    def encode(self, patches: nn.Array, grids: Sequence[Grid], pieces: Pieces | None = None) -> nn.Array:
        """Patches [P, values] of one or more visuals -> features [P / merge^2, dim]."""
        features = self._network.encode(patches, grids, pieces or self._pieces)
        if self._tight:
            give_back_heap()
        return features

    def embed(self, ids: NDArray[np.int64]) -> nn.Array:
        """Ids [T] -> [T, dim]."""
        return self._network.embed(ids)

    def decode(
        self,
        x: nn.Array,
        positions: NDArray[np.int64],
        cache: nn.Cache,
        wanted: NDArray[np.int64] | None = None,
    ) -> nn.Array:
        """x [T, dim], positions [axes, T] -> [T, dim] after the final norm, or only the rows `wanted`."""
        if self._text:
            cache = _Passing(cache, self._passed)
        hidden = self._network.decode(x, positions, cache, wanted)
        if self._text:
            self._text[-1].release()
        if self._tight and len(x) >= MANY_ROWS:
            give_back_heap()
        return hidden

    def angles(self, positions: NDArray[np.int64]) -> nn.Angles:
        """Positions [axes, T] -> the host's share of `decode`."""
        return self._network.angles(positions)

    def run(self, x: nn.Array, cos: nn.Array, sin: nn.Array, cache: nn.Cache) -> nn.Array:
        """The rest of `decode`; pages are given back by `decode` alone."""
        return self._network.run(x, cos, sin, cache)

    def logits(self, hidden: nn.Array) -> nn.Array:
        """Hidden [T, dim] -> [T, vocabulary]."""
        return self._network.logits(hidden)

    def best_logits(self, hidden: nn.Array, best: int) -> nn.Array:
        """Hidden [1, dim] -> [1, vocabulary], of which only the `best` largest are looked at."""
        return self._network.best_logits(hidden, best)

    def screen_with(self, rough: nn.Array) -> None:
        """Take a coarse copy of the output projection."""
        self._network.screen_with(rough)

    def _left(self, part: nn.Module) -> None:
        pages = self._vision.get(id(part))
        if pages is not None:
            pages.release()

    def _passed(self, layer: int) -> None:
        """Block `layer` is at its attention: the one before it is done."""
        if layer > self._kept:
            self._text[layer - self._kept - 1].release()


class _Passing:
    """A cache that tells which block is at work."""

    def __init__(self, cache: nn.Cache, passed: Callable[[int], None]) -> None:
        self._cache, self._passed = cache, passed

    def attend(self, layer: int, q: nn.Array, k: nn.Array, v: nn.Array) -> nn.Array:
        """q [T, H, d], k and v [T, G, d] -> [T, H, d]."""
        self._passed(layer)
        return self._cache.attend(layer, q, k, v)


def frugal(network: VisionLanguageModel, plan: MemoryPlan) -> FrugalNetwork:
    """A network that works as planned."""
    return FrugalNetwork(
        network,
        rows=plan.rows,
        release_vision=plan.release_vision,
        kept_blocks=plan.kept_blocks,
        tight=plan.budget_bytes is not None or plan.release_vision,
    )


def give_back_heap() -> None:
    """Return the allocator's free pages to the system: without it holes between long-lived arrays add up."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def share_one_heap() -> None:
    """Have all threads of the process allocate from one heap, unless MALLOC_ARENA_MAX says otherwise.

    Too late where a second thread has allocated anything: glibc decides about heaps then, for good.
    glibc gives every thread a heap of its own, whose top `give_back_heap` cannot return: the threads that
    encode and decode come and go, and each would leave the largest it ever took. And the heap keeps what is
    free until `give_back_heap`, as pages that come and go with every product are slow. LOG 2026-11-28
    """
    set_option = None if "MALLOC_ARENA_MAX" in os.environ else _of_glibc("mallopt")
    if set_option is not None:
        for option in HEAP_OPTIONS:
            set_option(*option)


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function that glibc has for it; other allocators look after themselves."""
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
    return function


def pages_of(module: nn.Module) -> MappedPages:
    """The mapped pages of all weights of a module."""
    return MappedPages(array for _, _, _, weight in nn.parameters(module) for array in arrays_of(weight))


def arrays_of(weight: Weight) -> tuple[NDArray[np.generic], ...]:
    """The arrays that a weight of any kind consists of."""
    if isinstance(weight, PackedWeight):
        return tuple(weight.parts.values())
    return (weight.bits,) if isinstance(weight, Bf16Weight) else (weight,)
