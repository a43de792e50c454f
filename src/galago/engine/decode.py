"""One call of the decoder: what its rows are made of, and the logits that come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    held = [len(generation.cache) for generation, _ in shares]
    told: list[int] = []  # the rows whose logits are wanted
    parts, end = [], 0
    for generation, count in shares:
        end += count
        first, drafted = len(told), count - generation.pending
        told += range(end - drafted - 1, end)  # none of a prompt that is not fed to its end
        parts.append(slice(first, len(told)))
    rows = [generation.rows(count) for generation, count in shares]
    positions = _joined([part.positions for part in rows])
    try:
        paged = _steady(shares, rows)
        if paged:
            stepped = step(network, paged, _joined([part.ids for part in rows]), positions)
            fed = [one.pending == 0 for one, _ in shares]
            return [row[None] if done else None for done, row in zip(fed, stepped, strict=True)]
        x = embed(network, rows, [generation.prompt for generation, _ in shares])
        cache = BatchCache([(generation.cache, count) for generation, count in shares])
        hidden = network.decode(x, positions, cache, np.array(told, np.int64) if len(told) < end else None)
        looks_at = [
            one.looks_at for (one, _), part in zip(shares, parts, strict=True) if part.start < part.stop
        ]
        logits = _logits(network, hidden, looks_at) if told else None
    except BaseException:
        for (generation, _), tokens in zip(shares, held, strict=True):
            generation.cache.truncate(tokens)
        raise
    return [None if logits is None or part.start == part.stop else logits[part] for part in parts]


def _logits(network: VisionLanguageModel, hidden: kernels.Array, looks_at: list[int | None]) -> F32:
    """Hidden [n, dim] of sequences that look at so many of the largest logits -> [n, vocabulary]."""
    best = looks_at[0] if len(hidden) == 1 else None
    computed = network.logits(hidden) if best is None else network.best_logits(hidden, best)
    logits: F32 = kernels.to_numpy(computed)
    return logits


def _steady(shares: Sequence[tuple[Generation, int]], rows: Sequence[Rows]) -> list[PagedCache]:
    """The caches where every sequence gives one row of text and is on a device: a step of fixed shapes."""
    caches = [
        one.cache
        for (one, count), part in zip(shares, rows, strict=True)
        if isinstance(one.cache, PagedCache) and len(one.cache) and count == 1 and part.feature_rows[0] < 0
    ]
    return caches if len(caches) == len(shares) else []


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def prompt_logits(
    network: VisionLanguageModel, prompt: Prompt, cache: SequenceCache, chunk: int = CHUNK
) -> F32:
    """The logits after every token of a prompt, [T, V], in chunks; the cache is an empty one."""
    cache.reserve(len(prompt))
    found = []
    for start in range(0, len(prompt), chunk):
        rows = prompt.rows(start, start + chunk)
        hidden = network.decode(embed(network, [rows], [prompt]), rows.positions, cache)
        found.append(kernels.to_numpy(network.logits(hidden)))
    return np.concatenate(found)


def embed(network: VisionLanguageModel, rows: Sequence[Rows], prompts: Sequence[Prompt]) -> kernels.Array:
    """Rows of some prompts -> their tokens' embeddings, or the features of their pictures: [n, dim]."""
    x = network.embed(_joined([part.ids for part in rows]))
    start = 0
    for part, prompt in zip(rows, prompts, strict=True):
        places = np.flatnonzero(part.feature_rows >= 0)
        if len(places):
            x[start + places] = kernels.like(x, prompt.features[part.feature_rows[places]])
        start += len(part.ids)
    return x
