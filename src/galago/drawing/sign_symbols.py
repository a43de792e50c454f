"""The symbols of signs, as simple figures in a square from (-1, -1) to (1, 1) with y down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import cos, pi, sin

from PIL import Image, ImageDraw

from galago.drawing.effects import Colour

Point = tuple[float, float]

_FINE = 2


class Board:
    """A square to draw on in units, `size` pixels wide, antialiased when it is put on a picture."""

    def __init__(self, size: int) -> None:
        self.size = size
        side = size * _FINE
        self.colours = Image.new("RGB", (side, side))
        self.coverage = Image.new("L", (side, side))
        self._pens = ImageDraw.Draw(self.colours), ImageDraw.Draw(self.coverage)
        self._scale = side / 2

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        corners = [self._pixel(point) for point in points]
        self._pens[0].polygon(corners, colour)
        self._pens[1].polygon(corners, 255)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """A filled circle."""
        (x0, y0), (x1, y1) = (
            self._pixel((centre[0] + step * radius, centre[1] + step * radius)) for step in (-1, 1)
        )
        self._pens[0].ellipse((x0, y0, x1, y1), colour)
        self._pens[1].ellipse((x0, y0, x1, y1), 255)

    def box(self, corners: tuple[float, float, float, float], colour: Colour, radius: float = 0.0) -> None:
        """A filled rectangle (left, top, right, bottom) with corners rounded by `radius`."""
        (x0, y0), (x1, y1) = self._pixel(corners[:2]), self._pixel(corners[2:])
        self._pens[0].rounded_rectangle((x0, y0, x1, y1), radius * self._scale, colour)
        self._pens[1].rounded_rectangle((x0, y0, x1, y1), radius * self._scale, 255)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line through the points with round joints and ends."""
        path = [self._pixel(point) for point in points]
        self._pens[0].line(path, colour, round(width * self._scale), joint="curve")
        self._pens[1].line(path, 255, round(width * self._scale), joint="curve")
        for point in (points[0], points[-1]):
            self.disc(point, width / 2 - 0.005, colour)

    def put(self, image: Image.Image, at: tuple[int, int]) -> None:
        """Puts what was drawn on `image`, the upper left corner of the board at (x, y)."""
        found = self.coverage.getbbox()
        if found is None:
            return
        left, top = found[0] // _FINE, found[1] // _FINE
        box = left * _FINE, top * _FINE, -(-found[2] // _FINE) * _FINE, -(-found[3] // _FINE) * _FINE
        mask = self.coverage.reduce(_FINE, box)
        image.paste(self.colours.reduce(_FINE, box), (at[0] + left, at[1] + top), mask)

    def _pixel(self, point: Point) -> Point:
        return (point[0] + 1) * self._scale, (point[1] + 1) * self._scale


Symbol = Callable[[Board, Colour], None]


def _around(count: int, radius: float, turn: float = 0.0) -> list[Point]:
    """The corners of a regular polygon; without a turn the first is at the top."""
    angles = (turn + 2 * pi * index / count for index in range(count))
    return [(radius * sin(angle), -radius * cos(angle)) for angle in angles]


def octagon(radius: float) -> list[Point]:
    """A stop sign's outline, its distance to a side `radius`."""
    return _around(8, radius / cos(pi / 8), pi / 8)


def _arrow(board: Board, ink: Colour, tip: Point, tail: Point, width: float = 0.22) -> None:
    (x1, y1), (x0, y0) = tip, tail
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    u, v = (x1 - x0) / length, (y1 - y0) / length
    neck = x1 - u * width * 1.7, y1 - v * width * 1.7
    half = width / 2
    board.polygon(
        [
            (x0 - v * half, y0 + u * half), (neck[0] - v * half, neck[1] + u * half),
            (neck[0] - v * width * 1.25, neck[1] + u * width * 1.25), (x1, y1),
            (neck[0] + v * width * 1.25, neck[1] - u * width * 1.25),
            (neck[0] + v * half, neck[1] - u * half), (x0 + v * half, y0 - u * half),
        ],
        ink,
    )  # fmt: skip


def arrow(direction: str) -> Symbol:
    """An arrow that points "left", "right", "up" or "down"."""
    x, y = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}[direction]

    def draw(board: Board, ink: Colour) -> None:
        _arrow(board, ink, (0.72 * x, 0.72 * y), (-0.66 * x, -0.66 * y))

    return draw


def _turn(side: int) -> Symbol:
    def draw(board: Board, ink: Colour) -> None:
        board.line([(-0.3 * side, 0.62), (-0.3 * side, -0.12), (0.1 * side, -0.12)], 0.22, ink)
        _arrow(board, ink, (0.66 * side, -0.12), (0.0, -0.12))

    return draw


def _bend(side: int) -> Symbol:
    def draw(board: Board, ink: Colour) -> None:
        board.line([(-0.15 * side, 0.6), (-0.15 * side, 0.1), (0.12 * side, -0.25)], 0.2, ink)
        _arrow(board, ink, (0.36 * side, -0.58), (0.1 * side, -0.22), 0.2)

    return draw


def _walker(board: Board, ink: Colour) -> None:
    board.disc((0.05, -0.68), 0.17, ink)
    board.line([(0.02, -0.38), (-0.02, 0.1)], 0.28, ink)
    board.line([(0.0, 0.12), (0.26, 0.42), (0.32, 0.82)], 0.17, ink)
    board.line([(-0.02, 0.12), (-0.14, 0.48), (-0.44, 0.8)], 0.17, ink)
    board.line([(0.06, -0.4), (0.3, -0.14), (0.46, 0.06)], 0.12, ink)
    board.line([(-0.02, -0.4), (-0.28, -0.18), (-0.34, 0.1)], 0.12, ink)


def _runner(board: Board, ink: Colour) -> None:
    board.disc((-0.05, -0.64), 0.15, ink)
    board.line([(-0.14, -0.4), (-0.26, 0.02)], 0.24, ink)
    board.line([(-0.24, 0.06), (0.08, 0.24), (0.02, 0.66)], 0.15, ink)
    board.line([(-0.28, 0.06), (-0.42, 0.44), (-0.76, 0.5)], 0.15, ink)
    board.line([(-0.12, -0.4), (0.16, -0.28), (0.32, -0.46)], 0.11, ink)
    board.line([(-0.18, -0.4), (-0.48, -0.36), (-0.58, -0.1)], 0.11, ink)
    _arrow(board, ink, (0.9, 0.1), (0.3, 0.1), 0.18)


def _faller(board: Board, ink: Colour) -> None:
    board.disc((-0.34, -0.42), 0.15, ink)
    board.line([(-0.22, -0.2), (0.02, 0.2)], 0.22, ink)
    board.line([(0.02, 0.22), (0.34, 0.1), (0.6, -0.14)], 0.14, ink)
    board.line([(0.0, 0.24), (0.28, 0.36), (0.56, 0.32)], 0.14, ink)
    board.line([(-0.24, -0.2), (-0.5, 0.06), (-0.6, 0.24)], 0.1, ink)
    board.line([(-0.16, -0.2), (0.12, -0.3), (0.26, -0.5)], 0.1, ink)
    board.line([(-0.66, 0.62), (0.66, 0.62)], 0.1, ink)


def _bolt(board: Board, ink: Colour) -> None:
    board.polygon(
        [(0.1, -0.86), (-0.34, 0.08), (-0.02, 0.02), (-0.12, 0.5), (-0.26, 0.44), (-0.06, 0.9), (0.2, 0.5),
         (0.08, 0.5), (0.34, -0.22), (0.02, -0.14), (0.3, -0.8)],
        ink,
    )  # fmt: skip


def _flame(board: Board, ink: Colour) -> None:
    board.polygon(
        [(0.0, -0.86), (0.16, -0.46), (0.4, -0.2), (0.52, 0.16), (0.4, 0.5), (0.16, 0.68), (-0.16, 0.68),
         (-0.4, 0.5), (-0.52, 0.14), (-0.36, -0.14), (-0.26, 0.08), (-0.2, -0.4)],
        ink,
    )  # fmt: skip
    board.line([(-0.6, 0.82), (0.6, 0.82)], 0.12, ink)


def _exclamation(board: Board, ink: Colour) -> None:
    board.polygon([(-0.16, -0.8), (0.16, -0.8), (0.09, 0.3), (-0.09, 0.3)], ink)
    board.disc((0.0, 0.58), 0.16, ink)


def _heat(board: Board, ink: Colour) -> None:
    for x in (-0.45, 0.0, 0.45):
        wave = [(x + 0.11 * sin(step * pi / 4), -0.7 + step * 0.13) for step in range(9)]
        board.line(wave, 0.13, ink)
    board.line([(-0.72, 0.68), (0.72, 0.68)], 0.16, ink)


def _trefoil(board: Board, ink: Colour) -> None:
    for blade in range(3):
        middle = 2 * pi * blade / 3 + pi
        arc = [middle + step * pi / 30 for step in range(-5, 6)]
        outer = [(0.78 * sin(angle), -0.78 * cos(angle)) for angle in arc]
        inner = [(0.26 * sin(angle), -0.26 * cos(angle)) for angle in reversed(arc)]
        board.polygon([*outer, *inner], ink)
    board.disc((0.0, 0.0), 0.15, ink)


def _burst(board: Board, ink: Colour) -> None:
    for point in _around(12, 0.62):
        board.line([(-0.1, 0.0), (point[0] - 0.1, point[1])], 0.07, ink)
    board.disc((-0.1, 0.0), 0.24, ink)
    board.line([(-0.1, 0.0), (0.86, 0.0)], 0.11, ink)


def _lights(board: Board, ink: Colour) -> None:
    board.box((-0.3, -0.85, 0.3, 0.85), ink, 0.12)
    for y, colour in ((-0.54, (225, 30, 30)), (0.0, (250, 200, 20)), (0.54, (30, 160, 60))):
        board.disc((0.0, y), 0.2, colour)


def _crossroads(board: Board, ink: Colour) -> None:
    board.line([(0.0, -0.7), (0.0, 0.7)], 0.26, ink)
    board.line([(-0.62, 0.1), (0.62, 0.1)], 0.26, ink)


def _bumps(board: Board, ink: Colour) -> None:
    for x in (-0.36, 0.36):
        arc = [(x - 0.34 * cos(step * pi / 10), 0.42 - 0.5 * sin(step * pi / 10)) for step in range(11)]
        board.polygon(arc, ink)
    board.box((-0.82, 0.36, 0.82, 0.56), ink)


def _cross(board: Board, ink: Colour) -> None:
    board.box((-0.22, -0.68, 0.22, 0.68), ink)
    board.box((-0.68, -0.22, 0.68, 0.22), ink)


def _extinguisher(board: Board, ink: Colour) -> None:
    board.box((-0.3, -0.3, 0.3, 0.86), ink, 0.14)
    board.box((-0.1, -0.62, 0.1, -0.2), ink)
    board.line([(-0.34, -0.72), (0.3, -0.6)], 0.12, ink)
    board.line([(0.06, -0.52), (0.5, -0.44), (0.56, 0.2)], 0.1, ink)


def _cigarette(board: Board, ink: Colour) -> None:
    board.box((-0.66, 0.06, 0.44, 0.28), ink)
    board.box((0.5, 0.06, 0.66, 0.28), ink)
    board.line([(0.58, -0.06), (0.5, -0.22), (0.62, -0.36), (0.54, -0.52)], 0.09, ink)


def _telephone(board: Board, ink: Colour) -> None:
    board.box((-0.32, -0.74, 0.32, 0.74), ink, 0.12)
    board.box((-0.22, -0.54, 0.22, 0.42), (250, 250, 250))
    board.disc((0.0, 0.58), 0.08, (250, 250, 250))


def _bar(board: Board, ink: Colour) -> None:
    board.box((-0.68, -0.18, 0.68, 0.18), ink)


def _people(board: Board, ink: Colour) -> None:
    for x in (-0.44, 0.44):
        board.disc((x, -0.62), 0.17, ink)
    board.box((-0.64, -0.4, -0.24, 0.14), ink, 0.08)
    board.box((-0.58, 0.1, -0.3, 0.8), ink)
    board.polygon([(0.34, -0.4), (0.54, -0.4), (0.78, 0.34), (0.1, 0.34)], ink)
    board.box((0.3, 0.3, 0.58, 0.8), ink)
    board.line([(0.0, -0.8), (0.0, 0.84)], 0.05, ink)


def _crossing(board: Board, ink: Colour) -> None:
    white = (250, 250, 250)
    board.polygon([(0.0, -0.84), (0.9, 0.76), (-0.9, 0.76)], white)
    board.disc((0.02, -0.34), 0.11, ink)
    board.line([(0.0, -0.14), (-0.02, 0.18)], 0.17, ink)
    board.line([(0.0, 0.2), (0.2, 0.6)], 0.11, ink)
    board.line([(-0.02, 0.2), (-0.24, 0.6)], 0.11, ink)
    board.line([(-0.2, 0.12), (0.0, -0.12), (0.22, 0.1)], 0.08, ink)


SYMBOLS: Mapping[str, Symbol] = {
    "left": _turn(-1), "right": _turn(1), "up": arrow("up"), "arrow left": arrow("left"),
    "arrow right": arrow("right"), "bend left": _bend(-1), "bend right": _bend(1), "walker": _walker,
    "runner": _runner, "faller": _faller, "bolt": _bolt, "flame": _flame, "exclamation": _exclamation,
    "heat": _heat, "trefoil": _trefoil, "burst": _burst, "lights": _lights, "crossroads": _crossroads,
    "bumps": _bumps, "cross": _cross, "extinguisher": _extinguisher, "cigarette": _cigarette,
    "telephone": _telephone, "bar": _bar, "people": _people, "crossing": _crossing,
}  # fmt: skip
"""Every symbol by its name."""
