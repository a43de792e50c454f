"""What one answer costs, counted: the model runs over zeros on a back end that adds up what it is asked for.

No formula of a family stands here: a product costs rows times the shape of its weight, attention the pairs of
queries and keys that see each other. Of norms, activations and rotations only the calls are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from galago.frozen import frozen
from galago.kernels.counting import Tally, causal_pairs, counting
from galago.models import Processor, VisionLanguageModel, Visual


@frozen
class Operations:
    """Multiply-adds by what does them: products with packed weights, products with others, attention.

    `rounded` is attention whose factors may be rounded to bfloat16. `calls` are those of kernels: each costs
    a little time of its own.
    """

    int8: int
    f32: int
    attention: int
    calls: int = 0
    rounded: int = 0

    @property
    def total(self) -> int:
        """All multiply-adds together."""
        return self.int8 + self.f32 + self.attention + self.rounded


@frozen
class Work:
    """The work of one answer about one picture; `token` is one decoded token, and what it reads.

    `token_bytes` are the weights and, on the average of the answer, the keys and values of what came before.
    """

    vision: Operations
    prefill: Operations
    token: Operations
    token_bytes: int


def count(
    network: VisionLanguageModel,
    processor: Processor,
    visual: Visual,
    *,
    prompt_tokens: int,
    cached_tokens: int = 0,
    new_tokens: int = 1,
    kv_bytes_per_token: int = 0,
) -> Work:
    """The work of an answer of `new_tokens` to a prompt whose first `cached_tokens` cost nothing.

    The network may hold placeholders; then no bytes of weights are known, and all products count as `f32`.
    """
    with counting() as vision:
        features = network.encode(visual.patches, [visual.grid])
    axes = len(processor.positions(np.zeros(1, np.int64), [])[0])
    width = features.shape[1]
    prefill = _decode(network, prompt_tokens - cached_tokens, prompt_tokens, width, axes)
    middle = prompt_tokens + (new_tokens + 1) // 2
    token = _decode(network, 1, middle, width, axes)
    return Work(
        _operations(vision),
        _operations(prefill),
        _operations(token),
        token.weight_bytes + kv_bytes_per_token * middle,
    )


@dataclass
class _Past:
    """A cache that keeps nothing, whose last row is token `tokens` of its sequence."""

    tokens: int
    tally: Tally = field(default_factory=Tally)

    def attend(
        self, _layer: int, q: NDArray[np.float32], _k: NDArray[np.float32], _v: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """q [T, H, d] -> zeros [T, H, d]."""
        rows, heads, size = q.shape
        self.tally.calls += 1
        self.tally.attention += 2 * causal_pairs(rows, self.tokens) * heads * size
        return np.zeros(q.shape, np.float32)


def _decode(network: VisionLanguageModel, rows: int, tokens: int, width: int, axes: int) -> Tally:
    """The last `rows` of `tokens` tokens through the decoder, and the logits of the last."""
    with counting() as tally:
        past = _Past(tokens, tally)
        x, positions = np.zeros((rows, width), np.float32), np.zeros((axes, rows), np.int64)
        network.best_logits(network.decode(x, positions, past, np.array([rows - 1])), 1)
    return tally


def _operations(tally: Tally) -> Operations:
    return Operations(tally.int8, tally.f32, tally.attention, tally.calls, tally.rounded)
