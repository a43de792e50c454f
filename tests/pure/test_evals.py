"""Answers are judged as the floors of `nano` mean it, and the held-out questions never change."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from galago.errors import UsageError
from galago.evals import metrics, nano
from galago.evals.suite import Case, judge, together


def test_the_fewest_edits_are_counted():
    assert metrics.edits("kitten", "sitting") == 3
    assert metrics.edits("", "abc") == 3
    assert metrics.edits("same", "same") == 0


def test_the_character_error_is_edits_per_true_character():
    assert metrics.spelled("HELO", "HELLO") == {"exact": 0.0, "character_error": 0.2}


def test_a_caption_is_right_when_it_names_all_and_only_what_is_there():
    true = "Two red crosses, a blue ring and a star."
    assert metrics.caption("A star, a blue ring and two red crosses", true)["exact"] == 1
    assert metrics.caption("Two red crosses and a blue ring.", true)["exact"] == 0
    assert metrics.caption("A red cross, a blue ring and a star.", true)["exact"] == 0


def box(x0, y0, x1, y1, label="red ring"):
    return {"bbox_2d": [x0, y0, x1, y1], "label": label}


def test_boxes_need_half_an_overlap_and_the_right_label():
    true = json.dumps([box(0, 0, 10, 10), box(20, 20, 30, 30)])
    assert metrics.boxes(true, true) == {"found": 1, "iou": 1, "exact": 1}
    half = json.dumps([box(0, 0, 10, 6), box(20, 20, 30, 30, "blue ring")])
    assert metrics.boxes(half, true) == {"found": 0.5, "iou": pytest.approx(0.3), "exact": 0}


def test_a_box_too_many_costs_as_much_as_one_too_few():
    one, two = json.dumps([box(0, 0, 9, 9)]), json.dumps([box(0, 0, 9, 9), box(0, 0, 8, 9)])
    assert metrics.boxes(two, one)["found"] == metrics.boxes(one, two)["found"] == 0.5


def test_no_boxes_are_right_where_nothing_is():
    assert metrics.boxes("[]", "[]")["found"] == 1
    assert metrics.boxes("none", "[]")["found"] == 0


def test_json_is_compared_as_a_value():
    assert metrics.json_value('{"b": 1,"a": "x"}', '{"a": "x", "b": 1}')["exact"] == 1
    assert metrics.json_value('{"a": "x"', '{"a": "x"}')["exact"] == 0


def test_a_reading_may_be_off_by_its_tolerance():
    close = metrics.near(5.0)
    assert close("42 bar", "45 bar")["within"] == 1
    assert close("51", "45")["within"] == 0
    assert metrics.near(0.05)("0.3", "0.25")["within"] == 1
    assert close("psi", "bar")["within"] == 0


def test_an_error_rate_has_a_ceiling_and_a_share_a_floor():
    pixels = np.zeros((28, 28, 3), np.uint8)
    cases = [Case(pixels, "Read the text.", text, "line", metrics.spelled) for text in ("abcd", "efgh")]
    score = judge("line", cases, ["abcd", "efgx"], {"exact": 0.5, "character_error": 0.1})
    assert score.means == {"exact": 0.5, "character_error": 0.125}
    assert not score.reached
    assert judge("line", cases, ["abcd", "efgx"], {"exact": 0.5}).reached
    assert score.failures == (("Read the text.", "efgh", "efgx"),)


def test_the_same_questions_are_asked_every_time():
    first, again = (list(nano.cases("count", 5)) for _ in range(2))
    assert [(c.question, c.answer) for c in first] == [(c.question, c.answer) for c in again]
    assert all((a.pixels == b.pixels).all() for a, b in zip(first, again, strict=True))


def test_an_answerer_that_knows_the_truth_reaches_every_floor():
    truths = {}
    for task in ("colour", "box", "caption"):
        truths |= {(c.pixels.tobytes(), c.question): c.answer for c in nano.cases(task, 3)}
    report = nano.evaluate(
        lambda cases: [truths[case.pixels.tobytes(), case.question] for case in cases],
        tasks=["colour", "box", "caption"],
        limit=3,
    )
    assert all(score.reached for score in report.scores)
    assert "| colour | 3 | exact 100.0 % (97 %) | yes |" in report.table()


def test_an_answerer_may_ask_all_at_once_with_options():
    asked = list(nano.cases("colour", 2))

    def ask_many(pairs, *, mark):
        return [SimpleNamespace(text=f"{mark} {question}") for _, question in pairs]

    assert together(ask_many, mark="!")(asked) == [f"! {case.question}" for case in asked]


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(UsageError, match="colours"):
        next(nano.cases("colours"))
