"""What drafts save: steps and seconds of answers that read, and what a step costs with drafted rows in it.

    .venv/bin/python -m benchmarks.drafts nano --pictures 40 --record FILE
    .venv/bin/python -m benchmarks.drafts MODEL --pictures 0 --steps 40 --record FILE

The first half needs a model that reads, the second may have random weights: there every draft is made to
fail, so that each step has one row more for each drafted token and keeps one. A record keeps its other half.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

import galago
from benchmarks.provenance import provenance
from benchmarks.table import of_columns
from benchmarks.workloads import QUESTIONS, draw_picture
from galago.engine.draft import Drafter
from galago.evals.nano import cases
from galago.evals.suite import Case
from galago.files import replacing

DRAFTED: Final = (0, 1, 2, 4)

Ask = Callable[[galago.Model, Any, Case, int], Any]


def _read(model: galago.Model, features: Any, _: Case, drafted: int) -> Any:
    return model.read(features, draft_tokens=drafted)


def _extract(model: galago.Model, features: Any, case: Case, drafted: int) -> Any:
    value = json.loads(case.answer)
    return model.extract(features, list(value[0] if isinstance(value, list) else value), draft_tokens=drafted)


KINDS: Final[dict[str, tuple[str, Ask]]] = {
    "JSON of papers": ("json", _extract),
    "text of papers": ("json", _read),
    "several lines": ("lines", _read),
}
"""What is asked -> the task whose held-out pictures it is asked of, and the verb."""


class Steps:
    """Counts the calls of a model's decoder, those that feed prompts among them."""

    def __init__(self, model: galago.Model) -> None:
        self.count = 0
        network = model.engine.model.network
        decode = network.decode

        def counted(*given: Any) -> Any:
            self.count += 1
            return decode(*given)

        network.decode = counted  # type: ignore[method-assign,assignment]


def answers(model: galago.Model, count: int) -> dict[str, Any]:
    """Steps and seconds of all pictures by kind and drafted tokens, these in turn; features are known."""
    steps, told = Steps(model), dict[str, Any]()
    for kind, (task, ask) in KINDS.items():
        shown = [(model.encode(case.pixels), case) for case in cases(task, count)]
        taken = {drafted: [0, 0.0] for drafted in DRAFTED}
        for features, case in shown:
            said = []
            for drafted in DRAFTED:
                model.engine.prefixes.clear()
                steps.count, began = 0, time.perf_counter()
                said.append(ask(model, features, case, drafted))
                taken[drafted][0] += steps.count
                taken[drafted][1] += time.perf_counter() - began
            assert all(one == said[0] for one in said), said
        told[kind] = {str(drafted): {"steps": n, "seconds": round(s, 4)} for drafted, (n, s) in taken.items()}
    return told


def step_costs(model: galago.Model, tokens: int, runs: int) -> dict[str, float]:
    """Milliseconds of a step by the tokens drafted in it, medians of answers in turn; no draft comes true."""
    features = model.encode(np.asarray(draw_picture(512, 0)))
    taken: dict[int, list[float]] = {drafted: [] for drafted in DRAFTED}
    guess = Drafter.guess
    try:
        for drafted in [*DRAFTED] * runs:
            Drafter.guess = lambda _, room, n=drafted: [0] * min(n, room)  # type: ignore[method-assign,misc]
            answer = model.ask(
                features, QUESTIONS[0], max_tokens=tokens, min_tokens=tokens, draft_tokens=drafted
            )
            taken[drafted].append(1000 * (answer.timings.decode_s or 0.0) / (tokens - 1))
    finally:
        Drafter.guess = guess  # type: ignore[method-assign]
    return {str(drafted): round(statistics.median(times), 3) for drafted, times in taken.items()}


def table(record: dict[str, Any]) -> str:
    """Both halves, as far as they are there, as Markdown: a column for each number of drafted tokens."""
    rows: list[tuple[str, list[str]]] = []
    for kind, by_drafted in record.get("answers", {}).get("kinds", {}).items():
        for name, form in (("steps", "{:.0f}"), ("seconds", "{:.2f}")):
            rows.append((f"{kind}, {name}", [form.format(one[name]) for one in by_drafted.values()]))
    for name, costs in record.get("steps", {}).items():
        rows.append((f"a step of {name}, ms", [f"{cost:.2f}" for cost in costs["ms"].values()]))
    return of_columns([str(drafted) for drafted in DRAFTED], rows)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pictures", type=int, default=40, help="of each kind; 0 for none")
    parser.add_argument("--steps", type=int, default=0, help="tokens of the answers whose steps are timed")
    parser.add_argument("--runs", type=int, default=3, help="answers for each number of drafted tokens")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    model, facts = galago.load(options.model, cache=False), provenance("drafts")
    record = json.loads(options.record.read_text()) if options.record and options.record.exists() else {}
    if options.steps:
        costs = step_costs(model, options.steps, options.runs)
        record.setdefault("steps", {})[model.info()["name"]] = {**facts, "ms": costs}
    if options.pictures:
        record["answers"] = {**facts, "pictures": options.pictures, "kinds": answers(model, options.pictures)}
    print(table(record))
    if options.record:
        with replacing(options.record) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
