"""From one row of logits to one token id.

The rules apply in this order, each on what the one before left: the repetition penalty (over prompt and
answer), the tokens a grammar or `min_tokens` forbids, temperature, top-k, top-p, min-p, the draw. Temperature
0 takes the best token after the first two and needs no randomness. Nothing here knows about text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from galago.types import SamplingParams

Logits = NDArray[np.float32]
"""One row over the vocabulary, [V]."""

CANDIDATES = 1024
"""How many of the best tokens are sorted at first; the nucleus of a vocabulary rarely holds more."""

COLDEST = 1e-30
"""A temperature at which only the best token is drawn, and a logit divided by it is still finite."""


class Sampler:
    """Chooses the tokens of one answer; the same parameters and logits give the same tokens.

    Holds the state of the draw and the set of tokens already seen, so one sampler serves one sequence.
    """

    def __init__(self, params: SamplingParams, prompt_ids: Iterable[int]) -> None:
        self.params = params
        self._penalised = params.repetition_penalty not in (None, 1.0)
        self._seen = set(prompt_ids) if self._penalised else set()
        self._rng = np.random.Generator(np.random.PCG64(params.seed)) if params.temperature > 0 else None

    @property
    def takes_best(self) -> bool:
        """Whether it takes the largest of the logits as they are."""
        return self._rng is None and not self._penalised

    def choose(self, logits: Logits, allowed: NDArray[np.bool_] | None = None) -> int:
        """Logits [V], finite, and a mask [V] of the tokens that may come -> a token id.

        The logits are not modified. At least one token must be allowed.
        """
        params = self.params
        if self._penalised:
            assert params.repetition_penalty is not None
            logits = penalise(logits, self._seen, params.repetition_penalty)
        if allowed is not None:
            assert allowed.any(), "a constraint must leave a token"
            logits = np.where(allowed, logits, np.float32(-np.inf))
        if self._rng is None:
            return int(np.argmax(logits))
        return draw(logits, params, self._rng)

    def note(self, token: int) -> None:
        """Tell that a token was appended, chosen here or not."""
        if self._penalised:
            self._seen.add(token)


def penalise(logits: Logits, seen: Iterable[int], penalty: float) -> Logits:
    """Logits [V] -> [V]: tokens already seen are divided by the penalty, or multiplied where negative.

    The rule of CTRL (Keskar et al. 2019); a penalty below 1 encourages repetition.
    """
    result: Logits = logits.copy()
    ids = np.fromiter(seen, np.int64)
    scores = logits[ids]
    result[ids] = np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))
    return result


def draw(logits: Logits, params: SamplingParams, rng: np.random.Generator) -> int:
    """Logits [V] -> a token id, drawn after temperature, top-k, top-p and min-p with one number of `rng`."""
    scaled = logits.astype(np.float64) / max(params.temperature, COLDEST)
    ids, probabilities = candidates(scaled, params.top_k, params.top_p)
    if params.min_p is not None:
        keep = probabilities >= params.min_p * probabilities[0]
        ids, probabilities = ids[keep], probabilities[keep]
    cumulative = np.cumsum(probabilities)
    place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(ids[min(int(place), len(ids) - 1)])


def candidates(
    scores: NDArray[np.float64], top_k: int | None, top_p: float | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Scores [V] -> ids and probabilities of the tokens that top-k and top-p leave, most likely first.

    Equal scores stand in the order of their ids. Top-p keeps the smallest set that reaches it, after top-k.
    """
    count = len(scores) if top_k is None else min(top_k, len(scores))
    if top_k is None and top_p is not None:
        weights = np.exp(scores - scores.max())
        ids = best(scores, CANDIDATES)
        mass = np.cumsum(weights[ids]) / weights.sum()
        if mass[-1] >= top_p:  # the usual case: no need to sort the whole vocabulary
            kept = ids[: int(np.searchsorted(mass, top_p)) + 1]
            return kept, weights[kept] / weights[kept].sum()
    ids = best(scores, count)
    weights = np.exp(scores[ids] - scores[ids[0]])
    if top_p is not None and top_p < 1:
        last = int(np.searchsorted(np.cumsum(weights), top_p * weights.sum()))
        ids, weights = ids[: last + 1], weights[: last + 1]
    ids, weights = ids[weights > 0], weights[weights > 0]  # what a mask excludes has the score -inf
    return ids, weights / weights.sum()


def best(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Ids of the `count` highest scores [V], highest first, equal ones by id."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
    ids = np.flatnonzero(scores >= threshold)  # may hold more than `count` where scores are equal
    return ids[np.argsort(-scores[ids], kind="stable")][:count]
