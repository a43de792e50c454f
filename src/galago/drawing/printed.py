"""Printed text: one word, one line or several, in any open font, size and colour that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import asin, degrees, radians, sin

import numpy as np
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from galago.drawing import fonts, words
from galago.drawing.effects import Colour, any_colour, background, contrasting, paper, photograph, tilt
from galago.drawing.following import following
from galago.drawing.phrasing import article, ask
from galago.drawing.sample import CellLabels, Drawing, Glyph, Pixels, Question, Recipe, Setting
from galago.drawing.shapes import COLOURS, KINDS, plural
from galago.frozen import frozen

SMALLEST_CAPITALS = 12.0
"""Pixels from the baseline to the top of a capital in the smallest print."""

LONGEST_LINE = 24
_EDGE = 5
_LINE_PITCH = 1.62
"""Least distance of two baselines over the height of a capital."""
_STEEPEST = 4.0
_ABOVE, _BELOW = 1.12, 0.35
"""How far letters reach above and below their baseline, over the height of a capital."""


@frozen
class _Block:
    """Lines of text set in one font, with the height of a capital in pixels and the tilt in degrees."""

    lines: tuple[str, ...]
    font: FreeTypeFont
    capitals: float
    tilt: float


def paint_word(rng: np.random.Generator, setting: Setting) -> Drawing:
    """One word, number or code, with what can be asked about it (tasks "word", "absent", "describe")."""
    longest = round(setting.between(5, 14))
    text = _short_piece(rng, longest)
    block = _fitted(rng, setting, (text,), setting.between(19, SMALLEST_CAPITALS), setting.height * 0.5)
    pixels, glyphs = _printed(rng, setting, block)
    text = block.lines[0]
    asked = [Question(ask(rng, "word"), text, "word", spelled=True)]
    if text.isdigit():
        asked.append(Question(ask(rng, "number"), text, "word", spelled=True))
    return _drawing(rng, setting, pixels, glyphs, [*asked, *_about_text(rng, text)])


def paint_line(rng: np.random.Generator, setting: Setting) -> Drawing:
    """One line of up to 24 characters (tasks "line", "count", "absent", "describe")."""
    least = setting.between(18, SMALLEST_CAPITALS)
    room = int((setting.width - 2 * _EDGE) / (least * 0.82))
    text = words.passage(rng, _some_length(rng, min(room, round(setting.between(8, LONGEST_LINE)))))
    block = _fitted(rng, setting, (text,), least, setting.height * 0.45)
    pixels, glyphs = _printed(rng, setting, block)
    text = block.lines[0]
    asked = [Question(ask(rng, "line"), text, "line", spelled=True)]
    if rng.random() < 0.2:
        asked.append(Question(ask(rng, "count.words"), str(len(text.split())), "count"))
    return _drawing(rng, setting, pixels, glyphs, [*asked, *_about_text(rng, text)])


def paint_lines(rng: np.random.Generator, setting: Setting) -> Drawing:
    """Two to five lines (tasks "lines", "count", "absent", "next")."""
    least = setting.between(16, SMALLEST_CAPITALS)
    most = min(5, round(setting.between(2, 5)), int((setting.height - 2 * _EDGE) / (least * _LINE_PITCH)))
    room = int((setting.width - 2 * _EDGE) / (least * 0.82))
    longest = min(room, round(setting.between(8, LONGEST_LINE)))
    count = int(rng.integers(2, max(2, most) + 1))
    texts = tuple(words.passage(rng, _some_length(rng, longest)) for _ in range(count))
    tallest = (setting.height - 2 * _EDGE) / (len(texts) * _LINE_PITCH)
    block = _fitted(rng, setting, texts, least, tallest)
    pixels, glyphs = _printed(rng, setting, block)
    asked = [Question(ask(rng, "lines"), "\n".join(block.lines), "lines", spelled=True)]
    drawing = _drawing(rng, setting, pixels, glyphs, [*asked, *_about_lines(rng, block.lines)])
    return replace(drawing, questions=(*drawing.questions, *following(rng, block.lines, 2)))


def _some_length(rng: np.random.Generator, longest: int) -> int:
    """The most characters of a line: often all that fit, sometimes as few as four."""
    return longest if rng.random() < 0.5 else int(rng.integers(min(4, longest), longest + 1))


def _short_piece(rng: np.random.Generator, longest: int) -> str:
    """A piece of at most `longest` characters; the last of several tries is cut."""
    text = words.piece(rng)
    for _ in range(4):
        if len(text) <= longest:
            return text
        text = words.piece(rng)
    return text[:longest].strip()


def _fitted(
    rng: np.random.Generator, setting: Setting, lines: Sequence[str], least: float, most: float
) -> _Block:
    """The lines in some face, with capitals of `least` to `most` pixels, shortened where they do not fit."""
    face = fonts.choose(rng, setting)
    wished = float(rng.uniform(-_STEEPEST, _STEEPEST)) if rng.random() < 0.35 * setting.difficulty else 0.0
    room = setting.width - 2 * _EDGE - setting.height * abs(sin(radians(wished)))
    capitals = least + float(rng.random()) * max(0.0, most - least)
    font = face.with_capitals(capitals)
    widest = max(fonts.length(line, font) for line in lines)
    if widest > room:
        capitals = max(least, capitals * room / widest)
        font = face.with_capitals(capitals)
    shortened = tuple(_shortened(line, font, room) for line in lines)
    capitals = fonts.capital_height(font)
    spare = setting.height - 2 - capitals * (_ABOVE + _BELOW + _LINE_PITCH * (len(lines) - 1))
    steepest = degrees(asin(min(1.0, max(0.0, spare / setting.width))))
    return _Block(shortened, font, capitals, max(-steepest, min(steepest, wished)))


def _shortened(line: str, font: FreeTypeFont, room: float) -> str:
    while fonts.length(line, font) > room:
        line = line[:-1].rstrip()
    return line


def _printed(rng: np.random.Generator, setting: Setting, block: _Block) -> tuple[Pixels, list[Glyph]]:
    """Sets the block on a background -> the pixels and every visible character, line by line."""
    base = _base(rng)
    image = background(rng, setting, base)
    ink = contrasting(rng, base, setting.between(140, 90))
    layer = Image.new("L", image.size)
    draw = ImageDraw.Draw(layer)
    widths = [block.font.getlength(line) for line in block.lines]
    left, widest = _left(rng, setting.width, max(widths)), max(widths)
    pitch, first = _baselines(rng, setting, block)
    align = float(rng.choice((0.0, 0.0, 0.5, 1.0)))
    glyphs: list[Glyph] = []
    for index, (line, width) in enumerate(zip(block.lines, widths, strict=True)):
        at = left + align * (widest - width), first + index * pitch
        glyphs += fonts.write(draw, at, line, block.font, 255)
    layer, glyphs = tilt(layer, glyphs, block.tilt)
    image.paste(ink, (0, 0), layer)
    if rng.random() < 0.12 * setting.difficulty:
        _frame(rng, image, ink)
    return photograph(rng, image, setting.difficulty), glyphs


def _base(rng: np.random.Generator) -> Colour:
    style = rng.random()
    if style < 0.55:
        return paper(rng)
    if style < 0.7:
        dark = int(rng.integers(5, 60))
        return dark, dark, dark
    return any_colour(rng)


def _left(rng: np.random.Generator, width: int, widest: float) -> float:
    spare = max(0.0, width - 2 * _EDGE - widest)
    return _EDGE + spare * float(rng.choice((0.5, rng.random(), rng.random())))


def _baselines(rng: np.random.Generator, setting: Setting, block: _Block) -> tuple[float, float]:
    """Distance of two baselines and the first of them, so that nothing leaves the picture."""
    count, capitals = len(block.lines), block.capitals
    swing = setting.width / 2 * abs(sin(radians(block.tilt)))
    above, below = swing + _ABOVE * capitals, swing + _BELOW * capitals
    free = setting.height - above - below - 2
    loosest = min(2.6 * capitals, free / max(1, count - 1))
    pitch = loosest if count == 1 else float(rng.uniform(min(_LINE_PITCH * capitals, loosest), loosest))
    spare = max(0.0, free - pitch * (count - 1))
    return pitch, round(1 + above + spare * float(rng.choice((0.5, rng.random()))))


def _frame(rng: np.random.Generator, image: Image.Image, ink: Colour) -> None:
    """A thin line around the picture, or along its top or bottom."""
    draw = ImageDraw.Draw(image)
    right, bottom = image.width - 2, image.height - 2
    way = int(rng.integers(3))
    if way == 0:
        draw.rectangle((1, 1, right, bottom), outline=ink, width=int(rng.integers(1, 3)))
    else:
        y = 1 if way == 1 else bottom
        draw.line((1, y, right, y), fill=ink, width=1)


def _about_text(rng: np.random.Generator, text: str) -> list[Question]:
    """What may be asked of a word or a line besides its text."""
    asked = []
    if rng.random() < 0.12 and '"' not in text:
        asked.append(Question(ask(rng, "caption"), f'The text "{text}".', "describe", spelled=True))
    return [*asked, *_absent(rng)]


def _about_lines(rng: np.random.Generator, lines: tuple[str, ...]) -> list[Question]:
    places = {"first": lines[0], "last": lines[-1], "second": lines[1]}
    if len(lines) > 2:
        places["third"] = lines[2]
    which = tuple(places)[int(rng.integers(len(places)))]
    asked = [
        Question(ask(rng, "lines.which", which=which), places[which], "lines", spelled=True),
        Question(ask(rng, "count.lines"), str(len(lines)), "count"),
    ]
    numbers = [line for line in lines if any(c.isdigit() for c in line)]
    if len(numbers) == 1 and numbers[0].isdigit():
        asked.append(Question(ask(rng, "number"), numbers[0], "lines", spelled=True))
    return [*asked, *_absent(rng)]


def _absent(rng: np.random.Generator) -> list[Question]:
    """Now and then: is there text (yes), or a shape (no), and how many (0)."""
    chance = rng.random()
    if chance > 0.25:
        return []
    if chance < 0.08:
        return [Question(ask(rng, "any_text"), "yes", "absent")]
    kind, colour = KINDS[int(rng.integers(len(KINDS)))], tuple(COLOURS)[int(rng.integers(len(COLOURS)))]
    what = f"{colour} {kind}" if chance < 0.17 else kind
    if chance < 0.14 or chance > 0.2:
        return [Question(ask(rng, "exists", one=article(what), whats=plural(what)), "no", "absent")]
    return [Question(ask(rng, "count", whats=plural(what)), "0", "absent")]


def _drawing(
    rng: np.random.Generator, setting: Setting, pixels: Pixels, glyphs: list[Glyph], asked: list[Question]
) -> Drawing:
    order = rng.permutation(len(asked))
    cells = CellLabels.of_text(setting.rows, setting.cols, glyphs)
    return Drawing(pixels, tuple(asked[i] for i in order), cells)


RECIPES = (
    Recipe("word", 10, ((3, 6), (3, 7), (3, 8), (4, 8)), paint_word),
    Recipe("line", 11, ((3, 8), (3, 11), (3, 14), (3, 17)), paint_line),
    Recipe("lines", 12, ((6, 11), (7, 11), (8, 11), (6, 8), (8, 14)), paint_lines),
)
