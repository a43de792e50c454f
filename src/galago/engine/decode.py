"""One call of the decoder: what its rows are made of, and the logits that come out."""

from __future__ import annotations

from collections.abc import Sequence

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
    drafted = [count - generation.pending for generation, count in shares]
    held = [len(generation.cache) for generation, _ in shares]
    rows = [generation.rows(count) for generation, count in shares]
    x = np.concatenate(
        [embed(network, part, generation.prompt) for (generation, _), part in zip(shares, rows, strict=True)]
    )
    cache = BatchCache([(generation.cache, count) for generation, count in shares])
    try:
        hidden = network.decode(x, np.concatenate([part.positions for part in rows], axis=1), cache)
        ends = np.cumsum([count for _, count in shares])
        wanted = [np.arange(end - extra - 1, end) for end, extra in zip(ends, drafted, strict=True)]
        told = np.concatenate(wanted)  # nothing of a prompt that is not fed to its end
        logits = network.logits(np.ascontiguousarray(hidden[told])) if len(told) else None
    except BaseException:
        for (generation, _), tokens in zip(shares, held, strict=True):
            generation.cache.truncate(tokens)
        raise
    if logits is None:
        return [None] * len(shares)
    parts = np.split(logits, np.cumsum([len(rows) for rows in wanted])[:-1])
    return [part if len(part) else None for part in parts]


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
