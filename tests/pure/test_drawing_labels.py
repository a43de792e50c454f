from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from galago.drawing import labels, signs
from galago.drawing.barcodes import bars, check_digit
from galago.drawing.sample import CELL, Setting, Split
from galago.drawing.sign_symbols import SYMBOLS, Board

SEEDS = range(40)
BY_NAME = {recipe.name: recipe for recipe in (*labels.RECIPES, *signs.RECIPES)}
EVERY_KIND = [(name, split) for name in BY_NAME for split in Split]


def drawing(name, seed, split=Split.TRAIN, difficulty=1.0):
    recipe = BY_NAME[name]
    rows, cols = recipe.sizes[seed % len(recipe.sizes)]
    setting = Setting(rows, cols, split, difficulty, "minimal")
    return recipe.paint(np.random.default_rng(seed), setting)


def characters(cells):
    return sorted(map(chr, cells.characters[cells.characters > 0]))


def text_answers(name, split):
    phrases = {"label": labels.PHRASES, "sign": signs.PHRASES}[name]["text"]
    wordings = {wording.lower().rstrip("?.") for wording in phrases}
    drawn = [(seed, drawing(name, seed, split)) for seed in SEEDS]
    return [
        (seed, one, q)
        for seed, one in drawn
        for q in one.questions
        if q.text.lower().rstrip("?.") in wordings
    ]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_same_seed_draws_the_same_picture(name):
    first, second = drawing(name, 3), drawing(name, 3)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.cells.characters, second.cells.characters)
    assert first.questions == second.questions


@pytest.mark.parametrize(("name", "split"), EVERY_KIND)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_a_picture_fills_whole_cells_and_is_asked_about(name, split, difficulty):
    for seed in SEEDS:
        one = drawing(name, seed, split, difficulty)
        rows, cols = one.cells.kind.shape
        assert one.pixels.shape == (rows * CELL, cols * CELL, 3)
        assert {question.task for question in one.questions} <= {name, "json", "next"}
        assert len(one.questions) >= 3
        assert all(q.text.isascii() and q.answer.isascii() and q.answer for q in one.questions)


@pytest.mark.parametrize(("name", "split"), EVERY_KIND)
def test_all_the_text_is_all_that_the_cells_hold(name, split):
    found = text_answers(name, split)
    assert len(found) > 10
    for seed, one, question in found:
        if (one.cells.characters > 0).sum(axis=2).max() < 6:  # a full cell may have lost a character
            answer = "" if question.answer == "none" else question.answer
            assert sorted(answer.replace(" ", "").replace("\n", "")) == characters(one.cells), (
                seed,
                question,
            )


def test_a_label_is_asked_for_what_it_says():
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        content = labels.label(np.random.default_rng(seed), 6, 22, with_barcode=True)
        rows = labels._rows(rng, content, 22, held_out=False)
        printed = "\n".join(row.text for row in rows)
        assert all(value in printed for key, value in content.fields.items() if value and key != "barcode")
        assert all(allergen in printed for allergen in content.allergens)
        assert len(rows) <= 6


def test_a_label_as_json_has_the_fields_that_were_asked_for():
    asked = [q for seed in range(120) for q in drawing("label", seed).questions if q.task == "json"]
    assert len(asked) > 10
    for question in asked:
        tree = json.loads(question.answer)
        assert json.dumps(tree) == question.answer
        places = [question.text.lower().find(key) for key in tree]
        assert -1 not in places
        assert places == sorted(places)
    assert any(None in json.loads(question.answer).values() for question in asked)


def modules(digits):
    return "".join(str(int(bar)) for bar in bars(digits))


def test_an_ean_8_has_the_bars_of_the_standard():
    want = "101 0110001 0110001 0011001 0010011 01010 1000010 1011100 1001110 1000100 101"
    assert modules("55123457") == want.replace(" ", "")


def test_an_ean_13_starting_with_5_has_parities_odd_even_even_odd_odd_even():
    want = "101 0001011 0100111 0110011 0010011 0111101 0011101"  # the digits 9 0 1 2 3 4
    assert modules("5901234123457").startswith(want.replace(" ", ""))
    assert len(modules("5901234123457")) == 95


@pytest.mark.parametrize("number", ["5901234123457", "4006381333931", "55123457", "96385074"])
def test_check_digits_are_those_of_known_barcodes(number):
    assert check_digit(number[:-1]) == number[-1]


def test_a_barcode_of_another_length_is_refused():
    with pytest.raises(ValueError, match="8 or 13"):
        bars("123")


@pytest.mark.parametrize("sign", signs.SIGNS, ids=lambda sign: f"{sign.name}-{sign.field}-{sign.symbol}")
def test_every_sign_shows_its_field_and_border_colours(sign):
    board = Board(120)
    signs._draw_outline(board, sign, signs.COLOURS, 0.15)
    image = Image.new("RGB", (120, 120), (1, 2, 3))
    board.put(image, (0, 0))
    seen = {colour for _, colour in image.getcolors(100_000)}
    assert signs.COLOURS[sign.field] in seen
    assert sign.border is None or signs.COLOURS[sign.border] in seen


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_is_drawn_inside_its_board(symbol):
    board = Board(64)
    SYMBOLS[symbol](board, (10, 20, 30))
    covered = np.asarray(board.coverage) > 0
    assert covered.mean() > 0.05
    assert not covered[[0, -1]].any()
    assert not covered[:, [0, -1]].any()


@pytest.mark.parametrize("direction", ["left", "right", "up", "down"])
def test_an_arrow_has_its_broad_end_where_it_points(direction):
    board = Board(64)
    signs.arrow(direction)(board, (0, 0, 0))
    covered = np.asarray(board.coverage) > 0
    across = covered.sum(axis=0 if direction in {"left", "right"} else 1)
    broadest = int(np.argmax(across)) < len(across) // 2
    assert broadest == (direction in {"left", "up"})


def test_signs_that_show_an_arrow_are_asked_for_its_direction():
    left = signs.Sign("one way", "rectangle", "blue", None, "arrow left")
    ask = signs.Asker(np.random.default_rng(0), signs.PHRASES, "sign")
    assert "left" in {question.answer for question in signs._about(ask, left)}


def test_only_a_speed_limit_has_a_number():
    wordings = {wording.lower().rstrip("?.") for wording in signs.PHRASES["limit"]}
    seen = set()
    for seed in range(200):
        questions = drawing("sign", seed).questions
        limits = {q.answer for q in questions if q.text.lower().rstrip("?.") in wordings}
        names = {q.answer for q in questions if q.answer.startswith("speed limit ")}
        assert limits <= {name.removeprefix("speed limit ") for name in names} | {"none"}
        seen |= limits
    assert "none" in seen
    assert len(seen) > 2


@pytest.mark.parametrize("phrases", [labels.PHRASES, signs.PHRASES])
def test_every_question_has_eight_wordings(phrases):
    assert min(len(set(wordings)) for wordings in phrases.values()) >= 8


@pytest.mark.parametrize("held_out", [True, False])
def test_contents_come_first_only_where_they_are_held_out(held_out):
    orders = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        content = labels.Label("Rice", "250 g", False, "Holm", "2.50", None, "L77", "Italy")
        rows = labels._rows(rng, content, 40, held_out=held_out)
        orders.add(tuple(row.pieces[-1] for row in rows))
    first = {order[0] for order in orders}
    assert first == ({"250 g"} if held_out else {"Holm", "Rice", "2.50", "L77", "Italy"})
    assert len(orders) > 20 or held_out
