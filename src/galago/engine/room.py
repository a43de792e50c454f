"""Whether a model fits on a device that is not the host, and what would. The host's memory: `planner`."""

from __future__ import annotations

from galago.engine.checkpoint import Checkpoint
from galago.engine.weigh import weigh
from galago.errors import OutOfMemoryError
from galago.types import Weights

USUAL_TOKENS = 2048
"""Tokens of a conversation about a few pictures: the least that keys and values must have room for."""
SMALLER: tuple[Weights, ...] = ("bf16", "q8", "q4")


def check_room(checkpoint: Checkpoint, weights: Weights | None, bytes_there: int | None) -> None:
    """Raise OutOfMemoryError unless the weights and a short conversation fit; None is without a bound."""
    needed = weigh(checkpoint, weights).total
    needed += 4 * checkpoint.config.cache_values * min(USUAL_TOKENS, checkpoint.config.context)
    if bytes_there is not None and needed > bytes_there:
        raise OutOfMemoryError(
            f"{checkpoint.source.name} needs {needed / 1e9:.2f} GB, and {bytes_there / 1e9:.2f} GB are there",
            hint=would_fit(checkpoint),
        )


def would_fit(checkpoint: Checkpoint) -> str:
    """What takes less than the model as it is: for people whose device is full."""
    sizes = ", ".join(f"{kind} {weigh(checkpoint, kind).total / 1e9:.1f} GB" for kind in SMALLER)
    return f"load smaller weights ({sizes}), or bound the pictures with image_tokens"
