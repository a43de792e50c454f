"""Holds back memory that is read slowly, so that every engine meets memory of one speed.

The memory of a virtual machine may lie in several places of its host. Here the two threads read most of it at
30 GB/s and some of it at 15, and which of the two a model's files or an engine's own memory fall into is
chance (LOG 2026-11-28, "where the time of one token goes").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from galago import device, kernels
from galago.kernels import native

BLOCK: Final = 256 << 20
LEFT: Final = 2 << 30
"""Bytes that are not looked at, so that nothing else is pushed out of memory meanwhile."""
SLOW: Final = 0.9
"""Memory that is read at less than this share of the best is held back."""


@dataclass(frozen=True)
class Sieve:
    """Memory held back for as long as this lives; `rates` are bytes in a second of all blocks looked at."""

    held: list[NDArray[np.uint8]]
    rates: list[float]

    def told(self) -> dict[str, float]:
        """For a record."""
        return {
            "memory_looked_at_bytes": len(self.rates) * BLOCK,
            "memory_held_back_bytes": len(self.held) * BLOCK,
            "memory_fastest_bytes_per_s": max(self.rates),
            "memory_slowest_bytes_per_s": min(self.rates),
        }


def sieve(threads: int) -> Sieve:
    """Look at all memory that is free or in the file cache, whose files are dropped; about ten seconds."""
    free = device.available_memory().value or 0
    blocks = [np.ones(BLOCK, np.uint8) for _ in range(max(1, (free - LEFT) // BLOCK))]
    with kernels.using(threads=threads):
        rates = [native.read_rate(block) for block in blocks]
    best = max(rates)
    return Sieve([block for block, rate in zip(blocks, rates, strict=True) if rate < SLOW * best], rates)
