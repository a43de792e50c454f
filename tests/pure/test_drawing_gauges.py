from __future__ import annotations

from math import atan2, degrees

import numpy as np
import pytest

from galago.drawing import gauges
from galago.drawing.gauges import Scale
from galago.drawing.sample import CELL, Setting, Split
from galago.drawing.sign_symbols import Board

SEEDS = range(40)
SCALES = [scale for quantity in gauges._QUANTITIES for scale in quantity.scales]


def drawing(seed, split=Split.TRAIN, difficulty=1.0):
    rows, cols = gauges.RECIPES[0].sizes[seed % 4]
    setting = Setting(rows, cols, split, difficulty, "minimal")
    return gauges.paint_gauge(np.random.default_rng(seed), setting)


def reading(value, scale, zone=None):
    return gauges._Reading(gauges._QUANTITIES[0], scale, value, zone, "bar")


def test_the_same_seed_draws_the_same_gauge():
    first, second = drawing(3), drawing(3)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.questions == second.questions


@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_a_gauge_is_asked_for_its_value_first(split, difficulty):
    for seed in SEEDS:
        one = drawing(seed, split, difficulty)
        rows, cols = one.cells.kind.shape
        assert one.pixels.shape == (rows * CELL, cols * CELL, 3)
        assert [question.task for question in one.questions] == ["gauge"] * 4 + ["needle"]
        assert all(q.text.isascii() and q.answer.isascii() and q.answer for q in one.questions)
        assert one.questions[0].tolerance > 0
        float(one.questions[0].answer)


def test_spelled_answers_stand_on_the_dial():
    for seed in SEEDS:
        one = drawing(seed)
        letters = sorted(map(chr, one.cells.characters[one.cells.characters > 0]))
        for question in one.questions:
            assert not question.spelled or set(question.answer) <= set(letters), (seed, question)


@pytest.mark.parametrize(("value", "parts"), [(0.0, 0), (2.4, 9), (7.5, 30), (10.0, 39)])
def test_one_cell_tells_how_far_up_the_scale_the_needle_points(monkeypatch, value, parts):
    monkeypatch.setattr(gauges, "_reading", lambda _: reading(value, Scale(0, 10, 2)))
    for seed in SEEDS:
        labels = drawing(seed).cells.needle
        assert labels[labels > 0].tolist() == [1 + parts]


@pytest.mark.parametrize("sweep", [120.0, 180.0, 270.0])
@pytest.mark.parametrize("value", [0.0, 2.4, 5.0, 9.8])
def test_the_needle_points_to_the_value(sweep, value):
    rng, board = np.random.default_rng(0), Board(200)
    dial = gauges._draw_case(Board(200), rng, sweep, (250, 250, 250), square=False)
    gauges._draw_needle(board, rng, dial, reading(value, Scale(0, 10, 2)), (250, 250, 250))
    rows, cols = np.nonzero(np.asarray(board.coverage))
    x, y = cols / 200 - 1 - dial.centre[0], rows / 200 - 1 - dial.centre[1]
    tip = int(np.argmax(np.hypot(x, y)))
    share = degrees(atan2(x[tip], -y[tip])) / sweep + 0.5
    assert share * 10 == pytest.approx(value, abs=0.15)


def test_a_scale_runs_clockwise_from_the_left_to_the_right():
    dial = gauges._Dial((0.0, 0.0), 1.0, 240.0)
    low, middle, high = (dial.at(share, 1.0) for share in (0.0, 0.5, 1.0))
    assert low[0] < middle[0] < high[0]
    assert middle == pytest.approx((0.0, -1.0))
    assert low[1] == pytest.approx(high[1])


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"{scale.low}..{scale.high}")
def test_a_step_is_fine_enough_and_the_marks_end_where_the_scale_ends(scale):
    assert scale.span / 200 <= scale.step <= scale.span / 40 + 1e-9
    assert scale.marks[0] == scale.low
    assert scale.marks[-1] == pytest.approx(scale.high)
    assert all(float(scale.print(mark)) == pytest.approx(mark) for mark in scale.marks)
    assert float(scale.spell(scale.low + scale.step)) == pytest.approx(scale.low + scale.step)


def test_the_needle_is_in_the_red_where_the_zone_says():
    ask = gauges.Asker(np.random.default_rng(0), gauges.PHRASES, "gauge")
    reds = {wording.lower().rstrip("?.") for wording in gauges.PHRASES["red"]}
    for value, zone, want in ((9.0, (0.8, 1.0), "yes"), (7.0, (0.8, 1.0), "no"), (1.0, (0.0, 0.2), "yes")):
        found = [q for _ in range(20) for q in gauges._about(ask, reading(value, Scale(0, 10, 2), zone))]
        answers = {q.answer for q in found if q.text.lower().rstrip("?.") in reds}
        assert answers == {want}
    found = [q for _ in range(20) for q in gauges._about(ask, reading(9.0, Scale(0, 10, 2)))]
    assert {q.answer for q in found if q.text.lower().rstrip("?.") in reds} == {"no"}


def test_the_red_zone_is_red_and_the_rest_is_not():
    rng, board = np.random.default_rng(0), Board(200)
    dial = gauges._Dial((0.0, 0.0), 0.9, 240.0)
    gauges._draw_zones(board, rng, dial, reading(1.0, Scale(0, 10, 2), (0.7, 1.0)))
    for share, want in ((0.72, True), (0.85, True), (0.98, True), (0.66, False), (0.1, False)):
        u, v = dial.at(share, 0.97)
        red, green, _ = board.colours.getpixel((int((u + 1) * 200), int((v + 1) * 200)))
        assert (red > 150 and green < 90) == want


def test_no_needle_stands_at_the_border_of_its_zone():
    rng = np.random.default_rng(0)
    for _ in range(300):
        one = gauges._reading(rng)
        for edge in one.zone or ():
            assert edge in {0.0, 1.0} or abs(one.scale.share(one.value) - edge) >= 0.025


def test_answers_above_a_limit_follow_from_the_value():
    ask = gauges.Asker(np.random.default_rng(0), gauges.PHRASES, "gauge")
    found = [q for _ in range(60) for q in gauges._about(ask, reading(4.2, Scale(0, 10, 2)))]
    limits = [(q.text.rstrip("?").split()[-1], q.answer) for q in found if q.answer in {"yes", "no"}]
    limits = [(float(limit), answer) for limit, answer in limits if limit.isdigit()]
    assert {answer for _, answer in limits} == {"yes", "no"}
    assert all(answer == ("yes" if limit < 4.2 else "no") for limit, answer in limits)


def test_every_question_has_eight_wordings():
    assert min(len(set(wordings)) for wordings in gauges.PHRASES.values()) >= 8
