"""Recipes of digital displays: `seven_segment` (glowing digits), `lcd` (dark digits, dot-matrix text, icons).

The reading is what the display shows, character by character; a unit printed beside it belongs to the answer
only where the question asks for it. A degree sign is drawn and not spelled: the unit of a thermometer is "C".
"""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from galago.drawing import display_texts
from galago.drawing.display_panels import Look, Rectangle, draw_panel, draw_window, look
from galago.drawing.display_texts import NAMES, PHRASES, Message, Reading
from galago.drawing.effects import Colour
from galago.drawing.sample import Drawing, Question, Recipe, Setting, Split
from galago.drawing.segments import DotStyle, draw_dots
from galago.drawing.sheet import NONE, Asker, Sheet, chance, near, pick, sample

_GLOW: dict[str, Colour] = {
    "red": (250, 40, 30), "green": (60, 240, 80), "blue": (70, 120, 255),
    "orange": (255, 150, 20), "white": (240, 245, 250),
}  # fmt: skip

_BACKLIGHTS: dict[str, tuple[Colour, Colour]] = {
    "green": ((150, 190, 96), (26, 36, 20)),
    "grey": ((172, 176, 172), (30, 32, 34)),
    "blue": ((38, 70, 205), (226, 236, 252)),
    "white": ((236, 240, 243), (24, 26, 34)),
    "orange": ((240, 160, 50), (44, 26, 10)),
}
"""Backlight -> its colour and the colour of the characters."""

ICONS = ("battery", "bell", "lock", "signal", "heart", "clock")
"""The symbols that an LCD may show above its text."""

_ICON_SIZE = 15
_ICON_PITCH = 24
_LEAST_DOT = 2.0


def paint_seven_segment(rng: np.random.Generator, setting: Setting) -> Drawing:
    """One or two glowing displays on a casing; questions of the task "seven_segment"."""
    colour = pick(rng, tuple(_GLOW))
    device = look(rng, setting, near(rng, _GLOW[colour], 14), near(rng, (16, 16, 18), 14), glows=True)
    ask = Asker(rng, PHRASES, "seven_segment")
    return _segment_panels(Sheet(rng, setting, device.casing), device, ask, ask("ink", colour))


def paint_lcd(rng: np.random.Generator, setting: Setting) -> Drawing:
    """A liquid-crystal display: one or two readings in segments, or lines of dot-matrix text; task "lcd"."""
    name = pick(rng, tuple(_BACKLIGHTS))
    glass, ink = (near(rng, colour, 12) for colour in _BACKLIGHTS[name])
    device = look(rng, setting, ink, glass, glows=False)
    ask = Asker(rng, PHRASES, "lcd")
    paint = _segment_panels if chance(rng, 0.45) else _dot_matrix
    return paint(Sheet(rng, setting, device.casing), device, ask, ask("backlight", name))


def _segment_panels(sheet: Sheet, device: Look, ask: Asker, colour: Question) -> Drawing:
    rng, setting = sheet.rng, sheet.setting
    readings = [display_texts.reading(rng, setting)]
    if setting.height >= 112 and readings[0].names and chance(rng, setting.between(0.1, 0.45)):
        second = display_texts.reading(rng, setting)
        if second.names and not set(second.names) & set(readings[0].names):
            readings.append(second)
    step = setting.height / len(readings)
    shown = [
        draw_panel(sheet, (3, row * step + 3, setting.width - 3, (row + 1) * step - 3), device, item)
        for row, item in enumerate(readings)
    ]
    questions = _about_one(ask, shown[0]) if len(shown) == 1 else _about_two(ask, shown)
    if shown[0].kind != "off":
        questions.append(colour)
    return sheet.finish([*questions[:2], *sample(rng, questions[2:], 2)])


def _about_one(ask: Asker, item: Reading) -> list[Question]:
    """Questions about a single reading, the most important two first."""
    known = item.kind != "off"
    whole = f"{item.text} {item.unit}" if item.unit and known else item.text
    questions = [
        ask("read", item.text, spelled=True),
        ask("with_unit", whole, spelled=True),
        ask("unit", item.unit or NONE, spelled=True),
        ask("caption", item.caption or NONE, spelled=True),
        ask("digits", str(sum(character.isdigit() for character in item.shown))),
        ask("negative", "yes" if item.text.startswith("-") else "no"),
        ask("off", "no" if known else "yes"),
    ]
    if item.kind == "clock":
        return [ask("clock", item.text, spelled=True), *questions]
    if known and (item.unit or item.caption or item.kind == "code"):
        other = pick(ask.rng, [name for name in NAMES if name not in item.names])
        questions.append(ask("named", item.text, spelled=True, name=pick(ask.rng, item.names)))
        questions.append(ask("clock", NONE) if chance(ask.rng, 0.3) else ask("named", NONE, name=other))
    return questions


def _about_two(ask: Asker, items: list[Reading]) -> list[Question]:
    upper, lower = items
    named = [item for item in items if item.caption or item.unit]
    return [
        ask("upper", upper.text, spelled=True),
        ask("lower", lower.text, spelled=True),
        ask("both", f"{upper.text}\n{lower.text}", spelled=True),
        ask("displays", "2"),
        *(ask("named", item.text, spelled=True, name=pick(ask.rng, item.names)) for item in named),
    ]


def _dot_matrix(sheet: Sheet, device: Look, ask: Asker, colour: Question) -> Drawing:
    rng, setting = sheet.rng, sheet.setting
    margin = float(rng.uniform(4, 8))
    window = (margin, margin, setting.width - margin, setting.height - margin)
    draw_window(sheet, window, device)
    icons = sample(rng, ICONS, int(rng.integers(0, 4))) if setting.height >= 80 else []
    for index, icon in enumerate(icons):
        corner = window[0] + 8 + index * _ICON_PITCH, window[1] + 6
        draw_icon(sheet.pen, icon, corner, device.ink)
    room = window[2] - window[0] - 12
    most = min(16, int((room / _LEAST_DOT + 1) // 6))
    message = display_texts.message(rng, setting, most=most)
    top = window[1] + 5 + (_ICON_SIZE + 3 if icons else 0)
    _draw_lines(sheet, (window[0] + 6, top, window[2] - 6, window[3] - 5), device, message)
    questions = _about_lines(ask, message)
    if setting.height >= 80:
        questions += _about_icons(ask, icons)
    questions.append(colour)
    return sheet.finish([*questions[:2], *sample(rng, questions[2:], 2)])


def _draw_lines(sheet: Sheet, box: Rectangle, device: Look, message: Message) -> None:
    """The lines of text in dots, indented alike. Held out: round dots and centred lines."""
    rng, setting = sheet.rng, sheet.setting
    left, top, right, bottom = box
    held_out = setting.split is Split.HELD_OUT
    count = len(message.lines)
    longest = max(len(line) for line in message.lines)
    largest = min((right - left) / (6 * longest - 1), (bottom - top) / (8.5 * count))
    dot = min(largest, setting.between(5.0, 3.4)) * float(rng.uniform(setting.between(0.9, 0.75), 1))
    style = DotStyle(
        dot=max(dot, min(_LEAST_DOT, largest)),
        fill=0.95 if held_out else float(rng.uniform(0.55, 1.0)),
        round_dots=held_out,
        ghost=0.0 if held_out else pick(rng, (0.0, 0.04, 0.08)),
    )
    indent = 0.0 if held_out or chance(rng, 0.5) else float(rng.uniform(0, 0.8))
    pitch = min((bottom - top) / count, 10 * style.dot)
    y = top + (bottom - top - pitch * count) / 2 + (pitch - 7 * style.dot) / 2
    for line in message.lines:
        mask, placed = draw_dots(line, style)
        x = left + (right - left - mask.width) * (0.5 if held_out else indent)
        sheet.stamp((x, y), mask, placed, device.ink)
        y += pitch


def _about_lines(ask: Asker, message: Message) -> list[Question]:
    lines = message.lines
    row = int(ask.rng.integers(2))
    named = dict(message.values)
    missing = pick(ask.rng, [name for name in NAMES if name not in named])
    return [
        ask("text", "\n".join(lines), spelled=True),
        ask(
            "line",
            lines[row] if row < len(lines) else NONE,
            spelled=True,
            ordinal=("first", "second")[row],
            number=str(row + 1),
        ),
        ask("lines", str(len(lines))),
        ask("named", NONE, name=missing),
        *(ask("named", value, spelled=True, name=name) for name, value in message.values),
    ]


def _about_icons(ask: Asker, icons: list[str]) -> list[Question]:
    icon = pick(ask.rng, icons) if icons and chance(ask.rng, 0.5) else pick(ask.rng, ICONS)
    return [ask("icon", "yes" if icon in icons else "no", icon=icon), ask("icons", str(len(icons)))]


def draw_icon(pen: ImageDraw.ImageDraw, icon: str, corner: tuple[float, float], ink: Colour) -> None:
    """One of `ICONS`, 15 pixels high, its upper left corner at `corner`. KeyError: no such icon."""
    x, y = corner

    def box(x0: float, y0: float, x1: float, y1: float) -> Rectangle:
        return x + x0, y + y0, x + x1, y + y1

    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + u, y + v) for u, v in pairs]

    def battery() -> None:
        pen.rectangle(box(0, 3, 15, 12), outline=ink, width=2)
        pen.rectangle(box(16, 6, 18, 9), ink)
        pen.rectangle(box(3, 6, 10, 9), ink)

    def bell() -> None:
        pen.pieslice(box(2, 1, 12, 15), 180, 360, ink)
        pen.polygon(points((2, 8), (12, 8), (14, 12), (0, 12)), ink)
        pen.ellipse(box(5, 11, 9, 15), ink)

    def lock() -> None:
        pen.arc(box(3, 0, 11, 11), 180, 360, ink, 2)
        pen.rectangle(box(1, 6, 13, 14), ink)

    def signal() -> None:
        for bar in range(4):
            pen.rectangle(box(4 * bar, 11 - 3.5 * bar, 4 * bar + 2, 14), ink)

    def heart() -> None:
        pen.ellipse(box(0, 1, 7, 8), ink)
        pen.ellipse(box(7, 1, 14, 8), ink)
        pen.polygon(points((0.5, 6), (13.5, 6), (7, 14)), ink)

    def clock() -> None:
        pen.ellipse(box(0, 0, 14, 14), outline=ink, width=2)
        pen.line(points((7, 3), (7, 7), (10, 9)), ink, 2)

    {"battery": battery, "bell": bell, "lock": lock, "signal": signal, "heart": heart, "clock": clock}[icon]()


RECIPES = (
    Recipe("seven_segment", 20, ((3, 8), (4, 8), (4, 11), (6, 8), (8, 9)), paint_seven_segment),
    Recipe("lcd", 21, ((3, 8), (3, 11), (4, 8), (4, 11), (6, 8), (8, 9)), paint_lcd),
)
"""What this module draws; the numbers are part of every seed."""
