"""One call of the decoder: which rows go into it, what they are made of, and the logits that come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.engine.generation import Generation
from galago.engine.kv import BatchCache, SequenceCache
from galago.engine.pages import PagedCache, step
from galago.engine.prompt import Prompt, Rows
from galago.models import VisionLanguageModel

F32 = NDArray[np.float32]

CHUNK = 512
"""Rows of one call: enough for the products to run at full speed, and little scratch memory."""
DEVICE_CHUNK = 2048
"""The same for a GPU, where a packed weight is unpacked once for all rows. From reasoning, not measured."""


def decode(
    network: VisionLanguageModel, generations: Sequence[Generation], chunk: int = CHUNK
) -> list[tuple[int, F32]]:
    """Feed pending tokens, `chunk` rows at most; (index, logits [V]) of each sequence that is then all fed.

    Every sequence must have a pending token. Modifies their caches.
    """
    shares = share(generations, chunk)
    rows = [generations[index].rows(count) for index, count in shares]
    positions = np.concatenate([part.positions for part in rows], axis=1)
    caches = [generations[index].cache for index, _ in shares]
    paged = [cache for cache in caches if isinstance(cache, PagedCache) and len(cache)]
    if len(paged) == positions.shape[1] and all(part.feature_rows[0] < 0 for part in rows):
        logits = step(network, paged, np.concatenate([part.ids for part in rows]), positions)
        ready = [place for place, (index, _) in enumerate(shares) if generations[index].pending == 0]
        return [(shares[place][0], logits[place]) for place in ready]
    x = kernels.concatenate(
        [
            embed(network, part, generations[index].prompt)
            for (index, _), part in zip(shares, rows, strict=True)
        ]
    )
    cache = BatchCache([(cache, count) for cache, (_, count) in zip(caches, shares, strict=True)])
    hidden = network.decode(x, positions, cache)
    ready = [place for place, (index, _) in enumerate(shares) if generations[index].pending == 0]
    if not ready:
        return []
    ends = np.cumsum([count for _, count in shares]) - 1
    logits = kernels.to_numpy(network.logits(kernels.take(hidden, ends[ready])))
    return [(shares[place][0], row) for place, row in zip(ready, logits, strict=True)]


def prompt_logits(
    network: VisionLanguageModel, prompt: Prompt, cache: SequenceCache, chunk: int = CHUNK
) -> F32:
    """The logits after every token of a prompt, [T, V], in chunks; the cache is an empty one."""
    cache.reserve(len(prompt))
    found = []
    for start in range(0, len(prompt), chunk):
        rows = prompt.rows(start, start + chunk)
        hidden = network.decode(embed(network, rows, prompt), rows.positions, cache)
        found.append(kernels.to_numpy(network.logits(hidden)))
    return np.concatenate(found)


def embed(network: VisionLanguageModel, rows: Rows, prompt: Prompt) -> kernels.Array:
    """Rows of n tokens -> their embeddings, or the features of the prompt's pictures: [n, dim]."""
    x = network.embed(rows.ids)
    is_feature = rows.feature_rows >= 0
    if is_feature.any():
        x[is_feature] = kernels.like(x, prompt.features[rows.feature_rows[is_feature]])
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
