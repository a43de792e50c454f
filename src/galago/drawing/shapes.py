"""The kinds and colours of shapes, and their antialiased stencils."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, radians, sin

import numpy as np
from PIL import Image, ImageDraw

from galago.drawing.effects import Colour
from galago.drawing.sample import Pixels
from galago.frozen import frozen

KINDS = ("circle", "square", "triangle", "star", "diamond", "cross", "heart", "ring")
COLOURS: dict[str, Colour] = {
    "red": (214, 30, 32),
    "green": (38, 155, 62),
    "blue": (36, 84, 210),
    "yellow": (246, 222, 38),
    "orange": (245, 135, 18),
    "purple": (128, 46, 168),
    "pink": (250, 150, 190),
    "brown": (116, 66, 28),
    "black": (20, 20, 22),
    "white": (246, 246, 246),
    "grey": (136, 136, 138),
}
"""The middle of each named colour."""

JITTER = 14
"""Levels by which all channels of a colour may be brighter or darker; one channel strays half as far."""
_FINE = 4

Point = tuple[float, float]


@frozen
class Shape:
    """One drawn shape: its centre, circumscribed `radius` and tight `box` (x1/y1 exclusive) in pixels."""

    kind: str
    colour: str
    x: int
    y: int
    radius: int
    box: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        """As it is called in questions and answers: "red circle"."""
        return f"{self.colour} {self.kind}"


@frozen
class Stencil:
    """Coverage of a shape on a square canvas whose middle pixel is the shape's centre."""

    mask: Image.Image
    solid: Pixels
    """1 where at least half of the pixel is covered, [side, side]."""
    box: tuple[int, int, int, int]
    """Tight box of `solid`, relative to the centre; x1/y1 exclusive."""

    @property
    def reach(self) -> int:
        """Pixels from the canvas's corner to its middle."""
        return self.mask.width // 2


def plural(kind: str) -> str:
    """`kind` as said of several."""
    return kind + ("es" if kind.endswith("s") else "s")


def tint(rng: np.random.Generator, colour: str) -> Colour:
    """An RGB value that everybody would call `colour`."""
    brightness = int(rng.integers(-JITTER, JITTER + 1))
    stray = JITTER // 2
    if colour in {"black", "white", "grey"}:
        stray = JITTER // 5
    hue = rng.integers(-stray, stray + 1, 3).tolist()
    red, green, blue = (
        min(255, max(0, level + brightness + h)) for level, h in zip(COLOURS[colour], hue, strict=True)
    )
    return red, green, blue


@lru_cache(maxsize=4096)
def stencil(kind: str, radius: int, degrees: int) -> Stencil:
    """The shape `kind` of circumscribed `radius` pixels, turned by `degrees`; cached, so do not modify it."""
    side = 2 * radius + 5
    canvas = Image.new("L", (side * _FINE, side * _FINE))
    draw = ImageDraw.Draw(canvas)
    middle = side * _FINE / 2
    for points, fill in _outlines(kind, degrees):
        draw.polygon(
            [(middle + x * radius * _FINE, middle + y * radius * _FINE) for x, y in points], fill=fill
        )
    mask = canvas.reduce(_FINE)
    solid = (np.asarray(mask) >= 128).astype(np.uint8)
    rows, cols = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    half = side // 2
    box = (int(cols[0]) - half, int(rows[0]) - half, int(cols[-1]) + 1 - half, int(rows[-1]) + 1 - half)
    return Stencil(mask, solid, box)


def _outlines(kind: str, degrees: int) -> list[tuple[list[Point], int]]:
    """Polygons of the unit shape with the level each is filled with, in drawing order."""
    if kind == "ring":
        return [(_polygon(48, 0.9), 255), (_polygon(48, 0.5), 0)]
    if kind == "circle":
        return [(_polygon(48, 0.88), 255)]
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return [([(c * x + s * y, c * y - s * x) for x, y in _UNIT[kind]], 255)]


def _polygon(corners: int, radius: float, start: float = 0.0) -> list[Point]:
    angles = [2 * pi * i / corners + start for i in range(corners)]
    return [(radius * cos(a), radius * sin(a)) for a in angles]


def _star() -> list[Point]:
    outer, inner = _polygon(5, 1.0, -pi / 2), _polygon(5, 0.42, -pi / 2 + pi / 5)
    return [point for pair in zip(outer, inner, strict=True) for point in pair]


def _heart() -> list[Point]:
    points = []
    for i in range(40):
        t = 2 * pi * i / 40
        x = 16 * sin(t) ** 3
        y = -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t))
        points.append((x / 17.5, (y - 2.5) / 17.5))
    return points


def _cross(arm: float) -> list[Point]:
    corner = [(-arm, -0.95), (arm, -0.95), (arm, -arm)]
    points = []
    for quarter in range(4):
        c, s = (1, 0, -1, 0)[quarter], (0, 1, 0, -1)[quarter]
        points += [(c * x - s * y, s * x + c * y) for x, y in corner]
    return points


_UNIT: dict[str, list[Point]] = {
    "square": [(-0.72, -0.72), (0.72, -0.72), (0.72, 0.72), (-0.72, 0.72)],
    "triangle": [(0, -0.95), (0.9, 0.7), (-0.9, 0.7)],
    "star": _star(),
    "diamond": [(0, -1.0), (0.66, 0), (0, 1.0), (-0.66, 0)],
    "cross": _cross(0.3),
    "heart": _heart(),
}
