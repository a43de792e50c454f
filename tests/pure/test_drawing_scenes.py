"""Scenes of shapes: what is drawn is what is said about it."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest

from galago import drawing
from galago.drawing import CELL, scene_questions
from galago.drawing.phrasing import PHRASINGS
from galago.drawing.phrasing_scenes import SCENES
from galago.drawing.shapes import COLOURS, KINDS, Shape, plural

H, W = 168, 196
KNOWN = (
    Shape("circle", "red", 30, 30, 20, (12, 12, 48, 48)),
    Shape("circle", "red", 98, 84, 12, (87, 73, 109, 95)),
    Shape("star", "blue", 170, 140, 20, (151, 121, 189, 158)),
)


def scenes(count, **options):
    return [drawing.draw("scene", seed, fonts="minimal", **options) for seed in range(count)]


def asked(shapes, task, seeds=300):
    """Questions of `task` about `shapes` without the habits of spelling."""
    drawn = (scene_questions.questions(np.random.default_rng(s), shapes, H, W) for s in range(seeds))
    return {
        (q.text.lower().rstrip("?."), q.answer) for questions in drawn for q in questions if q.task == task
    }


def answers(shapes, task, pattern):
    found = [answer for text, answer in asked(shapes, task) if re.search(pattern, text)]
    assert found
    return set(found)


def test_a_box_is_tight_on_the_drawn_pixels():
    alone = [d for d in scenes(60, difficulty=0.0) if len(json.loads(_all_boxes(d))) == 1]
    assert len(alone) >= 5
    for drawn in alone:
        far = np.abs(drawn.pixels.astype(int) - drawn.pixels[0, 0].astype(int)).sum(2)
        solid = far > 0.5 * far.max()
        rows, cols = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        want = [cols[0], rows[0], cols[-1] + 1, rows[-1] + 1]
        got = json.loads(_all_boxes(drawn))[0]["bbox_2d"]
        assert np.abs(np.subtract(got, want)).max() <= 1  # half covered pixels may fall on either side


def _all_boxes(drawn):
    """The boxes of everything, where the scene has one shape; else the empty list or several."""
    caption = next(q.answer for q in drawn.questions if q.task == "caption")
    box = next(q.answer for q in drawn.questions if q.task == "box")
    return box if re.fullmatch(r"An? \w+ \w+\.", caption) and box != "[]" else "[]"


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("circles", 2),
        ("red circles", 2),
        ("stars", 1),
        ("blue stars", 1),
        ("red (shapes|objects)", 2),
        ("shapes", 3),
    ],
)
def test_counts_are_true(what, count):
    pattern = rf"(?<!red )(?<!blue )\b{what}" if " " not in what else what
    assert answers(KNOWN, "count", pattern) == {str(count)}


def test_what_is_not_there_is_counted_zero_and_denied():
    texts = asked(KNOWN, "absent")
    there = {"circle", "red circle", "star", "blue star", "red shape", "blue shape"}
    names = {name: plural(name) for name in there}
    for text, answer in texts:
        is_there = any(re.search(rf"\b(an?|any) ({n}|{p})\b", text) for n, p in names.items())
        assert (answer == "yes") == is_there, (text, answer)


@pytest.mark.parametrize(("what", "place"), [("star", "bottom right"), ("blue star", "bottom right")])
def test_a_lone_shape_has_its_place(what, place):
    assert answers(KNOWN, "place", rf"\b(where|part|position)\b.*{what}") == {place}


def test_a_shape_that_is_not_alone_of_its_name_has_no_place():
    assert not [text for text, _ in asked(KNOWN, "place") if "circle" in text]


def test_what_lies_in_a_place_is_named():
    assert answers(KNOWN, "place", "in the top left") == {"red circle"}
    assert answers(KNOWN, "place", "in the middle") == {"red circle"}


def test_a_shape_near_the_border_of_two_places_has_none():
    near = Shape("star", "blue", W // 3, H // 2, 10, (56, 74, 75, 93))
    assert not asked((near,), "place")


def test_relations_are_true():
    star, ring = KNOWN[2], Shape("ring", "green", 30, 130, 15, (17, 117, 44, 144))
    assert answers((star, ring), "relation", r"star.* (is |lie |found |)?right of the (green )?ring") == {
        "yes"
    }
    assert answers((star, ring), "relation", r"ring.* right of the (blue )?star") == {"no"}
    assert answers((star, ring), "relation", r"(what|object|shape).* left of the (blue )?star") == {
        "green ring"
    }
    assert answers((star, ring), "relation", r"(what|object|shape).* left of the (green )?ring") == {
        "nothing"
    }
    assert not [text for text, _ in asked((star, ring), "relation") if "above" in text]  # nearly level


def test_a_caption_names_all_and_only_what_is_there():
    assert answers(KNOWN, "caption", "") == {"Two red circles and a blue star."}


def test_a_caption_names_groups_by_colour_then_by_kind_wherever_they_are():
    seen = [("blue", "star"), ("blue", "star"), ("blue", "circle"), ("red", "ring")]
    shapes = [
        Shape(kind, colour, 20, 20 + 40 * n, 10, (10, 10 + 40 * n, 30, 30 + 40 * n))
        for n, (colour, kind) in enumerate(seen)
    ]
    assert scene_questions.caption_order(shapes) == ["red ring", "blue circle", "blue star"]


def test_groups_follow_each_other_as_in_the_caption():
    assert answers(KNOWN, "group", "(?i)two red circles") == {"a blue star"}
    assert answers(KNOWN, "group", "(?i)a blue star") == {"nothing"}


def test_boxes_come_by_top_edge_then_left_edge():
    first = '{"bbox_2d": [12, 12, 48, 48], "label": "red circle"}'
    second = '{"bbox_2d": [87, 73, 109, 95], "label": "red circle"}'
    assert answers(KNOWN[::-1], "box", r"(?<!red )\bcircles?\b") >= {f"[{first}, {second}]"}


@pytest.mark.parametrize(("side", "pixel"), [("left", 151), ("top", 121), ("right", 189), ("bottom", 158)])
def test_edges_are_those_of_the_box_of_a_lone_shape(side, pixel):
    assert answers(KNOWN, "edge", rf"\b{side} edge of the (blue )?star") == {str(pixel)}
    assert not [text for text, _ in asked(KNOWN, "edge") if "circle" in text]


def test_every_task_is_asked_and_yes_is_as_common_as_no():
    questions = [q for drawn in scenes(300) for q in drawn.questions]
    tasks = Counter(q.task for q in questions)
    assert set(tasks) == set(scene_questions.TASKS)
    assert min(tasks.values()) > 100
    for task in ("absent", "relation"):
        said = Counter(q.answer for q in questions if q.task == task)
        assert 0.4 < said["yes"] / (said["yes"] + said["no"]) < 0.6
    assert {q.answer for q in questions if q.task == "count"} == set("01234567")


def test_cells_hold_the_kind_colour_and_box_of_the_shape_in_them():
    for drawn in scenes(40):
        for box in (box for q in drawn.questions if q.task == "box" for box in json.loads(q.answer)):
            x0, y0, x1, y1 = box["bbox_2d"]
            colour, kind = box["label"].split()
            cells = np.s_[y0 // CELL : -(-y1 // CELL), x0 // CELL : -(-x1 // CELL)]
            want = 1 + KINDS.index(kind), 1 + list(COLOURS).index(colour), (x0 + 1, y0 + 1, x1 + 1, y1 + 1)
            here = zip(
                drawn.cells.kind[cells].flat,
                drawn.cells.colour[cells].flat,
                map(tuple, drawn.cells.box[cells].reshape(-1, 4).tolist()),
                strict=True,
            )
            assert want in {(int(k), int(c), edges) for k, c, edges in here}


def test_a_cell_has_a_box_exactly_where_it_has_a_kind():
    for drawn in scenes(20):
        assert ((drawn.cells.box > 0).all(-1) == (drawn.cells.kind > 0)).all()


def test_cells_tell_how_many_are_alike_and_where_a_caption_names_them():
    for drawn in scenes(12):
        caption = next(q.answer for q in drawn.questions if q.task == "caption")
        groups = re.split(r", | and ", caption.lower().rstrip("."))
        labels = (
            drawn.cells.box,
            drawn.cells.kind,
            drawn.cells.colour,
            drawn.cells.counts,
            drawn.cells.group,
        )
        filled = list(zip(*(label[drawn.cells.kind > 0].tolist() for label in labels), strict=True))
        shapes = {tuple(box): (kind, colour) for box, kind, colour, *_ in filled}.values()
        for _, kind, colour, counts, group in filled:
            alike = sum(shape == (kind, colour) for shape in shapes)
            kinds, colours = sum(k == kind for k, _ in shapes), sum(c == colour for _, c in shapes)
            assert counts == [alike, kinds, colours, len(shapes)]
            name = f"{tuple(COLOURS)[colour - 1]} {KINDS[kind - 1]}"
            assert groups[group - 1].split(" ", 1)[1] == (name if alike == 1 else plural(name))
        assert not drawn.cells.counts[drawn.cells.kind == 0].any()
        assert not drawn.cells.group[drawn.cells.kind == 0].any()


def test_every_question_is_phrased_in_at_least_eight_ways():
    tasks = {key.split(".")[0] for key in SCENES}
    assert {"colour", "kind", "count", "exists", "place", "relation", "box", "caption"} <= tasks
    for key, templates in PHRASINGS.items():
        assert len(set(templates)) >= 8, key
