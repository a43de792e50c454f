"""Questions with true answers, an answerer that is asked them, and what comes out: no model is known here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.evals.metrics import Metric
from galago.frozen import frozen
from galago.types import Answer


@frozen
class Case:
    """One question about one picture [H, W, 3] with its only true answer."""

    pixels: NDArray[np.uint8]
    question: str
    answer: str
    task: str
    metric: Metric


Answerer: TypeAlias = Callable[[Sequence[Case]], Sequence[str]]
"""Answers cases in order; sees several at a time so that it can batch, and reads no truths."""


@frozen
class Score:
    """A task's means over `count` cases by metric, the floors set for some of them, and a few failures."""

    task: str
    count: int
    means: Mapping[str, float]
    floors: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[tuple[str, str, str], ...] = ()
    """(question, true answer, given answer) of the first cases that were wrong."""

    @property
    def reached(self) -> bool:
        """Whether every floor is reached; an error rate's floor is a ceiling."""
        return all(
            self.means[name] <= floor if name.endswith("error") else self.means[name] >= floor
            for name, floor in self.floors.items()
        )

    def margin(self, name: str) -> float:
        """Half the width of the 95 % interval of a share of this many cases."""
        share = min(1.0, self.means[name])
        return 1.96 * math.sqrt(max(share * (1 - share), 1e-9) / max(1, self.count))


@frozen
class Report:
    """The scores of a suite."""

    suite: str
    scores: tuple[Score, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types: one object per task."""
        tasks = {
            score.task: {
                "count": score.count,
                **{name: round(value, 4) for name, value in score.means.items()},
                "floors": dict(score.floors),
                "reached": score.reached,
                "failures": [list(failure) for failure in score.failures],
            }
            for score in self.scores
        }
        return {"suite": self.suite, "tasks": tasks}

    def table(self) -> str:
        """A Markdown table: task, questions, every metric with its floor in brackets."""
        lines = ["| task | questions | result (floor) | reached |", "|---|---:|---|---|"]
        for score in self.scores:
            parts = [
                f"{name} {100 * value:.1f} %"
                + (f" ({100 * score.floors[name]:g} %)" if name in score.floors else "")
                for name, value in score.means.items()
            ]
            reached = ("yes" if score.reached else "no") if score.floors else ""
            lines.append(f"| {score.task} | {score.count} | {', '.join(parts)} | {reached} |")
        return "\n".join(lines)


def judge(task: str, cases: Sequence[Case], given: Sequence[str], floors: Mapping[str, float]) -> Score:
    """The score of one task; `given` are the answers to `cases`."""
    sums: dict[str, float] = {}
    failures: list[tuple[str, str, str]] = []
    for case, answer in zip(cases, given, strict=True):
        values = case.metric(answer, case.answer)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        if next(iter(values.values())) < 1 and len(failures) < 10:
            failures.append((case.question, case.answer, answer))
    means = {name: value / len(cases) for name, value in sums.items()}
    return Score(task, len(cases), means, floors if cases else {}, tuple(failures))


def together(ask_many: Callable[..., Sequence[Answer]], **options: Any) -> Answerer:
    """An answerer that asks `ask_many` about all pictures it is given at once, with these options."""

    def answer(cases: Sequence[Case]) -> list[str]:
        return [each.text for each in ask_many([(case.pixels, case.question) for case in cases], **options)]

    return answer
