"""One call of the decoder: what its rows are made of, and the logits that come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.engine.generation import Generation
from galago.engine.kv import BatchCache, KVCache
from galago.engine.prompt import Prompt, Rows
from galago.engine.share import CHUNK
from galago.models import VisionLanguageModel

F32 = NDArray[np.float32]


def decode(network: VisionLanguageModel, shares: Sequence[tuple[Generation, int]]) -> list[F32 | None]:
    """Feed so many rows of each sequence; the logits [1 + n, V] of those that are then all fed.

    Every sequence must have that many rows, at least one; n of them are of its draft, and `Generation.take`
    must be told their logits. Modifies the caches; when it raises, they are as before.
    """
    held = [len(generation.cache) for generation, _ in shares]
    told: list[int] = []  # the rows whose logits are wanted
    parts, end = [], 0
    for generation, count in shares:
        end += count
        first, drafted = len(told), count - generation.pending
        told += range(end - drafted - 1, end)  # none of a prompt that is not fed to its end
        parts.append(slice(first, len(told)))
    rows = [generation.rows(count) for generation, count in shares]
    x = [embed(network, part, generation.prompt) for (generation, _), part in zip(shares, rows, strict=True)]
    positions = [part.positions for part in rows]
    cache = BatchCache([(generation.cache, count) for generation, count in shares])
    try:
        hidden = network.decode(_joined(x, 0), _joined(positions, 1), cache)
        logits = network.logits(hidden if len(told) == len(hidden) else hidden[told]) if told else None
    except BaseException:
        for (generation, _), tokens in zip(shares, held, strict=True):
            generation.cache.truncate(tokens)
        raise
    return [None if logits is None or part.start == part.stop else logits[part] for part in parts]


def _joined(parts: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)


def prompt_logits(network: VisionLanguageModel, prompt: Prompt, chunk: int = CHUNK) -> F32:
    """The logits after every token of a prompt, [T, V], in chunks and without any earlier cache."""
    cache = KVCache(network.layers)
    cache.reserve(len(prompt))
    found = []
    for start in range(0, len(prompt), chunk):
        rows = prompt.rows(start, start + chunk)
        hidden = network.decode(embed(network, rows, prompt), rows.positions, cache)
        found.append(network.logits(hidden))
    return np.concatenate(found)


def embed(network: VisionLanguageModel, rows: Rows, prompt: Prompt) -> F32:
    """Rows of n tokens -> their embeddings, or the features of the prompt's pictures: [n, dim]."""
    x: F32 = network.embed(rows.ids)
    is_feature = rows.feature_rows >= 0
    if is_feature.any():
        x[is_feature] = prompt.features[rows.feature_rows[is_feature]]
    return x
