"""Recipe `gauge`: one analogue instrument with a needle; task "gauge".

The value is rounded to a step of at most a fortieth of the scale (2 on a scale from 0 to 100) and spelled
with the decimals of that step. `Question.tolerance` is 5 % of the scale: an answer that near is right.
Task "needle" asks where the needle stands in percent of the scale, from which a model learns to tell values.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin

import numpy as np

from galago.drawing import fonts
from galago.drawing.effects import Colour, any_colour, luminance
from galago.drawing.sample import Drawing, Glyph, Question, Recipe, Setting, Split
from galago.drawing.sheet import NONE, Asker, Phrases, Sheet, blend, chance, near, pick, sample
from galago.drawing.sign_symbols import Board, Point
from galago.drawing.typeset import Type, fit, type_of
from galago.frozen import frozen

PHRASES: Phrases = {
    "value": (
        "What does the gauge show?", "What is the value?", "What does the needle point to?",
        "Read the gauge.", "What value does the gauge show?", "What does the dial read?",
        "Which value is shown?", "What is the reading?", "Give the value on the gauge.",
        "Where is the needle?", "What does the instrument show?",
    ),
    "with_unit": (
        "What does the gauge show, with the unit?", "What is the value with its unit?",
        "Read the gauge, unit included.", "Value and unit?", "Give the reading with its unit.",
        "What is the reading, including the unit?", "State the value with the unit.",
        "What does the dial read, with the unit?",
    ),
    "named": (
        "What is the {name}?", "How high is the {name}?", "Read the {name}.", "What {name} is shown?",
        "Give the {name}.", "Which {name} does the gauge show?", "Tell me the {name}.",
        "What is the value of the {name}?",
    ),
    "unit": (
        "What is the unit?", "Which unit is shown?", "In what unit is the scale?",
        "What unit is on the dial?", "Name the unit.", "Unit of the scale?",
        "What is the unit of measurement?", "In which unit does the gauge measure?",
    ),
    "red": (
        "Is the needle in the red zone?", "Is the needle in the red?", "Is the value in the red range?",
        "Does the needle point into the red zone?", "Is the reading in the red area?", "Is it in the red?",
        "Has the needle reached the red zone?", "Is the pointer in the red part?",
    ),
    "zone": (
        "Is there a red zone?", "Does the gauge have a red zone?", "Is part of the scale red?",
        "Is a red range marked?", "Does the dial have a red part?", "Is there a red band on the scale?",
        "Has the scale a red zone?", "Can you see a red zone?",
    ),
    "share": (
        "How far up the scale is the needle, in percent?", "At what percentage of the scale is the needle?",
        "Give the needle's place on the scale in percent.", "What percent of full scale is shown?",
        "Percent of full scale?", "Which percent of the scale does the needle point to?",
        "Where on the scale is the needle, in percent?", "What share of the scale is below it, in percent?",
    ),
    "highest": (
        "What is the highest value on the scale?", "Where does the scale end?", "What is the maximum?",
        "How far does the scale go?", "What is the largest number on the dial?",
        "What is the full scale value?", "What is the end of the scale?", "What is the top of the scale?",
    ),
    "lowest": (
        "What is the lowest value on the scale?", "Where does the scale begin?", "What is the minimum?",
        "What is the smallest number on the dial?", "With which number does the scale start?",
        "What is the start of the scale?", "What is the bottom of the scale?",
        "Which value does the scale start from?",
    ),
    "above": (
        "Is the value above {limit}?", "Is it more than {limit}?", "Does the gauge show more than {limit}?",
        "Is the reading over {limit}?", "Is the needle above {limit}?", "Is it higher than {limit}?",
        "Is the value greater than {limit}?", "Does it exceed {limit}?",
    ),
}  # fmt: skip
"""Every question about a gauge in its wordings."""

TOLERANCE = 0.05
"""How far off an answer may be, as a share of the scale."""

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_DECIMALS = {0.01: 2, 0.02: 2, 0.05: 2, 0.1: 1, 0.2: 1, 0.5: 1}

_FACES: tuple[Colour, ...] = ((246, 246, 242), (232, 230, 220), (30, 32, 36), (24, 36, 52), (250, 246, 226))
_HELD_OUT_FACES: tuple[Colour, ...] = ((214, 226, 236), (52, 56, 60), (240, 236, 200))
_SWEEPS = ((115.0, 145.0), (155.0, 185.0), (188.0, 205.0), (215.0, 255.0), (265.0, 305.0))
_HELD_OUT_SWEEPS = (150.0, 210.0, 260.0)
"""Degrees from the lowest to the highest value: ranges, and what lies between them."""

_RED: Colour = (214, 34, 38)
_GREEN: Colour = (44, 150, 70)


@frozen
class Scale:
    """Numbers from `low` to `high`, one printed every `major`; each such part has `minor` small divisions."""

    low: float
    high: float
    major: float
    minor: int = 5

    @property
    def span(self) -> float:
        """From one end to the other."""
        return self.high - self.low

    @property
    def step(self) -> float:
        """What values are rounded to: a round number of at most a fortieth of the scale."""
        return max(step for step in _STEPS if step <= self.span / 40 + 1e-9)

    @property
    def marks(self) -> list[float]:
        """The printed numbers."""
        return [self.low + index * self.major for index in range(round(self.span / self.major) + 1)]

    def spell(self, value: float) -> str:
        """The value as it is answered."""
        return f"{value:.{_DECIMALS.get(self.step, 0)}f}"

    def print(self, mark: float) -> str:
        """The number as it is printed on the dial."""
        return f"{mark:.{0 if self.major % 1 == 0 else 1}f}"

    def share(self, value: float) -> float:
        """How far up the scale the value lies, 0 to 1."""
        return (value - self.low) / self.span


@frozen
class _Quantity:
    name: str
    unit: str
    scales: tuple[Scale, ...]

    @property
    def drawn_unit(self) -> str:
        return "°" + self.unit if self.unit in {"C", "F"} else self.unit


def _upto(*ends: tuple[float, float]) -> tuple[Scale, ...]:
    return tuple(Scale(0, high, major) for high, major in ends)


_QUANTITIES = (
    _Quantity("pressure", "bar", _upto((1, 0.2), (2.5, 0.5), (4, 1), (6, 1), (10, 2), (16, 4), (25, 5))),
    _Quantity("pressure", "psi", _upto((30, 5), (60, 10), (100, 20), (160, 40), (300, 50))),
    _Quantity("pressure", "kPa", _upto((100, 20), (160, 40), (250, 50), (600, 100))),
    _Quantity(
        "temperature", "C",
        (Scale(-20, 60, 20), Scale(-30, 50, 10), Scale(-40, 40, 20), *_upto((100, 20), (120, 20), (160, 40))),
    ),
    _Quantity("temperature", "F", (Scale(-40, 120, 40), *_upto((200, 50), (250, 50)))),
    _Quantity("speed", "km/h", _upto((160, 20), (180, 30), (200, 40), (240, 40))),
    _Quantity("speed", "mph", _upto((80, 20), (100, 20), (120, 20))),
    _Quantity("humidity", "%", _upto((100, 20), (100, 25), (100, 10))),
    _Quantity("voltage", "V", _upto((5, 1), (15, 3), (30, 5), (250, 50), (300, 50), (500, 100))),
    _Quantity("current", "A", _upto((1, 0.2), (5, 1), (10, 2), (40, 10), (60, 10))),
    _Quantity("frequency", "Hz", (Scale(45, 55, 1), Scale(45, 65, 5))),
    _Quantity("flow", "L/min", _upto((10, 2), (20, 5), (50, 10))),
    _Quantity("weight", "kg", _upto((5, 1), (10, 1), (20, 5), (150, 25))),
    _Quantity("value", "", _upto((8, 1), (10, 1), (12, 2), (100, 10))),
)  # fmt: skip


@frozen
class _Dial:
    """Where things are on the board: the pivot, the radius of the ticks' outer end, and the swept angle."""

    centre: Point
    radius: float
    sweep: float

    def at(self, share: float, radius: float) -> Point:
        """The point at this share of the scale, `radius` of the dial's from the pivot."""
        angle = radians((share - 0.5) * self.sweep)
        return (
            self.centre[0] + self.radius * radius * sin(angle),
            self.centre[1] - self.radius * radius * cos(angle),
        )


@frozen
class _Reading:
    quantity: _Quantity
    scale: Scale
    value: float
    zone: tuple[float, float] | None
    unit: str


def paint_gauge(rng: np.random.Generator, setting: Setting) -> Drawing:
    """A dial of half a turn or more, or a panel meter with an arc."""
    sheet = Sheet(rng, setting, any_colour(rng))
    reading = _reading(rng)
    _draw(sheet, reading)
    ask = Asker(rng, PHRASES, "gauge")
    return sheet.finish(_about(ask, reading), degrees=2.0)


def _reading(rng: np.random.Generator) -> _Reading:
    quantity = pick(rng, _QUANTITIES)
    scale = pick(rng, quantity.scales)
    value = scale.low + int(rng.integers(0, round(scale.span / scale.step) + 1)) * scale.step
    zone: tuple[float, float] | None = None
    if chance(rng, 0.55):
        edge = float(rng.uniform(0.6, 0.9))
        zone = (0.0, 1 - edge) if chance(rng, 0.2) else (edge, 1.0)
        if chance(rng, 0.4):  # the red zone would otherwise rarely be reached
            value = scale.low + scale.step * round(float(rng.uniform(*zone)) * scale.span / scale.step)
    if zone and min(abs(scale.share(value) - end) for end in zone if 0 < end < 1) < 0.025:
        zone = None
    unit = quantity.unit if chance(rng, 0.88) else ""
    return _Reading(quantity, scale, value, zone, unit)


def _draw(sheet: Sheet, reading: _Reading) -> None:
    rng, setting = sheet.rng, sheet.setting
    held_out = setting.split is Split.HELD_OUT
    room = min(setting.height, setting.width) - 4
    sweep = pick(rng, _HELD_OUT_SWEEPS) if held_out else float(rng.uniform(*pick(rng, _SWEEPS)))
    size = int(room * rng.uniform(setting.between(0.97, 0.86) if sweep > 185 else 0.97, 1))
    x = int(rng.integers(0, setting.width - size + 1))
    y = int(rng.integers(0, setting.height - size + 1))
    face = near(rng, pick(rng, _HELD_OUT_FACES if held_out else _FACES), 8 if held_out else 20)
    ink: Colour = (236, 238, 240) if luminance(face) < 120 else (26, 26, 30)
    board = Board(size)
    dial = _draw_case(board, rng, sweep, face, square=held_out and chance(rng, 0.6))
    _draw_zones(board, rng, dial, reading)
    _draw_ticks(board, dial, reading.scale, ink)
    board.put(sheet.image, (x, y))
    _write_numbers(sheet, dial, reading, (x, y, size), ink)
    needle = Board(size)
    _draw_needle(needle, rng, dial, reading, face)
    needle.put(sheet.image, (x, y))
    pivot = Glyph("", x + size * (1 + dial.centre[0]) / 2, y + size * (1 + dial.centre[1]) / 2)
    sheet.needles.append((pivot, reading.scale.share(reading.value)))


def _draw_case(board: Board, rng: np.random.Generator, sweep: float, face: Colour, *, square: bool) -> _Dial:
    """The case and the face; an arc of at most half a turn has its pivot low, and may have a square case."""
    rim = near(rng, pick(rng, ((36, 38, 42), (150, 154, 160), (190, 170, 110), (96, 30, 30))), 16)
    if sweep > 185:
        if square:
            board.box((-0.98, -0.98, 0.98, 0.98), rim, 0.12)
            board.box((-0.9, -0.9, 0.9, 0.9), face, 0.08)
        else:
            board.disc((0, 0), 0.98, rim)
            board.disc((0, 0), 0.9, face)
        return _Dial((0.0, 0.0), 0.84, sweep)
    radius = min(0.86 / sin(radians(min(90.0, sweep / 2))), 0.98)
    low = radius / 2 + 0.22
    board.box((-0.98, -radius / 2 - 0.3, 0.98, low + 0.08), rim, 0.1)
    board.box((-0.92, -radius / 2 - 0.24, 0.92, low + 0.02), face, 0.06)
    return _Dial((0.0, radius / 2 - 0.02), radius, sweep)


def _draw_zones(board: Board, rng: np.random.Generator, dial: _Dial, reading: _Reading) -> None:
    """The red band of the scale, and sometimes a green one beside it."""
    width = float(rng.uniform(0.06, 0.1))
    if reading.zone:
        if chance(rng, 0.3):
            rest = (0.0, reading.zone[0]) if reading.zone[0] > 0 else (reading.zone[1], 1.0)
            _band(board, dial, rest, width, _GREEN)
        _band(board, dial, reading.zone, width, near(rng, _RED, 12))


def _band(board: Board, dial: _Dial, shares: tuple[float, float], width: float, colour: Colour) -> None:
    steps = np.linspace(*shares, 24).tolist()
    outer = [dial.at(share, 1.0) for share in steps]
    inner = [dial.at(share, 1.0 - width) for share in reversed(steps)]
    board.polygon([*outer, *inner], colour)


def _draw_ticks(board: Board, dial: _Dial, scale: Scale, ink: Colour) -> None:
    count = round(scale.span / scale.major) * scale.minor
    for index in range(count + 1):
        is_major = index % scale.minor == 0
        share, half = index / count, (0.9 if is_major else 0.5) / dial.sweep
        inner = 0.86 if is_major else 0.93
        board.polygon(
            [dial.at(share - half, 1.0), dial.at(share + half, 1.0), dial.at(share + half, inner),
             dial.at(share - half, inner)],
            ink,
        )  # fmt: skip


def _write_numbers(
    sheet: Sheet, dial: _Dial, reading: _Reading, place: tuple[int, int, int], ink: Colour
) -> None:
    """The numbers inside the ticks from left to right along the scale, then the unit."""
    rng = sheet.rng
    x, y, size = place
    half = size / 2
    face = fonts.choose(rng, sheet.setting, ("sans",))
    kind = type_of(face, min(16.0, max(11.0, size * 0.066)))
    for mark in _printed_marks(dial, reading.scale, kind, half):
        text = reading.scale.print(mark)
        u, v = dial.at(reading.scale.share(mark), 0.84)
        # the text box stands with its nearest point on the circle
        du, dv = dial.centre[0] - u, dial.centre[1] - v
        length = (du**2 + dv**2) ** 0.5
        shift = abs(du / length) * kind.width(text) / 2 + abs(dv / length) * kind.capitals / 2 + 1
        centre = x + half * (1 + u) + du / length * shift, y + half * (1 + v) + dv / length * shift
        sheet.write((centre[0], centre[1] + kind.capitals / 2), text, kind, ink, align="centre")
    if reading.unit:
        below = 185 < dial.sweep < 280 and len(reading.unit) < 3
        centre_y = dial.centre[1] + (0.42 if below else -0.27) * dial.radius
        label = fit(face, reading.quantity.drawn_unit, size * 0.27, max(12.5, size * 0.07))
        at = x + half, y + half * (1 + centre_y) + label.capitals / 2
        sheet.write(at, reading.quantity.drawn_unit, label, ink, align="centre")


def _printed_marks(dial: _Dial, scale: Scale, kind: Type, half: float) -> list[float]:
    """The marks for which there is room along the scale: all, or every second, third, ... of them."""
    marks = scale.marks
    widest = max(kind.width(scale.print(mark)) for mark in marks)
    apart = half * dial.radius * 0.68 * radians(dial.sweep) / (len(marks) - 1)
    strides = [stride for stride in range(1, len(marks)) if (len(marks) - 1) % stride == 0]
    fitting = [stride for stride in strides if stride * apart > 0.75 * widest + 4]
    return marks[:: (fitting or strides)[0 if fitting else -1]]


def _draw_needle(
    board: Board, rng: np.random.Generator, dial: _Dial, reading: _Reading, face: Colour
) -> None:
    dark = luminance(face) < 120
    pale, deep = ((240, 240, 240), (255, 140, 30), (250, 220, 40)), ((20, 20, 22), (30, 50, 140))
    colour: Colour = pick(rng, pale if dark else deep)
    if chance(rng, 0.4):
        colour = (230, 40, 36)
    share = reading.scale.share(reading.value)
    tip = dial.at(share, float(rng.uniform(0.8, 0.95)))
    tail = dial.at(share, -0.16)
    across = dial.at(share + 90 / dial.sweep, 1.0)
    u, v = ((across[axis] - dial.centre[axis]) / dial.radius for axis in (0, 1))
    half = float(rng.uniform(0.018, 0.035))

    def beside(point: Point, shift: float) -> Point:
        return point[0] + u * shift, point[1] + v * shift

    narrow = half * float(rng.uniform(0.15, 0.8))
    corners = [beside(tail, -half), beside(tail, half), beside(tip, narrow), beside(tip, -narrow)]
    board.polygon(corners, colour)
    board.disc(dial.centre, float(rng.uniform(0.06, 0.11)), blend(colour, (60, 60, 64), 0.6))


def _about(ask: Asker, reading: _Reading) -> list[Question]:
    rng, scale, zone = ask.rng, reading.scale, reading.zone
    value = scale.spell(reading.value)
    tolerance = TOLERANCE * scale.span
    questions: list[Question] = [
        ask("value", value, tolerance=tolerance),
        ask("unit", reading.unit or NONE, spelled=True),
        ask("red", "yes" if zone and zone[0] <= scale.share(reading.value) <= zone[1] else "no"),
        ask("zone", "yes" if zone else "no"),
        ask("highest", scale.print(scale.high), spelled=True),
        ask("lowest", scale.print(scale.low), spelled=True),
    ]
    limits = [mark for mark in scale.marks[:-1] if abs(scale.share(mark) - scale.share(reading.value)) > 0.04]
    limit = _nearest(rng, limits, reading.value)
    questions.append(ask("above", "yes" if reading.value > limit else "no", limit=scale.print(limit)))
    if reading.unit:
        named = reading.quantity.name
        questions.append(ask("with_unit", f"{value} {reading.unit}"))
        questions.append(ask("named", value, name=named, tolerance=tolerance))
    asked = [questions[0], *sample(rng, questions[1:], 3)]
    aside = Asker(rng.spawn(1)[0], PHRASES, "needle")  # came later: the rest of a seed stays as it was
    return [*asked, aside("share", f"{100 * scale.share(reading.value):.0f}")]


def _nearest(rng: np.random.Generator, limits: Sequence[float], value: float) -> float:
    """One of the two limits nearest to the value, mostly, or any."""
    by_distance = sorted(limits, key=lambda limit: abs(limit - value))
    return pick(rng, by_distance[:2] if chance(rng, 0.6) else by_distance)


RECIPES = (Recipe("gauge", 24, ((7, 7), (8, 9), (8, 10), (10, 10)), paint_gauge),)
"""What this module draws; the number is part of every seed."""
