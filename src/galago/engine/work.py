"""What an answer costs, counted from a checkpoint's header: products of matrices, and bytes read for a token.

Attention, norms and activations are not counted: they are a small part of short prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from galago import nn
from galago.engine.checkpoint import Checkpoint
from galago.engine.weigh import Weighed


@dataclass(frozen=True)
class Work:
    """Multiply-adds of a picture of `image_tokens` and of one prompt token; bytes that a new token reads."""

    image_tokens: int
    encode_operations: int
    prompt_token_operations: int
    token_bytes: int


def expected_work(checkpoint: Checkpoint, weighed: Weighed, side: int) -> Work:
    """The work of an answer about a picture of `side` x `side` pixels."""
    network, processor = checkpoint.family.build(checkpoint.config), checkpoint.processor()
    grid = processor.image(np.zeros((side, side, 3), np.uint8)).grid
    *tower, merger = (_values(part) for part in network.vision_parts)
    blocks = sum(_values(block) for block in network.text_blocks)
    tokens = processor.tokens(grid)
    return Work(
        image_tokens=tokens,
        encode_operations=math.prod(grid) * sum(tower) + tokens * merger,
        prompt_token_operations=blocks,
        token_bytes=weighed.text,
    )


def _values(module: nn.Module) -> int:
    """Numbers in the matrices of a module that holds no arrays yet."""
    shapes = (place.shape for _, _, _, place in nn.parameters(module))
    return sum(math.prod(shape) for shape in shapes if len(shape) > 1)
