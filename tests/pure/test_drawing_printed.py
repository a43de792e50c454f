"""Printed text: the letters that are drawn are the letters that are asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from galago import drawing
from galago.drawing import effects, fonts, printed, words
from galago.drawing.sample import CELL, Glyph, Setting
from galago.errors import TrainingError, UsageError

OURS = ("scene", "word", "line", "lines")
PRINTED = OURS[1:]
needs_fonts = pytest.mark.skipif(bool(fonts.missing_packages()), reason="scripts/fonts was not run")


def draw(recipe, seed, **options):
    return drawing.draw(recipe, seed, fonts="minimal", **options)


def spelled(drawn, task):
    return next(q.answer for q in drawn.questions if q.task == task and q.spelled and '"' not in q.answer)


def visible(text):
    return text.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize("recipe", OURS)
def test_the_same_arguments_give_the_same_drawing(recipe):
    one, same, other = draw(recipe, 7), draw(recipe, 7), draw(recipe, 8)
    assert one.pixels.tobytes() == same.pixels.tobytes()
    assert one.questions == same.questions
    assert one.cells.characters.tobytes() == same.cells.characters.tobytes()
    assert one.questions != other.questions


@pytest.mark.parametrize("recipe", OURS)
def test_the_splits_differ(recipe):
    held_out = draw(recipe, 7, split=drawing.Split.HELD_OUT)
    assert held_out.questions != draw(recipe, 7).questions


@pytest.mark.parametrize("recipe", OURS)
def test_a_picture_has_the_size_of_its_cells(recipe):
    for rows, cols in drawing.RECIPE_SIZES[recipe]:
        drawn = draw(recipe, 3, size=(rows, cols))
        assert drawn.pixels.shape == (rows * CELL, cols * CELL, 3)
        assert drawn.pixels.dtype == "uint8"
        assert drawn.cells.kind.shape == drawn.cells.colour.shape == (rows, cols)
        assert drawn.cells.characters.shape == (rows, cols, drawing.CHARACTERS_PER_CELL)
    without = draw(recipe, 3)
    assert (without.pixels.shape[0] // CELL, without.pixels.shape[1] // CELL) in drawing.RECIPE_SIZES[recipe]


@pytest.mark.parametrize("recipe", ["word", "line"])
def test_the_characters_of_the_cells_spell_the_line(recipe):
    for seed in range(60):
        drawn = draw(recipe, seed, difficulty=0.1)
        read = bytes(b for b in drawn.cells.characters.flat if b).decode()
        if drawn.questions[0].task == recipe:
            assert read == visible(drawn.questions[0].answer)


@pytest.mark.parametrize("recipe", PRINTED)
def test_no_character_of_the_text_is_lost(recipe):
    for seed in range(60):
        drawn = draw(recipe, seed, difficulty=0.5)  # at 1 a cell of two tight lines may hold more than six
        whole = max((q.answer for q in drawn.questions if q.spelled and q.task == recipe), key=len)
        assert Counter(visible(whole)) == Counter(bytes(b for b in drawn.cells.characters.flat if b).decode())


def test_lines_come_from_top_to_bottom():
    for seed in range(30):
        drawn = draw("lines", seed, difficulty=0.0, size=(6, 8))
        text = max((q.answer for q in drawn.questions if q.spelled), key=len)
        rows = drawn.cells.characters.reshape(6, -1)
        assert bytes(b for b in rows.flat if b).decode() == visible(text)
        assert len([1 for row in rows if row.any()]) == text.count("\n") + 1


@pytest.mark.parametrize("recipe", OURS)
def test_questions_and_answers_are_ascii_of_known_characters(recipe):
    known = set(words.CHARACTERS) | {" ", "\n", "_", "[", "]", "{", "}"}
    for seed in range(80):
        for question in draw(recipe, seed).questions:
            assert set(question.text) | set(question.answer) <= known
            assert question.answer == question.answer.strip()
            assert question.answer


def test_glyphs_come_line_by_line():
    for seed in range(30):
        rng, setting = np.random.default_rng(seed), Setting(4, 8, fonts="minimal")
        block = printed._fitted(rng, setting, ("first Line", "second:", "3rd line"), 12, 14)
        _, glyphs = printed._printed(rng, setting, block)
        assert "".join(glyph.character for glyph in glyphs) == visible("".join(block.lines))


@pytest.mark.parametrize("text", ["H", "HHH", "HIH"])
def test_the_centre_of_a_glyph_is_the_centre_of_its_ink(text):
    font = fonts.choose(np.random.default_rng(0), Setting(2, 4, fonts="minimal")).with_capitals(20)
    canvas = Image.new("L", (224, 56))
    glyphs = fonts.write(ImageDraw.Draw(canvas), (20, 40), text, font, 255)
    left, top, right, bottom = canvas.getbbox()
    assert (
        abs(sum(glyph.x for glyph in glyphs) / len(glyphs) - (left + right) / 2) < 2
    )  # side bearings differ
    assert abs(glyphs[0].y - (top + bottom) / 2) <= 1


def test_a_tilted_glyph_stays_on_its_ink():
    canvas = Image.new("L", (224, 56))
    ImageDraw.Draw(canvas).rectangle((199, 27, 201, 29), fill=255)
    turned, (glyph,) = effects.tilt(canvas, [Glyph("x", 200.5, 28.5)], 6.0)
    left, top, right, bottom = turned.getbbox()
    assert abs(glyph.x - (left + right) / 2) <= 1
    assert abs(glyph.y - (top + bottom) / 2) <= 1


def test_difficulty_makes_text_longer_and_letters_smaller():
    easy = [draw("line", seed, difficulty=0.0, size=(2, 12)) for seed in range(40)]
    hard = [draw("line", seed, difficulty=1.0, size=(2, 12)) for seed in range(40)]
    filled = [sum(int((d.cells.characters > 0).sum()) for d in drawn) for drawn in (easy, hard)]
    assert filled[1] > 1.5 * filled[0]


def test_a_cell_labels_at_most_six_characters_and_nothing_outside():
    crowd = [Glyph("a", 5.0 + i, 10.0) for i in range(9)] + [Glyph("b", -3.0, 10.0), Glyph("c", 30.0, 57.0)]
    labels = drawing.CellLabels.of_text(2, 2, crowd)
    assert bytes(labels.characters.flat).replace(b"\0", b"") == b"aaaaaa"


def test_every_recipe_has_its_own_number():
    assert len({recipe.number for recipe in drawing.RECIPES.values()}) == len(drawing.RECIPES)


def test_refuses_what_it_cannot_draw():
    with pytest.raises(UsageError, match="no recipe"):
        drawing.draw("poem", 0)
    with pytest.raises(UsageError, match="difficulty"):
        drawing.draw("word", 0, difficulty=1.5)
    with pytest.raises(UsageError, match="fonts"):
        drawing.draw("word", 0, fonts="some")


def test_missing_fonts_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(fonts, "_files", dict)
    fonts._installed.cache_clear()
    with pytest.raises(TrainingError, match="fonts-dejavu-core") as raised:
        drawing.draw("word", 0)
    assert "scripts/fonts" in raised.value.hint


def test_no_family_and_no_file_is_in_both_splits():
    train, held_out = (fonts.FAMILIES[split] for split in drawing.Split)
    assert not {f.name for f in train} & {f.name for f in held_out}
    assert not {file for f in train for file in f.files} & {file for f in held_out for file in f.files}
    assert len(train) >= 20
    assert len(held_out) >= 5


def test_the_script_installs_exactly_the_packages_of_the_table(pytestconfig):
    script = (pytestconfig.rootpath / "scripts/fonts").read_text()
    listed = script.split('packages="')[1].split('"')[0].split()
    assert listed == sorted({f.package for split in drawing.Split for f in fonts.FAMILIES[split]})


@needs_fonts
@pytest.mark.parametrize("split", drawing.Split)
def test_every_font_draws_every_character(split):
    setting = Setting(2, 2, split)
    for path in {path for family in fonts._installed(setting.split, ()) for path in family}:
        font = fonts.Face(path).at(40)
        nothing = bytes(font.getmask("\uffff"))
        assert [c for c in words.CHARACTERS if bytes(font.getmask(c)) in {nothing, b""}] == []


@needs_fonts
def test_capitals_have_the_height_that_was_asked_for():
    for family in fonts._installed(drawing.Split.TRAIN, ()):
        _, top, _, bottom = fonts.Face(family[0]).with_capitals(20).getbbox("H", anchor="ls")
        assert abs(bottom - top - 20) <= 1  # whole pixels, whole sizes


def test_words_are_plain_and_many():
    assert len(words.WORDS) == len(set(words.WORDS)) >= 2000
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words.WORDS)
