"""Scenes: one to seven plain shapes on a background, with what can be asked about them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from galago.drawing import scene_questions
from galago.drawing.effects import Colour, any_colour, background, distance, paper, photograph
from galago.drawing.sample import CELL, MOST_SHAPES, CellLabels, Drawing, Pixels, Recipe, Setting
from galago.drawing.shapes import COLOURS, KINDS, Shape, stencil, tint
from galago.frozen import frozen

LEAST_CONTRAST = 170.0
"""Distance (`effects.distance`) of every shape's colour from its background."""

_CELL_SHARE = 0.11
"""A shape labels the cells of which it covers this share more than others do, and always one cell."""

_TURN = 14
_TRIES = 24


@frozen
class _Plan:
    """What is placed before anything is painted."""

    kind: str
    colour: str
    x: int
    y: int
    radius: int


def paint_scene(rng: np.random.Generator, setting: Setting) -> Drawing:
    """A scene with 6 to 16 questions of the tasks named in `scene_questions.TASKS`."""
    base = _base(rng)
    image = background(rng, setting, base)
    owner = np.zeros((setting.height, setting.width), np.uint8)
    shapes = [
        _paint(rng, image, owner, plan, number)
        for number, plan in enumerate(_plans(rng, setting, _palette(rng, base)), 1)
    ]
    pixels = photograph(rng, image, setting.difficulty)
    questions = scene_questions.questions(rng, shapes, setting.height, setting.width)
    return Drawing(pixels, questions, _labels(shapes, owner, setting))


def _base(rng: np.random.Generator) -> Colour:
    style = rng.random()
    if style < 0.45:
        return paper(rng)
    if style < 0.65:
        dark = int(rng.integers(8, 60))
        return dark, dark, min(255, dark + int(rng.integers(0, 30)))
    red, green, blue = any_colour(rng)
    return 110 + red * 5 // 9, 110 + green * 5 // 9, 110 + blue * 5 // 9


def _palette(rng: np.random.Generator, base: Colour) -> list[str]:
    """The colours of a scene: all that stand out, or only a few, so that some are seen several times."""
    seen = [name for name, colour in COLOURS.items() if distance(colour, base) >= LEAST_CONTRAST]
    few = int(rng.choice((len(seen), len(seen), 3, 2, 1), p=(0.25, 0.25, 0.2, 0.2, 0.1)))
    return [seen[i] for i in rng.permutation(len(seen))[:few]]


def _plans(rng: np.random.Generator, setting: Setting, colours: list[str]) -> list[_Plan]:
    """Shapes that do not overlap; fewer than wished where the picture is full."""
    wished = int(rng.integers(1, round(setting.between(4, MOST_SHAPES)) + 1))
    few = int(rng.choice((len(KINDS), 3, 2, 1), p=(0.5, 0.2, 0.2, 0.1)))
    kinds = [KINDS[i] for i in rng.permutation(len(KINDS))[:few]]
    least = setting.between(15, 10)
    most = min(min(setting.height, setting.width) / 4, 60 if wished < 3 else 100 / wished**0.5)
    plans: list[_Plan] = []
    for _ in range(wished):
        radius = least + float(rng.random()) ** 1.5 * (most - least)
        kind, colour = kinds[int(rng.integers(len(kinds)))], colours[int(rng.integers(len(colours)))]
        for across, down in rng.random((_TRIES, 2)).tolist():
            r = round(radius)
            x = round(r + 2 + across * (setting.width - 2 * r - 4))
            y = round(r + 2 + down * (setting.height - 2 * r - 4))
            if all((x - p.x) ** 2 + (y - p.y) ** 2 >= (r + p.radius) ** 2 for p in plans):
                plans.append(_Plan(kind, colour, x, y, r))
                break
            radius = max(least, radius * 0.93)
    return plans


def _paint(rng: np.random.Generator, image: Image.Image, owner: Pixels, plan: _Plan, number: int) -> Shape:
    """Paints one shape on `image` and writes its `number` where it lies on `owner` [H, W]."""
    form = stencil(plan.kind, plan.radius, 2 * int(rng.integers(-_TURN // 2, _TURN // 2 + 1)))
    left, top = plan.x - form.reach, plan.y - form.reach
    image.paste(tint(rng, plan.colour), (left, top), form.mask)
    x0, y0, x1, y1 = form.box
    box = (plan.x + x0, plan.y + y0, plan.x + x1, plan.y + y1)
    inside = form.solid[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
    owner[box[1] : box[3], box[0] : box[2]][inside > 0] = number
    return Shape(plan.kind, plan.colour, plan.x, plan.y, plan.radius, box)


def _labels(shapes: list[Shape], owner: Pixels, setting: Setting) -> CellLabels:
    labels = CellLabels.empty(setting.rows, setting.cols)
    cells = owner.reshape(setting.rows, CELL, setting.cols, CELL)
    covered = np.stack([(cells == number).sum((1, 3)) for number in range(1, len(shapes) + 1)])
    winner = np.where(covered.max(0) >= _CELL_SHARE * CELL * CELL, covered.argmax(0), -1)
    free = np.ones(winner.shape, np.int64)
    for number in covered.sum((1, 2)).argsort():  # the smallest shape first: it has the fewest cells
        best = int((covered[number] * free).argmax())
        winner.flat[best], free.flat[best] = number, 0
    names, order = tuple(COLOURS), scene_questions.caption_order(shapes)
    for number, shape in enumerate(shapes):
        here = winner == number
        labels.kind[here] = 1 + KINDS.index(shape.kind)
        labels.colour[here] = 1 + names.index(shape.colour)
        labels.box[here] = np.add(shape.box, 1)
        labels.counts[here] = (
            sum(other.name == shape.name for other in shapes),
            sum(other.kind == shape.kind for other in shapes),
            sum(other.colour == shape.colour for other in shapes),
            len(shapes),
        )
        labels.group[here] = 1 + order.index(shape.name)
    return labels


RECIPES = (Recipe("scene", 1, ((8, 9), (7, 10), (10, 7), (8, 11), (11, 11), (6, 8), (7, 7)), paint_scene),)
