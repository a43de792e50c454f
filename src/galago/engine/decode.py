"""One call of the decoder: what its rows are made of, and the logits that come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.engine.generation import Generation
from galago.engine.kv import BatchCache, SequenceCache
from galago.engine.pages import PagedCache, step
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
    positions = np.concatenate([part.positions for part in rows], axis=1)
    try:
        steady = _steady(network, shares, rows, positions)
        if steady is not None:
            return steady
        x = kernels.concatenate(
            [embed(network, part, one.prompt) for (one, _), part in zip(shares, rows, strict=True)]
        )
        cache = BatchCache([(generation.cache, count) for generation, count in shares])
        hidden = network.decode(x, positions, cache)
        ends = np.cumsum([count for _, count in shares])
        wanted = [np.arange(end - extra - 1, end) for end, extra in zip(ends, drafted, strict=True)]
        told = np.concatenate(wanted)  # nothing of a prompt that is not fed to its end
        logits = kernels.to_numpy(network.logits(kernels.take(hidden, told))) if len(told) else None
    except BaseException:
        for (generation, _), tokens in zip(shares, held, strict=True):
            generation.cache.truncate(tokens)
        raise
    if logits is None:
        return [None] * len(shares)
    parts = np.split(logits, np.cumsum([len(rows) for rows in wanted])[:-1])
    return [part if len(part) else None for part in parts]


def _steady(
    network: VisionLanguageModel,
    shares: Sequence[tuple[Generation, int]],
    rows: Sequence[Rows],
    positions: NDArray[np.int64],
) -> list[F32 | None] | None:
    """The same as a step of fixed shapes, where every sequence gives one row of text and is on a device."""
    caches = [generation.cache for generation, count in shares if count == 1]
    paged = [cache for cache in caches if isinstance(cache, PagedCache) and len(cache)]
    if len(paged) < len(shares) or any(part.feature_rows[0] >= 0 for part in rows):
        return None
    logits = step(network, paged, np.concatenate([part.ids for part in rows]), positions)
    return [
        row[None] if generation.pending == 0 else None
        for (generation, _), row in zip(shares, logits, strict=True)
    ]


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
