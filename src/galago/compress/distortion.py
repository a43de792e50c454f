"""What smaller weights cost: two forms of one model compared on pictures, and layer by layer.

The measure is the next token: how far its distribution moves and how often another token wins. Whether
answers are still true is a question for `galago.evals`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from galago.compress.asking import QUESTIONS, pairs, request
from galago.compress.layers import ErrorSum, weight_errors
from galago.compress.probe import Probe, probe
from galago.engine.checkpoint import open_checkpoint
from galago.engine.engine import Engine
from galago.engine.load import load_checkpoint
from galago.files import StrPath
from galago.frozen import frozen


@frozen
class LayerDistortion:
    """One layer: the relative error of its matrices, which is the layer's own."""

    name: str
    error: float


@frozen
class AnswerDistortion:
    """One question about one picture: `tokens` next-token distributions along the original's greedy answer.

    `kl` is the mean of the Kullback-Leibler divergence from the original's distribution to the converted
    one's, in nats, `kl_worst` the largest; `top1` is the share (0 to 1) in which the same token leads.
    """

    picture: str
    question: str
    answer: str
    tokens: int
    kl: float
    kl_worst: float
    top1: float


@frozen
class Distortion:
    """A converted model beside its original.

    Relative error means the root of (squares of the differences over squares of the original). `features` is
    that of the pictures' features; `attention` that of what the attention of each decoder layer gave, which
    has gathered the errors of all layers before it; `layers` have those of the weights alone.
    """

    original: str
    converted: str
    features: float
    attention: tuple[float, ...]
    layers: tuple[LayerDistortion, ...]
    answers: tuple[AnswerDistortion, ...]

    @property
    def tokens(self) -> int:
        """How many next-token distributions were compared."""
        return sum(answer.tokens for answer in self.answers)

    @property
    def kl(self) -> float:
        """Mean divergence over all distributions, in nats."""
        return sum(answer.kl * answer.tokens for answer in self.answers) / self.tokens

    @property
    def kl_worst(self) -> float:
        """The largest divergence, in nats."""
        return max(answer.kl_worst for answer in self.answers)

    @property
    def top1(self) -> float:
        """Share (0 to 1) of all distributions in which the same token leads."""
        return sum(answer.top1 * answer.tokens for answer in self.answers) / self.tokens

    @property
    def worst_layer(self) -> LayerDistortion:
        """The layer whose weights moved most."""
        return max(self.layers, key=lambda layer: layer.error)

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON types."""
        totals = ("tokens", "kl", "kl_worst", "top1")
        whole = {name: getattr(self, name) for name in totals}
        return {**whole, "worst_layer": self.worst_layer.name, **asdict(self)}

    def to_json(self) -> str:
        """The report as one JSON object on one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def table(self) -> str:
        """The report as lines of text."""
        worst = self.worst_layer
        lines = [
            f"{self.converted} against {self.original}, {self.tokens} next-token distributions",
            f"  same first choice    {self.top1:8.2%}",
            f"  divergence, mean     {self.kl:8.5f} nats",
            f"  divergence, worst    {self.kl_worst:8.5f} nats",
            f"  picture features     {self.features:8.2%} relative error",
            f"  last attention       {self.attention[-1]:8.2%} relative error",
            f"  worst weights        {worst.error:8.2%} relative error: {worst.name}",
        ]
        return "\n".join([*lines, *(f"    {layer.name:<30} {layer.error:8.2%}" for layer in self.layers)])


def measure_distortion(
    original: StrPath,
    converted: StrPath,
    pictures: Sequence[Any],
    *,
    questions: Sequence[str] = QUESTIONS,
    apart: bool = False,
    max_tokens: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Distortion:
    """Compare two model folders on every question about every picture.

    With `apart` there is one question for each picture, and only that is asked about it.
    The original answers greedily, `max_tokens` at most; then both models predict each token of that answer,
    and the one after it, from the same tokens before. `progress` is told (answers compared, all answers).
    Raises UsageError for no pictures, no questions or folders that are not one model, and what loading and
    reading pictures raise.
    """
    asked = pairs(list(enumerate(pictures, 1)), questions, apart=apart, what="comparison")
    first, second = (Engine(load_checkpoint(open_checkpoint(source))) for source in (original, converted))
    weights = weight_errors(first.model.checkpoint, second.model.checkpoint)
    features = ErrorSum()
    attention = [ErrorSum() for _ in range(first.model.network.layers)]
    answers: list[AnswerDistortion] = []
    for (number, picture), question in asked:
        answer, told = _answer(first, picture, question, max_tokens)
        want, got = (probe(engine, picture, question, told) for engine in (first, second))
        features.add(want.features, got.features)
        for errors, mine, theirs in zip(attention, want.attention, got.attention, strict=True):
            errors.add(mine, theirs)
        name = str(picture) if isinstance(picture, (str, Path)) else f"picture {number}"
        answers.append(AnswerDistortion(name, question, answer, *_compare(want, got)))
        if progress is not None:
            progress(len(answers), len(asked))
    return Distortion(
        original=first.model.name,
        converted=second.model.name,
        features=features.relative,
        attention=tuple(errors.relative for errors in attention),
        layers=tuple(LayerDistortion(name, errors.relative) for name, errors in weights.items()),
        answers=tuple(answers),
    )


def _answer(engine: Engine, picture: Any, question: str, max_tokens: int) -> tuple[str, tuple[int, ...]]:
    """The greedy answer, as text and as the tokens that were chosen."""
    with engine.stream(request(picture, question, max_tokens)) as stream:
        return stream.answer.text, stream.tokens


def _compare(want: Probe, got: Probe) -> tuple[int, float, float, float]:
    """How many distributions, their mean and largest divergence, and the share with the same leader."""
    p, q = want.log_probabilities, got.log_probabilities
    divergence = (np.exp(p) * (p - q)).sum(axis=1).clip(min=0)  # rounding may leave -1e-16
    same = p.argmax(axis=1) == q.argmax(axis=1)
    return len(p), float(divergence.mean()), float(divergence.max()), float(same.mean())
