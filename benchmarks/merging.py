"""What merging visual tokens costs in truth and saves in time and cache: held-out questions, and one answer.

    .venv/bin/python -m benchmarks.merging nano --questions 100 --runs 0 --record FILE
    .venv/bin/python -m benchmarks.merging nano --questions 0 --runs 5 --record FILE

Times want a quiet machine and questions want time, so each may be taken alone: a record that is there keeps
its other half. Of a model with random weights only the times mean something.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import galago
from benchmarks.provenance import provenance
from benchmarks.table import of_columns
from benchmarks.workloads import QUESTIONS, draw_picture
from galago.evals.nano import TASKS, evaluate
from galago.evals.suite import together

SHARES: Final = (1.0, 0.75, 0.5, 0.25)
ROWS: Final = (
    ("image_tokens", 1, "tokens of the picture"),
    ("kv_bytes", 1e6, "keys and values, MB"),
    ("encode_s", 1e-3, "vision and merging, ms"),
    ("prefill_s", 1e-3, "prefill, ms"),
    ("first_token_s", 1e-3, "first token, ms"),
    ("total_s", 1e-3, "answer, ms"),
)
"""A key of the times, what it is divided by, and what the table calls it."""


def truth(model: galago.Model, share: float, task: str, count: int) -> dict[str, float]:
    """The means of a task when so many of the tokens are kept."""
    answer = together(model.ask_many, keep_tokens=share)
    [score] = evaluate(answer, tasks=[task], limit=count).scores
    return dict(score.means)


def times(
    model: galago.Model, shares: Sequence[float], *, pixels: int, tokens: int, runs: int
) -> dict[str, Any]:
    """Seconds and bytes of an answer about a picture that is new to the model, shares in turn: medians."""
    picture = np.asarray(draw_picture(pixels, 0))
    told: dict[float, list[galago.Answer]] = {share: [] for share in shares}
    for share in [*shares] * runs:
        model.close()
        asked = {"keep_tokens": share, "max_tokens": tokens, "min_tokens": tokens}
        told[share].append(model.ask(picture, QUESTIONS[0], **asked))
    return {str(share): _medians(answers) for share, answers in told.items()}


def _medians(answers: Sequence[galago.Answer]) -> dict[str, float]:
    stages = ("encode_s", "prefill_s", "first_token_s", "decode_s", "total_s")
    last = answers[-1]
    return {
        "image_tokens": last.usage.image_tokens,
        "prompt_tokens": last.usage.prompt_tokens,
        "kv_bytes": last.memory.kv_bytes,
        "features_bytes": last.memory.features_bytes,
        **{name: statistics.median(getattr(one.timings, name) for one in answers) for name in stages},
    }


def table(record: dict[str, Any]) -> str:
    """Both halves, as far as they are there, as Markdown: a column for each share."""
    truths, seconds = record.get("truth", {}).get("tasks", {}), record.get("times", {}).get("shares", {})
    shares = list(seconds or next(iter(truths.values())))
    rows = [
        (task, [f"{100 * next(iter(by_share[share].values())):.0f} %" for share in shares])
        for task, by_share in truths.items()
    ]
    for name, unit, label in ROWS if seconds else ():
        rows.append((label, [f"{seconds[share][name] / unit:.4g}" for share in shares]))
    return of_columns(shares, rows)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--questions", type=int, default=100, help="of each task; 0 for none")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS), metavar="TASK")
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--runs", type=int, default=5, help="answers that are timed; 0 for none")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    model = galago.load(options.model, cache=False, threads=options.threads)
    facts = provenance("merging")
    record = json.loads(options.record.read_text()) if options.record and options.record.exists() else {}
    if options.runs:
        model.ask(
            np.asarray(draw_picture(options.pixels, 1)), QUESTIONS[0], max_tokens=2
        )  # touches all weights
        sizes = {"pixels": options.pixels, "tokens": options.tokens, "runs": options.runs}
        record["times"] = {**facts, **sizes, "shares": times(model, options.shares, **sizes)}
    if options.questions:
        answered: dict[str, Any] = {}
        for task in options.tasks:
            means = {str(share): truth(model, share, task, options.questions) for share in options.shares}
            answered[task] = means
            print(task, means, file=sys.stderr, flush=True)
        record["truth"] = {**facts, "questions": options.questions, "tasks": answered}
    print(table(record))
    if options.record:
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
