from __future__ import annotations

import numpy as np
import pytest

from galago.drawing import RECIPE_SIZES, Split, draw
from galago.drawing.following import PHRASES, following

LINES = ("one", "two", "one", "three {4}")


def test_each_line_that_stands_once_is_followed_by_the_next():
    asked = following(np.random.default_rng(1), LINES, 9)
    told = {question.text.split('"')[1]: question.answer for question in asked}
    assert told == {"two": "one", "three {4}": "none"}
    assert {question.task for question in asked} == {"next"}
    assert [question.spelled for question in asked if question.answer == "none"] == [False]


def test_at_most_so_many_are_asked():
    assert len(following(np.random.default_rng(1), LINES, 1)) == 1


def test_what_else_is_drawn_stays_as_it_is():
    rng, other = np.random.default_rng(2), np.random.default_rng(2)
    following(rng, LINES, 2)
    assert rng.random() == other.random()


def test_the_question_has_eight_wordings():
    assert len(set(PHRASES["next"])) >= 8


@pytest.mark.parametrize("recipe", ["lines", "receipt", "form", "label"])
def test_what_follows_is_as_the_whole_text_has_it(recipe):
    found = 0
    for seed in range(30):
        size = RECIPE_SIZES[recipe][seed % len(RECIPE_SIZES[recipe])]
        questions = draw(
            recipe, seed, split=Split.TRAIN, difficulty=0.5, size=size, fonts="minimal"
        ).questions
        text = max((q.answer for q in questions if q.spelled), key=lambda answer: answer.count("\n"))
        lines = [*text.split("\n"), "none"]
        for asked in (q for q in questions if q.task == "next" and len(lines) > 2):
            line = asked.text.partition('"')[2].rpartition('"')[0]
            if line in lines:
                assert asked.answer == lines[lines.index(line) + 1]
                found += 1
    assert found > 5
