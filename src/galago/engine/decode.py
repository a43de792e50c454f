"""One call of the decoder: which rows go into it, what they are made of, and the logits that come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galago.engine.generation import Generation
from galago.engine.kv import BatchCache, KVCache
from galago.engine.prompt import Prompt, Rows
from galago.models import VisionLanguageModel

F32 = NDArray[np.float32]

CHUNK = 512
"""Rows of one call: enough for the products to run at full speed, and little scratch memory."""


def decode(
    network: VisionLanguageModel, generations: Sequence[Generation], chunk: int = CHUNK
) -> list[tuple[int, F32]]:
    """Feed pending tokens, `chunk` rows at most; (index, logits [V]) of each sequence that is then all fed.

    Every sequence must have a pending token. Modifies their caches.
    """
    shares = share(generations, chunk)
    rows = [generations[index].rows(count) for index, count in shares]
    x = np.concatenate(
        [
            embed(network, part, generations[index].prompt)
            for (index, _), part in zip(shares, rows, strict=True)
        ]
    )
    cache = BatchCache([(generations[index].cache, count) for index, count in shares])
    hidden = network.decode(x, np.concatenate([part.positions for part in rows], axis=1), cache)
    ready = [place for place, (index, _) in enumerate(shares) if generations[index].pending == 0]
    if not ready:
        return []
    ends = np.cumsum([count for _, count in shares]) - 1
    logits = network.logits(np.ascontiguousarray(hidden[ends[ready]]))
    return [(shares[place][0], row) for place, row in zip(ready, logits, strict=True)]


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


def share(generations: Sequence[Generation], chunk: int) -> list[tuple[int, int]]:
    """(index, rows) of one call: the shortest first, so that no answer waits for a long prompt."""
    shares, left = [], chunk
    for index in sorted(range(len(generations)), key=lambda index: generations[index].pending):
        count = min(generations[index].pending, left)
        if count > 0:
            shares.append((index, count))
            left -= count
    return shares
