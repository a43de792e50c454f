"""`nano` answers as the stored record says, which docs/nano.md quotes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import galago
from galago.compress import convert
from galago.drawing import fonts
from galago.evals.nano import TASKS, evaluate
from galago.evals.suite import together

RECORD = Path(__file__).parents[2] / "benchmarks/records/nano-eval.json"
APART = 0.01
"""Instruction sets round differently, and a few of 500 answers are close calls."""


@pytest.fixture(scope="module")
def nano():
    return galago.load("nano", cache=False)


@pytest.mark.slow
@pytest.mark.skipif(bool(fonts.missing_packages()), reason="scripts/fonts was not run")
@pytest.mark.parametrize("task", TASKS)
def test_nano_answers_as_recorded(nano, task):
    told = json.loads(RECORD.read_text(encoding="utf-8"))["tasks"][task]
    score = evaluate(together(nano.ask_many), tasks=[task], limit=told["count"]).scores[0]
    for metric in TASKS[task].floors:
        assert abs(score.means[metric] - told[metric]) <= APART, metric
    assert score.reached == told["reached"]


@pytest.mark.slow
@pytest.mark.skipif(bool(fonts.missing_packages()), reason="scripts/fonts was not run")
@pytest.mark.parametrize(("weights", "most"), [("q8", 0.005), ("q4", 0.02)])
def test_nano_in_fewer_bits_is_as_right(nano, tmp_path, weights, most):
    packed = galago.load(convert("nano", tmp_path / "nano", weights=weights).folder, cache=False)
    whole, less = (
        [next(iter(score.means.values())) for score in evaluate(together(model.ask_many), limit=200).scores]
        for model in (nano, packed)
    )
    assert sum(whole) - sum(less) <= most * len(whole)
