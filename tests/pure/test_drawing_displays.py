from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from galago.drawing import display_panels, display_texts, displays
from galago.drawing.sample import CELL, Setting, Split
from galago.drawing.segments import DotStyle, SegmentStyle, dot_glyphs, draw_dots, draw_segments
from galago.drawing.sheet import Sheet

SEEDS = range(40)
PATTERNS = (0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F)  # bit 0 is segment a
BY_NAME = {recipe.name: recipe for recipe in displays.RECIPES}


def drawing(name, seed, split=Split.TRAIN, difficulty=1.0):
    recipe = BY_NAME[name]
    rows, cols = recipe.sizes[seed % len(recipe.sizes)]
    setting = Setting(rows, cols, split, difficulty, "minimal")
    return recipe.paint(np.random.default_rng(seed), setting)


def characters(cells):
    return "".join(map(chr, cells.characters[cells.characters > 0]))


@pytest.mark.parametrize("name", BY_NAME)
def test_the_same_seed_draws_the_same_display(name):
    first, second = drawing(name, 3), drawing(name, 3)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.cells.characters, second.cells.characters)
    assert first.questions == second.questions


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_cells_hold_every_character_of_a_spelled_answer(name, split, difficulty):
    for seed in SEEDS:
        shown = drawing(name, seed, split, difficulty)
        letters = sorted(characters(shown.cells))
        for question in shown.questions:
            if question.spelled:
                rest = list(letters)
                for character in question.answer.replace(" ", "").replace("\n", ""):
                    assert character in rest, (seed, question)
                    rest.remove(character)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_picture_fills_whole_cells_and_its_questions_have_the_recipes_task(name):
    for seed in SEEDS:
        shown = drawing(name, seed)
        rows, cols = shown.cells.kind.shape
        assert shown.pixels.shape == (rows * CELL, cols * CELL, 3)
        assert {question.task for question in shown.questions} == {name}
        assert 3 <= len(shown.questions) <= 4
        assert all(question.text.isascii() and question.answer for question in shown.questions)


def test_every_question_has_eight_wordings():
    assert min(len(set(wordings)) for wordings in display_texts.PHRASES.values()) >= 8


def test_seven_segment_digits_light_the_segments_they_are_made_of():
    style = SegmentStyle(ghost=0.0, slant=0.0)
    mask, placed = draw_segments("8", 60, style)
    at = {"a": (0.5, 0.05), "g": (0.5, 0.5), "d": (0.5, 0.95), "f": (0.1, 0.25), "b": (0.9, 0.25)}
    at |= {"e": (0.1, 0.75), "c": (0.9, 0.75)}
    width = 60 * style.width
    for character in "0123456789":
        levels = np.asarray(draw_segments(character, 60, style)[0])
        lit = {name for name, (x, y) in at.items() if levels[int(y * 60), int(x * width)] > 127}
        assert lit == {name for bit, name in enumerate("abcdefg") if PATTERNS[int(character)] >> bit & 1}
    assert mask.height == 61
    assert placed[0].x == pytest.approx(width / 2)


def test_a_blank_digit_shows_only_its_unlit_segments():
    mask, placed = draw_segments(" ", 50, SegmentStyle(ghost=0.1))
    assert not placed
    assert 0 < np.asarray(mask).max() <= 26


def test_segments_and_points_come_from_left_to_right():
    _, placed = draw_segments("-12.5:08", 40, SegmentStyle(slant=0.1))
    assert "".join(one.character for one in placed) == "-12.5:08"
    assert all(left.x < right.x for left, right in pairwise(placed))


def test_no_two_dot_glyphs_look_the_same():
    shapes = {dots.tobytes() for dots in dot_glyphs().values()}
    assert len(shapes) == len(dot_glyphs())


def test_dots_are_lit_where_the_glyph_says():
    mask, placed = draw_dots("Lt", DotStyle(dot=4, fill=1.0))
    levels = np.asarray(mask)[2::4, 2::4]
    np.testing.assert_array_equal(levels[:, :5] > 127, dot_glyphs()["L"])
    np.testing.assert_array_equal(levels[:, 6:11] > 127, dot_glyphs()["t"])
    assert [one.x for one in placed] == [10.0, 34.0]


def test_a_reading_is_what_the_window_shows():
    rng, setting = np.random.default_rng(0), Setting(2, 6)
    readings = [display_texts.reading(rng, setting) for _ in range(300)]
    assert all(item.text == (item.shown.strip() or "none") for item in readings)
    assert {item.kind for item in readings} == {"number", "clock", "code", "off"}
    assert any(item.text.startswith("-") for item in readings)


def test_an_easy_display_shows_at_most_three_digits():
    rng, setting = np.random.default_rng(0), Setting(2, 6, difficulty=0.0)
    numbers = [
        item for item in (display_texts.reading(rng, setting) for _ in range(200)) if item.kind == "number"
    ]
    assert max(sum(map(str.isdigit, item.text)) for item in numbers) <= 4


def test_a_message_fits_the_display():
    rng = np.random.default_rng(0)
    for _ in range(200):
        message = display_texts.message(rng, Setting(4, 6), most=12)
        assert all(0 < len(line) <= 12 for line in message.lines)
        assert all(value in "\n".join(message.lines) for _, value in message.values)


@pytest.mark.parametrize("icon", displays.ICONS)
def test_each_icon_marks_its_place(icon):
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (24, 20), (255, 255, 255))
    displays.draw_icon(ImageDraw.Draw(image), icon, (2, 2), (0, 0, 0))
    assert (np.asarray(image)[:, :, 0] == 0).sum() > 30


@pytest.mark.parametrize("place", ["above", "over", "under", "below"])
@pytest.mark.parametrize("align", ["left", "centre", "right"])
def test_a_caption_stands_where_the_look_says(place, align):
    rng, setting = np.random.default_rng(2), Setting(6, 8, Split.TRAIN, 0.0, "minimal")
    device = display_panels.look(rng, setting, (250, 40, 30), (16, 16, 18), glows=True)
    device = replace(device, caption_place=place, caption_align=align, unit_place="beside")
    sheet = Sheet(rng, setting, device.casing)
    item = display_texts.Reading("888", "888", caption="Speed")
    display_panels.draw_panel(sheet, (0, 0, setting.width, setting.height), device, item)
    letters = [glyph for glyph in sheet.glyphs if glyph.character in "Speed"]
    digits = [glyph for glyph in sheet.glyphs if glyph.character == "8"]
    assert [glyph.character for glyph in letters] == list("Speed")
    rows = [np.mean([glyph.y for glyph in group]) for group in (letters, digits)]
    assert (rows[0] < rows[1]) == (place in {"above", "over"})
    middle = (letters[0].x + letters[-1].x) / 2 / setting.width
    assert {"left": middle < 0.4, "centre": 0.4 < middle < 0.6, "right": middle > 0.6}[align]


def test_no_trained_display_has_the_lines_of_a_held_out_one():
    def lines(split, seed):
        setting = Setting(3, 8, split, 1.0)
        one = display_panels.look(
            np.random.default_rng(seed), setting, (9, 9, 9), (200, 200, 200), glows=False
        )
        return one.caption_place, one.unit_place

    trained, held_out = (
        {lines(split, seed) for seed in range(200)} for split in (Split.TRAIN, Split.HELD_OUT)
    )
    assert len(trained) == 3 * 4
    assert {place for place, _ in held_out} == {"below"}
    assert "below" not in {place for place, _ in trained}
