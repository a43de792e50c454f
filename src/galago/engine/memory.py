"""What a model will hold, known before it is loaded, against the budget it may have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from galago.engine.cache import RAM_BYTES
from galago.engine.checkpoint import Checkpoint
from galago.engine.prefix import PREFIX_BYTES
from galago.errors import ModelError, UsageError
from galago.formats import packed
from galago.types import Weights

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", re.IGNORECASE)
USUAL_TOKENS = 2048
"""Tokens of a conversation about a few pictures: the least that keys and values must have room for."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes: of the weights as they will be held, and caps for kept prefixes and image features."""

    weights_bytes: int
    prefix_bytes: int
    features_bytes: int


def parse_size(text: str | int) -> int:
    """Bytes of a size written like 2GB, 1.5GiB or 800M, or given as a number; raises UsageError."""
    if isinstance(text, int) and not isinstance(text, bool):
        size = float(text)
    else:
        match = _SIZE.fullmatch(str(text).strip())
        if match is None:
            raise UsageError(f"memory is {text!r}", hint='write it like "2GB", "1.5GiB" or "800MB"')
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    if size < 1:
        raise UsageError(f"memory is {text!r}; it must be above 0")
    return int(size)


def plan_memory(checkpoint: Checkpoint, weights: Weights | None, budget: int | None) -> MemoryPlan:
    """Share a budget among weights, keys and values, and caches; None leaves the caches at their usual caps.

    Raises ModelError when not even the weights and a short conversation fit, naming the weights that would.
    """
    held = weights_bytes(checkpoint, weights)
    if budget is None:
        return MemoryPlan(held, PREFIX_BYTES, RAM_BYTES)
    working = 4 * checkpoint.config.cache_values * min(USUAL_TOKENS, checkpoint.config.context)
    left = budget - held - working
    if left < 0:
        kinds: tuple[Weights, ...] = ("f32", "bf16", "q8", "q4")
        fitting = [kind for kind in kinds if weights_bytes(checkpoint, kind) + working <= budget]
        raise ModelError(
            f"{checkpoint.source.name} needs {(held + working) / 1e9:.2f} GB, and memory is"
            f" {budget / 1e9:.2f} GB",
            hint=f"with weights={fitting[0]!r} it fits" if fitting else "use a smaller model",
        )
    return MemoryPlan(held, min(PREFIX_BYTES, working + left // 2), min(RAM_BYTES, left // 2))


def would_fit(checkpoint: Checkpoint) -> str:
    """What takes less than the model as it is: for people whose device is full."""
    kinds: tuple[Weights, ...] = ("bf16", "q8", "q4")
    sizes = ", ".join(f"{kind} {weights_bytes(checkpoint, kind) / 1e9:.1f} GB" for kind in kinds)
    return f"load smaller weights ({sizes}), or bound the pictures with image_tokens"


def weights_bytes(checkpoint: Checkpoint, weights: Weights | None) -> int:
    """Bytes of all weights when loaded as asked."""
    total = 0
    for tensor in checkpoint.tensors:
        if weights is None or tensor.matrix is None:
            kind = checkpoint.kind(tensor) if tensor.matrix else "f32"
        else:
            kind = tensor.kind(weights)
        if kind == checkpoint.kind(tensor):
            total += checkpoint.stored_bytes(tensor)
        else:
            parts = packed.specs(tensor.ours, tensor.matrix or tensor.shape, kind, None)
            total += sum(spec.byte_count for spec in parts.values())
    return total
