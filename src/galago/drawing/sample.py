"""What a drawn picture is: its pixels, true questions and answers about it, and a label for every cell.

Draws nothing itself; the recipes (`scenes.py`, `printed.py`, ...) do, from a seeded generator and a
`Setting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.frozen import frozen

Pixels: TypeAlias = NDArray[np.uint8]

CELL = 20
"""Pixels of one merged cell of the vision tower; every picture has sides that are multiples of it."""

CHARACTERS_PER_CELL = 6

NEEDLE_STEPS = 40
"""Parts of a dial's scale that a needle's label tells apart."""

MOST_SHAPES = 7
"""Shapes of a scene."""


class Split(Enum):
    """Which fonts and layouts may be used: those trained on, or others that are kept for evaluation."""

    TRAIN = 0
    HELD_OUT = 1


@frozen
class Question:
    """One question with its right answer; `spelled`: the answer is text read from the picture.

    A number may be off by `tolerance` and still be right.
    """

    text: str
    answer: str
    task: str
    spelled: bool = False
    tolerance: float = 0.0


@frozen
class Glyph:
    """One visible character and its centre in pixels of the picture."""

    character: str
    x: float
    y: float


@frozen
class CellLabels:
    """What lies in each cell: arrays [..., rows, cols, ...] in which 0 means nothing.

    - `kind`, `colour`: 1 + the shape's place in `shapes.KINDS` and `shapes.COLOURS`;
    - `box` [..., 4]: 1 + left, top, right and bottom of that whole shape in pixels of the picture;
    - `characters` [..., CHARACTERS_PER_CELL]: the ASCII bytes of the visible characters whose centre lies in
      the cell, in reading order;
    - `needle`: where a dial turns, 1 + how many of NEEDLE_STEPS parts of its scale lie below its value;
    - `counts` [..., 4], each at most MOST_SHAPES: how many shapes have the kind and colour of the one here,
      its kind, its colour, and how many there are;
    - `group`: 1 + the place of that shape's group in a caption.
    """

    kind: Pixels
    colour: Pixels
    box: NDArray[np.uint16]
    characters: Pixels
    needle: Pixels
    counts: Pixels
    group: Pixels

    @staticmethod
    def of_text(rows: int, cols: int, glyphs: Iterable[Glyph]) -> CellLabels:
        """Labels of a picture that shows only text; `glyphs` come in reading order.

        Glyphs outside the picture, and those beyond the sixth of a cell, get no label.
        """
        labels = CellLabels.empty(rows, cols)
        filled: dict[tuple[int, int], int] = {}
        for glyph in glyphs:
            cell = int(glyph.y // CELL), int(glyph.x // CELL)
            place = filled.get(cell, 0)
            if 0 <= cell[0] < rows and 0 <= cell[1] < cols and place < CHARACTERS_PER_CELL:
                labels.characters[cell][place] = ord(glyph.character)
                filled[cell] = place + 1
        return labels

    @staticmethod
    def empty(rows: int, cols: int) -> CellLabels:
        """Labels of a picture in which nothing is labelled; the arrays may be filled by the caller."""
        return CellLabels(
            np.zeros((rows, cols), np.uint8),
            np.zeros((rows, cols), np.uint8),
            np.zeros((rows, cols, 4), np.uint16),
            np.zeros((rows, cols, CHARACTERS_PER_CELL), np.uint8),
            np.zeros((rows, cols), np.uint8),
            np.zeros((rows, cols, 4), np.uint8),
            np.zeros((rows, cols), np.uint8),
        )

    @staticmethod
    def stack(several: Sequence[CellLabels]) -> CellLabels:
        """The labels of several pictures of one size: every array begins with the number of the picture."""
        names = [field.name for field in fields(CellLabels)]
        return CellLabels(**{name: np.stack([getattr(one, name) for one in several]) for name in names})

    def __getitem__(self, picture: int) -> CellLabels:
        """The labels of one of the pictures that `stack` put together."""
        return CellLabels(**{name: array[picture] for name, array in vars(self).items()})


@frozen
class Drawing:
    """A picture `pixels` [H, W, 3] (RGB) with what is true about it."""

    pixels: Pixels
    questions: tuple[Question, ...]
    cells: CellLabels


@frozen
class Setting:
    """What a recipe is asked for: size in cells, split, difficulty 0 (large, short, clean) to 1, fonts."""

    rows: int
    cols: int
    split: Split = Split.TRAIN
    difficulty: float = 1.0
    fonts: str = "full"

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.rows * CELL

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.cols * CELL

    def between(self, easy: float, hard: float) -> float:
        """The value at this difficulty on the way from `easy` to `hard`."""
        return easy + (hard - easy) * self.difficulty


@frozen
class Recipe:
    """A kind of picture. `number` is part of each seed and never changes; `sizes` (rows, cols) in cells."""

    name: str
    number: int
    sizes: tuple[tuple[int, int], ...]
    paint: Callable[[np.random.Generator, Setting], Drawing]
