"""Fewer visual tokens: similar features of one picture are merged, round by round (Bolya et al. 2023, ToMe).

What remains is where one of the merged was: a kept feature has its own place in the picture, so its position
stays. Off unless a request asks for it; no model was trained with it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from galago import kernels

Features = NDArray[np.float32]
Places = NDArray[np.int64]

ROUND = 8
"""At most one of so many features goes in a round: then the others are paired anew. LOG 2026-11-28"""
ROWS = 512
"""Rows of the similarities that exist at once."""


def kept_tokens(tokens: int, share: float) -> int:
    """How many of a picture's tokens remain of a share above 0 and at most 1: at least one."""
    return max(1, math.ceil(tokens * share))


def merge_similar(features: Features, count: int) -> tuple[Features, Places]:
    """features [n, dim] -> [count, dim], and which of the n they stand for, ascending [count].

    A feature is merged into the one most like it, by the angle between them, as the mean of all that it
    stands for; those most alike go first. With `count` n nothing changes.
    """
    places, weights = np.arange(len(features)), np.ones(len(features), np.float32)
    while len(features) > count:
        surplus = min(len(features) - count, max(1, len(features) // ROUND))
        features, weights, staying = _round(features, weights, surplus)
        places = places[staying]
    return features, places


def _round(features: Features, weights: Features, surplus: int) -> tuple[Features, Features, Places]:
    """`surplus` of every other feature go into the ones between: features, what they weigh, who stays."""
    sources, targets = np.arange(0, len(features), 2), np.arange(1, len(features), 2)
    alike, nearest = _most_alike(features[sources], features[targets])
    going = np.argsort(-alike, kind="stable")[:surplus]
    into = targets[nearest[going]]
    sums, heavier = features * weights[:, None], weights.copy()
    for source, target in zip(sources[going].tolist(), into.tolist(), strict=True):
        sums[target] += sums[source]
        heavier[target] += heavier[source]
    staying = np.delete(np.arange(len(features)), sources[going])
    merged = features.copy()  # what took in nothing stays bit by bit
    merged[into] = sums[into] / heavier[into, None]
    return merged[staying], heavier[staying], staying


def _most_alike(sources: Features, targets: Features) -> tuple[NDArray[np.float32], Places]:
    """sources [m, dim], targets [n, dim] -> the greatest cosine of each source, and whose it is, both [m]."""
    sources, targets = _directions(sources), _directions(targets)
    alike, nearest = np.empty(len(sources), np.float32), np.empty(len(sources), np.int64)
    for start in range(0, len(sources), ROWS):
        part = slice(start, start + ROWS)
        cosines = kernels.linear(sources[part], targets)
        nearest[part] = cosines.argmax(axis=1)
        alike[part] = cosines.max(axis=1)
    return alike, nearest


def _directions(features: Features) -> Features:
    """[n, dim], each of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions: Features = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return directions
