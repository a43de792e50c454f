"""What smaller weights cost `nano`: the same first choices, and the same answers to its held-out questions.

.venv/bin/python -m benchmarks.weights --record benchmarks/records/nano-weights.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import galago
from benchmarks.provenance import provenance
from galago.compress import Calibration, convert, measure_distortion
from galago.drawing import RECIPES, Split, draw
from galago.evals.nano import TASKS, cases, evaluate
from galago.evals.suite import together
from galago.files import replacing
from galago.types import Weights

BOUNDS: Final[dict[Weights, tuple[float, float]]] = {"q8": (0.995, 0.005), "q4": (0.97, 0.02)}
"""Weights -> the least share of equal first choices, and the most of the accuracy that may be lost."""

FORMS: Final[dict[str, tuple[Weights, bool]]] = {
    "q8": ("q8", False),
    "q4": ("q4", False),
    "q4 calibrated": ("q4", True),
}
"""What is measured: weights, and whether they are calibrated."""

CALIBRATED_ON: Final = 400
FIRST_SEED: Final = 77_000_000
"""Pictures like those that `nano` was trained on, of every recipe in turn, each with one question."""


def calibration() -> Calibration:
    """Drawn pictures that are not held out."""
    recipes, pictures, questions = list(RECIPES), [], []
    for number in range(CALIBRATED_ON):
        drawing = draw(recipes[number % len(recipes)], FIRST_SEED + number, split=Split.TRAIN)
        pictures.append(drawing.pixels)
        questions.append(drawing.questions[number % len(drawing.questions)].text)
    return Calibration(pictures, questions, apart=True)


def agreement(converted: Path, questions: int) -> dict[str, float]:
    """`Distortion`'s totals over the shipped model's greedy answers to questions of every task."""
    asked = [case for task in TASKS for case in cases(task, questions)]
    report = measure_distortion(
        "nano",
        converted,
        [case.pixels for case in asked],
        questions=[case.question for case in asked],
        apart=True,
    )
    return {"tokens": report.tokens, "top1": report.top1, "kl": report.kl, "kl_worst": report.kl_worst}


def accuracy(model: str | Path, questions: int) -> dict[str, float]:
    """Task -> share of `questions` held-out questions answered truly, by the task's first measure."""
    report = evaluate(together(galago.load(model, cache=False).ask_many), limit=questions)
    return {score.task: next(iter(score.means.values())) for score in report.scores}


def measure(*, compared: int, questions: int) -> dict[str, Any]:
    """`compared` questions a task for the agreement, `questions` for the accuracy, of all `FORMS`."""
    shipped = accuracy("nano", questions)
    found: dict[str, Any] = {"compared": compared, "questions": questions, "accuracy": shipped, "weights": {}}
    for form, (weights, is_calibrated) in FORMS.items():
        least, most = BOUNDS[weights]
        with TemporaryDirectory() as folder:
            seen = calibration() if is_calibrated else None
            target = convert("nano", Path(folder) / "nano", weights=weights, calibration=seen).folder
            agreed, own = agreement(target, compared), accuracy(target, questions)
        lost = sum(shipped[task] - own[task] for task in shipped) / len(shipped)
        found["weights"][form] = {
            **{name: round(value, 5) for name, value in agreed.items()},
            "accuracy": {task: round(value, 4) for task, value in own.items()},
            "lost": round(lost, 4),
            "kept": agreed["top1"] >= least and lost <= most,
        }
    return found


def main() -> None:
    """Measure, print, and write the record where one is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compared", type=int, default=25, help="questions of each task for the agreement")
    parser.add_argument("--questions", type=int, default=500, help="questions of each task for the accuracy")
    parser.add_argument("--record", type=Path)
    settings = parser.parse_args()
    found = measure(compared=settings.compared, questions=settings.questions)
    for form, values in found["weights"].items():
        print(
            f"{form}: {values['top1']:.2%} of {values['tokens']} first choices are the same,"
            f" accuracy {-100 * values['lost']:+.1f} points: {'kept' if values['kept'] else 'not kept'}"
        )
    if settings.record is not None:
        with replacing(settings.record) as file:
            file.write((json.dumps({**provenance("weights"), **found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
