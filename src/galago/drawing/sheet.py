"""A picture in the making: text and glyph masks are put on it, and the place of every character is kept.

Also the small choices that every recipe of devices, labels and documents makes. Knows no recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

from galago.drawing import effects
from galago.drawing.effects import Colour
from galago.drawing.phrasing import vary
from galago.drawing.sample import CELL, NEEDLE_STEPS, CellLabels, Drawing, Glyph, Question, Setting
from galago.drawing.segments import Placed
from galago.drawing.typeset import Type

_T = TypeVar("_T")

NONE = "none"
"""The answer about something that the picture does not show."""

Phrases = Mapping[str, Sequence[str]]
"""The wordings of each question of a recipe, by the question's key; `{...}` is filled in when it is asked."""


def pick(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def sample(rng: np.random.Generator, options: Sequence[_T], count: int) -> list[_T]:
    """`count` different options (all, if there are fewer) in a random order."""
    return [options[int(index)] for index in rng.permutation(len(options))[:count]]


def mixed(rng: np.random.Generator, options: Sequence[_T], *not_first: _T) -> list[_T]:
    """All options in a random order, of which none begins with one of `not_first`."""
    first = pick(rng, [option for option in options if option not in not_first])
    return [first, *sample(rng, [option for option in options if option is not first], len(options) - 1)]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True as often as `probability` says."""
    return bool(rng.random() < probability)


def near(rng: np.random.Generator, colour: Colour, reach: int) -> Colour:
    """The colour with each channel moved by at most `reach` levels."""
    red, green, blue = (
        min(255, max(0, level + int(step)))
        for level, step in zip(colour, rng.integers(-reach, reach + 1, 3), strict=True)
    )
    return red, green, blue


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies at `share` of the way from one to the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


class Asker:
    """Puts questions of one task into one of the words that `phrases` has for them."""

    def __init__(self, rng: np.random.Generator, phrases: Phrases, task: str) -> None:
        self.rng = rng
        self.phrases = phrases
        self.task = task

    def __call__(
        self,
        key: str,
        answer: str,
        *,
        spelled: bool = False,
        task: str | None = None,
        tolerance: float = 0.0,
        **values: str,
    ) -> Question:
        """The question `key`, its `{...}` filled with `values`; an answer of `NONE` is never `spelled`."""
        text = vary(self.rng, pick(self.rng, self.phrases[key])).format(**values)
        return Question(text, answer, task or self.task, spelled and answer != NONE, tolerance)


class Sheet:
    """An RGB picture with a pen, and the glyphs written on it so far; callers write in reading order."""

    def __init__(self, rng: np.random.Generator, setting: Setting, base: Colour) -> None:
        self.rng = rng
        self.setting = setting
        self.base = base
        self.image = effects.background(rng, setting, base)
        self.pen = ImageDraw.Draw(self.image)
        self.glyphs: list[Glyph] = []
        self.needles: list[tuple[Glyph, float]] = []
        """Where each needle turns, as a glyph without a character, and its share of the scale, 0 to 1."""

    def write(
        self, at: tuple[float, float], text: str, kind: Type, ink: Colour, *, align: str = "left"
    ) -> None:
        """Writes a line whose baseline begins, is centred or ends (`align`) at (x, y)."""
        share = {"left": 0.0, "centre": 0.5, "right": 1.0}[align]
        left = at[0] - share * kind.width(text) if share else at[0]
        self.glyphs += kind.set_line(self.pen, (left, at[1]), text, ink)

    def stamp(
        self, at: tuple[float, float], mask: Image.Image, placed: Iterable[Placed], colour: Colour
    ) -> None:
        """Paints `colour` through a mask of `segments`, its upper left corner at (x, y)."""
        x, y = round(at[0]), round(at[1])
        self.image.paste(colour, (x, y), mask)
        self.glyphs += [Glyph(p.character, x + p.x, y + p.y) for p in placed]

    def finish(self, questions: Sequence[Question], degrees: float = 1.5) -> Drawing:
        """The picture with its questions, now and then turned by up to `degrees`, and photographed."""
        rng, setting = self.rng, self.setting
        image, places = self.image, [*self.glyphs, *(pivot for pivot, _ in self.needles)]
        if chance(rng, 0.3 * setting.difficulty):
            image, places = effects.tilt(image, places, float(rng.uniform(-degrees, degrees)), self.base)
        labels = CellLabels.of_text(setting.rows, setting.cols, places[: len(self.glyphs)])
        for pivot, (_, share) in zip(places[len(self.glyphs) :], self.needles, strict=True):
            cell = int(pivot.y // CELL), int(pivot.x // CELL)
            labels.needle[cell] = 1 + min(int(share * NEEDLE_STEPS), NEEDLE_STEPS - 1)
        return Drawing(effects.photograph(rng, image, setting.difficulty), tuple(questions), labels)
