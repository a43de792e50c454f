"""How fast a model will probably answer here, told without loading it: counted work over measured ceilings.

An estimate. What of each ceiling is reached was measured on other machines, and pages that a budget makes the
system map again are not counted; `measure` tells how it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from galago import nn
from galago.bench import work
from galago.bench.ceilings import Ceilings
from galago.bench.work import Operations, Work
from galago.engine.checkpoint import Checkpoint
from galago.engine.frugal import FrugalNetwork
from galago.engine.load import within
from galago.engine.memory import MemoryPlan
from galago.engine.weigh import held
from galago.frozen import frozen
from galago.kernels.counting import Stub
from galago.types import Weights

SIDE: Final = 504
"""Pixels on a side of the picture that is asked about."""
TEXT_TOKENS: Final = 32
"""Tokens of a short question and of what a chat template writes around it."""
INT8_SHARES: Final = {"amx": 0.13}
INT8_SHARE: Final = 0.88
"""What products of packed weights reach of their ceiling; tiles are fed slower than they multiply."""
F32_SHARE: Final = 0.42
"""What attention and products of other weights reach of theirs."""
READ_SHARE: Final = 0.88
"""What decoding reaches of the ceiling of reading, kernel calls apart. All shares: LOG 2026-11-29"""
STAGE_S: Final = 5e-3
"""Seconds that vision and prefill each cost beside their work: threads that wake, memory touched first."""
CALL_S: Final = 12e-6
"""Seconds that a call of a kernel costs beside its work. LOG 2026-11-28"""


@frozen
class Expectation:
    """An answer of `new_tokens` about one picture that was not seen before; None where a ceiling is unknown.

    `first_token_s` is vision and prefill; reading and resizing the picture come on top.
    """

    image_tokens: int
    prompt_tokens: int
    new_tokens: int
    vision_s: float | None
    prefill_s: float | None
    first_token_s: float | None
    tokens_per_second: float | None
    answer_s: float | None


def expected_work(
    checkpoint: Checkpoint, weights: Weights | None, plan: MemoryPlan, *, side: int = SIDE, new_tokens: int
) -> tuple[int, Work]:
    """Tokens of a picture of `side` x `side` pixels, and the work of an answer about it. Loads nothing."""
    config = checkpoint.config
    built = checkpoint.family.build(config)
    nn.assign(built.module, _stubs(checkpoint, weights))
    screen = checkpoint.screen(weights)
    if screen is not None and plan.is_screened:
        built.screen_with(screen)
    network = FrugalNetwork(built, rows=plan.rows, release_vision=False, kept_blocks=len(built.text_blocks))
    processor = within(checkpoint.processor(), config.context, plan)
    visual = processor.image(np.zeros((side, side, 3), np.uint8))
    image_tokens = processor.tokens(visual.grid)
    counted = work.count(
        network,
        processor,
        visual,
        prompt_tokens=image_tokens + TEXT_TOKENS,
        new_tokens=new_tokens,
        kv_bytes_per_token=4 * config.cache_values,
    )
    return image_tokens, counted


def expect(image_tokens: int, counted: Work, peaks: Ceilings, *, new_tokens: int) -> Expectation:
    """The times of the answer whose work was counted, on a machine of these ceilings, with all threads."""
    vision_s, prefill_s = _seconds(counted.vision, peaks), _seconds(counted.prefill, peaks)
    first_s = None if vision_s is None or prefill_s is None else vision_s + prefill_s
    token_s = _token_seconds(counted, peaks)
    return Expectation(
        image_tokens=image_tokens,
        prompt_tokens=image_tokens + TEXT_TOKENS,
        new_tokens=new_tokens,
        vision_s=vision_s,
        prefill_s=prefill_s,
        first_token_s=first_s,
        tokens_per_second=None if token_s is None else 1 / token_s,
        answer_s=None if first_s is None or token_s is None else first_s + (new_tokens - 1) * token_s,
    )


def _stubs(checkpoint: Checkpoint, weights: Weights | None) -> Callable[[str, nn.Parameter], Stub]:
    """A `get` for `nn.assign` that gives every parameter the size it would have when loaded."""
    table = {tensor.ours: tensor for tensor in checkpoint.tensors}

    def get(name: str, place: nn.Parameter) -> Stub:
        tensor = table[name]
        kind = checkpoint.kind(tensor) if weights is None else tensor.kind(weights)
        return Stub(place.shape, held(checkpoint, tensor, weights)[0], kind in {"q8", "q4"})

    return get


def _seconds(operations: Operations, peaks: Ceilings) -> float | None:
    """Seconds of a stage that multiplies; None where its ceiling is not known."""
    int8, f32 = peaks.all.int8_operations_per_second, peaks.all.f32_operations_per_second
    if f32 is None or (int8 is None and operations.int8):
        return None
    share = INT8_SHARES.get(peaks.instruction_set, INT8_SHARE)
    products_s = 2 * operations.int8 / (int8 * share) if int8 else 0
    others_s = 2 * (operations.f32 + operations.attention + operations.rounded) / (f32 * F32_SHARE)
    return products_s + others_s + operations.calls * CALL_S + STAGE_S


def _token_seconds(counted: Work, peaks: Ceilings) -> float | None:
    """Seconds of a decoded token, which is bound by reading."""
    read = peaks.all.read_bytes_per_second
    if read is None:
        return None
    return counted.token_bytes / (read * READ_SHARE) + counted.token.calls * CALL_S
