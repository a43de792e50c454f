"""One model's view of one answer: how likely it found each next token, and what its layers gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.engine.decode import embed
from galago.engine.engine import Engine
from galago.engine.guard import GARBAGE_HINT
from galago.engine.kv import KVCache
from galago.engine.messages import Look
from galago.engine.prompt import Prompt, build_prompt
from galago.engine.request import PictureBounds
from galago.engine.share import CHUNK
from galago.errors import GarbageError
from galago.frozen import frozen

F32 = NDArray[np.float32]


@frozen(eq=False)
class Probe:
    """`log_probabilities` [n, V] of the token after the prompt and after each told one, float64.

    `features` [image tokens, dim] of the picture; `attention` has [T, H * d] for each decoder layer: what its
    attention gave for prompt and told tokens.
    """

    log_probabilities: NDArray[np.float64]
    features: F32
    attention: list[F32]


class _Listening:
    """A cache that also keeps what every layer's attention gave."""

    def __init__(self, layers: int) -> None:
        self._cache = KVCache(layers)
        self.heard: list[list[F32]] = [[] for _ in range(layers)]

    def attend(self, layer: int, q: F32, k: F32, v: F32) -> F32:
        """As `KVCache.attend`."""
        seen = self._cache.attend(layer, q, k, v)
        self.heard[layer].append(seen.reshape(len(seen), -1))
        return seen


def probe(engine: Engine, picture: Any, question: str, told: Sequence[int]) -> Probe:
    """Ask one question about one picture, and let the model read the answer `told` as if it had given it.

    Raises what encoding and prompting raise, and GarbageError for numbers that are not finite.
    """
    model, network = engine.model, engine.model.network
    image = engine.encode(Look((picture,)), PictureBounds())
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    with engine.computing():
        asked = build_prompt(model, messages, [image], trusted=False)
        prompt = _followed_by(asked, np.asarray(told, np.int64))
        cache = _Listening(network.layers)
        hidden = []
        for start in range(0, len(prompt), CHUNK):
            rows = prompt.rows(start, start + CHUNK)
            hidden.append(network.decode(embed(network, [rows], [prompt]), rows.positions, cache))
        last = np.ascontiguousarray(np.concatenate(hidden)[len(asked) - 1 :])
        logits = network.logits(last).astype(np.float64)
    if not np.isfinite(logits).all():
        raise GarbageError(f"{model.name} computed numbers that are not finite", hint=GARBAGE_HINT)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Probe(logits, image.features, [np.concatenate(parts) for parts in cache.heard])


def _followed_by(prompt: Prompt, told: NDArray[np.int64]) -> Prompt:
    """The prompt with the told tokens at its end, in the positions of an answer."""
    after = np.tile(prompt.next_position + np.arange(len(told)), (len(prompt.whole), 1))
    return replace(
        prompt,
        ids=np.concatenate([prompt.ids, told]),
        feature_rows=np.concatenate([prompt.feature_rows, np.full(len(told), -1)]),
        whole=np.concatenate([prompt.whole, after], axis=1),
        in_picture=np.concatenate([prompt.in_picture, np.zeros(len(told), bool)]),
        next_position=prompt.next_position + len(told),
    )
