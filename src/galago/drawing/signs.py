"""Recipe `sign`: one traffic, warning, safety or text sign, with true answers of the task "sign".

A sign's meaning is one of the names in `SIGNS` (a speed limit carries its number). Its background colour is
that of the field around the symbol or text, its border that of the rim. Text set on several lines is read
with a space between them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from galago.drawing import fonts, words
from galago.drawing.effects import Colour, any_colour, luminance
from galago.drawing.sample import Drawing, Question, Recipe, Setting, Split
from galago.drawing.sheet import NONE, Asker, Phrases, Sheet, chance, near, pick, sample
from galago.drawing.sign_symbols import SYMBOLS, Board, Point, arrow, octagon
from galago.drawing.typeset import fit
from galago.frozen import frozen

COLOURS: dict[str, Colour] = {
    "red": (200, 24, 34), "blue": (20, 84, 176), "yellow": (250, 206, 24), "green": (0, 132, 78),
    "white": (246, 246, 246), "black": (24, 24, 26), "orange": (244, 124, 20),
}  # fmt: skip


@frozen
class Sign:
    """A sign: what it means, its shape, field and rim colours, symbol or text, and the kind of message."""

    name: str
    shape: str
    field: str
    border: str | None = None
    symbol: str = ""
    text: str = ""
    kind: str = "information"
    ink: str = "white"
    slashes: int = 0


def _ban(name: str, symbol: str = "", *, text: str = "", field: str = "white", slashes: int = 1) -> Sign:
    return Sign(name, "circle", field, "red", symbol, text, "prohibition", "black", slashes)


def _order(name: str, symbol: str) -> Sign:
    return Sign(name, "circle", "blue", None, symbol, kind="mandatory")


def _road(name: str, symbol: str) -> Sign:
    return Sign(name, "triangle", "white", "red", symbol, kind="warning", ink="black")


def _hazard(name: str, symbol: str) -> Sign:
    return Sign(name, "triangle", "yellow", "black", symbol, kind="warning", ink="black")


def _info(name: str, field: str, symbol: str = "", text: str = "", shape: str = "square") -> Sign:
    return Sign(name, shape, field, None, symbol, text)


SIGNS: tuple[Sign, ...] = (
    Sign("stop", "octagon", "red", None, text="STOP", kind="prohibition"),
    Sign("yield", "inverted triangle", "white", "red", kind="priority", ink="black"),
    Sign("priority road", "diamond", "yellow", "white", kind="priority"),
    Sign("no entry", "circle", "red", None, "bar", kind="prohibition"),
    _ban("speed limit", text="{}", slashes=0),
    _ban("no parking", field="blue"),
    _ban("no stopping", field="blue", slashes=2),
    _ban("no smoking", "cigarette"),
    _ban("no pedestrians", "walker"),
    _ban("no phones", "telephone"),
    _order("turn left", "left"),
    _order("turn right", "right"),
    _order("straight ahead", "up"),
    _order("footpath", "walker"),
    _road("danger", "exclamation"),
    _road("traffic lights", "lights"),
    _road("crossroads", "crossroads"),
    _road("bumps", "bumps"),
    _road("bend to the left", "bend left"),
    _road("bend to the right", "bend right"),
    _hazard("danger", "exclamation"),
    _hazard("high voltage", "bolt"),
    _hazard("slippery floor", "faller"),
    _hazard("fire hazard", "flame"),
    _hazard("hot surface", "heat"),
    _hazard("radioactive", "trefoil"),
    _hazard("laser", "burst"),
    _info("parking", "blue", text="P"),
    _info("hospital", "blue", text="H"),
    _info("information", "blue", text="i"),
    _info("pedestrian crossing", "blue", "crossing"),
    _info("one way", "blue", "arrow left", shape="rectangle"),
    _info("one way", "blue", "arrow right", shape="rectangle"),
    _info("exit", "green", "runner"),
    _info("first aid", "green", "cross"),
    _info("fire extinguisher", "red", "extinguisher"),
    _info("toilets", "blue", "people"),
)
"""Every sign but those of text alone."""

_SPEED_LIMIT = next(sign for sign in SIGNS if sign.name == "speed limit")
NAMES = tuple(dict.fromkeys(sign.name for sign in SIGNS))
_LIMITS = ("5", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100", "110", "120", "130")
_ARROWS = {"left": "left", "right": "right", "up": "up", "arrow left": "left", "arrow right": "right"}

_TEXTS = (
    "NO SMOKING", "EXIT", "STAFF ONLY", "WET FLOOR", "PUSH", "PULL", "OPEN", "CLOSED", "KEEP OUT", "PRIVATE",
    "NO PARKING", "DANGER", "FIRE EXIT", "CAUTION", "DO NOT ENTER", "NO DOGS", "WAY OUT", "ENTRANCE",
    "HIGH VOLTAGE", "NO ENTRY", "TOILETS", "RECEPTION", "PLATFORM", "TICKETS", "LIFT", "STAIRS", "SLOW",
    "BEWARE OF DOG", "NO SWIMMING", "QUIET PLEASE", "OUT OF ORDER", "PLEASE RING", "RESERVED", "VISITORS",
    "TAXI", "BUS STOP", "DETOUR", "ROAD CLOSED", "FIRST AID", "CASH ONLY", "FOR SALE", "TO LET", "MEETING",
)  # fmt: skip

PHRASES: Phrases = {
    "meaning": (
        "What does the sign mean?", "What does this sign mean?", "What is the meaning of the sign?",
        "Which sign is this?", "What sign is shown?", "What is the sign for?", "What does the sign tell you?",
        "Name the sign.", "What kind of sign is it?", "What is this sign called?",
    ),
    "is": (
        "Does the sign mean {name}?", "Is it a sign for {name}?", "Is the meaning {name}?",
        'Does this sign mean "{name}"?', "Is this the sign for {name}?", "Does it stand for {name}?",
        "Is the sign about {name}?", 'Is "{name}" what the sign means?',
    ),
    "shape": (
        "What shape is the sign?", "What is the shape of the sign?", "Which shape does the sign have?",
        "What form does the sign have?", "Shape of the sign?", "What is the outline of the sign?",
        "Name the shape of the sign.", "What geometric shape is the sign?",
    ),
    "field": (
        "What is the background colour of the sign?", "Which background colour does the sign have?",
        "What colour is the background of the sign?", "What colour is the inside of the sign?",
        "What is the colour of the sign's background?", "Background colour of the sign?",
        "What colour is the sign's background?", "Name the background colour of the sign.",
    ),
    "border": (
        "What colour is the border of the sign?", "Which colour does the border have?",
        "What is the colour of the rim?", "What colour is the edge of the sign?", "Border colour?",
        "What is the border colour of the sign?", "What colour is the rim of the sign?",
        "Name the colour of the border.",
    ),
    "text": (
        "What does the sign say?", "What is written on the sign?", "Read the sign.",
        "What text is on the sign?", "Which words are on the sign?", "What is printed on the sign?",
        "Read the text on the sign.", "What can be read on the sign?", "Give the text of the sign.",
    ),
    "limit": (
        "What is the speed limit?", "How fast may one drive?", "What speed is allowed?",
        "What is the top speed allowed?", "Which speed limit is shown?", "What is the maximum speed?",
        "How fast can you go here?", "Read the speed limit.",
    ),
    "arrow": (
        "Where does the arrow point?", "Which way does the arrow point?", "In which direction is the arrow?",
        "What direction does the arrow show?", "To which side does the arrow point?",
        "Which direction does the arrow show?", "What is the direction of the arrow?",
        "Where is the arrow pointing?",
    ),
    "warning": (
        "Is it a warning sign?", "Does the sign warn of something?", "Is this a warning sign?",
        "Is the sign a warning?", "Does it warn you?", "Is this sign a warning?", "Is a danger signed here?",
        "Does the sign give a warning?",
    ),
}  # fmt: skip
"""Every question about a sign in its wordings."""

_SIZES = ((6, 6), (6, 8), (7, 7), (7, 10), (8, 9))


def paint_sign(rng: np.random.Generator, setting: Setting) -> Drawing:
    """One sign in front of a wall or the sky."""
    sheet = Sheet(rng, setting, _wall(rng))
    ask = Asker(rng, PHRASES, "sign")
    if chance(rng, 0.3):
        return _text_sign(sheet, ask)
    sign = _SPEED_LIMIT if chance(rng, 0.1) else pick(rng, SIGNS)
    if sign.name == "speed limit":
        number = pick(rng, _LIMITS)
        sign = replace(sign, name=f"speed limit {number}", text=number)
    _draw_sign(sheet, sign)
    questions = _about(ask, sign)
    return sheet.finish([questions[0], *sample(rng, questions[1:], 3)], degrees=5.0)


def _wall(rng: np.random.Generator) -> Colour:
    if chance(rng, 0.5):
        return near(rng, pick(rng, ((170, 198, 224), (196, 200, 204), (120, 130, 110), (150, 140, 128))), 24)
    return any_colour(rng)


def _draw_sign(sheet: Sheet, sign: Sign) -> None:
    """The sign at a random place, on a post if there is room. Held out: broader rims and smaller symbols."""
    rng, setting = sheet.rng, sheet.setting
    held_out = setting.split is Split.HELD_OUT
    across = setting.width if sign.shape != "rectangle" else setting.width * 0.9
    most = min(setting.height, across) - 6
    size = int(most * rng.uniform(setting.between(0.85, 0.62), 1))
    x = int(rng.integers(0, setting.width - size + 1))
    y = int(rng.integers(0, setting.height - size + 1))
    if chance(rng, 0.5):
        grey = near(rng, (150, 152, 156), 20)
        middle = x + size // 2
        sheet.pen.rectangle(
            (middle - size // 28 - 1, y + size // 2, middle + size // 28 + 1, setting.height), grey
        )
    board = Board(size)
    colours = {name: near(rng, colour, 14) for name, colour in COLOURS.items()}
    rim = float(rng.uniform(0.19, 0.23) if held_out else rng.uniform(0.12, 0.17))
    _draw_outline(board, sign, colours, rim)
    board.put(sheet.image, (x, y))
    if sign.symbol:
        scale, lift = _symbol_place(sign)
        symbol = Board(max(8, round(size * scale * (0.88 if held_out else 1.0))))
        SYMBOLS[sign.symbol](symbol, colours["blue" if sign.symbol == "crossing" else sign.ink])
        corner = (size - symbol.size) // 2
        symbol.put(sheet.image, (x + corner, y + corner + round(size * lift)))
    if sign.slashes:
        over = Board(size)
        for slant in (1, -1)[: sign.slashes]:
            over.line([(-0.6 * slant, -0.6), (0.6 * slant, 0.6)], 0.13, colours["red"])
        over.put(sheet.image, (x, y))
    if sign.text:
        _write_inside(sheet, sign, (x, y, size), colours[sign.ink])


def _symbol_place(sign: Sign) -> tuple[float, float]:
    """The share of the board that the symbol takes, and how far it is moved down."""
    if sign.shape == "triangle":
        return 0.47, 0.13
    return {"circle": (0.62, 0.0), "rectangle": (0.72, 0.0), "square": (0.74, 0.0)}.get(
        sign.shape, (0.6, 0.0)
    )


def _draw_outline(board: Board, sign: Sign, colours: dict[str, Colour], rim: float) -> None:
    """The sign's surface: the rim, and the field inside it."""
    field = colours[sign.field]
    outer, inner = colours[sign.border or "white"], field
    thin = 0.05 if sign.border is None else rim
    if sign.shape == "circle":
        board.disc((0, 0), 0.98, outer)
        board.disc((0, 0), 0.98 - thin, inner)
    elif sign.shape == "octagon":
        board.polygon(octagon(0.98), outer)
        board.polygon(octagon(0.98 - thin), inner)
    elif sign.shape in {"square", "rectangle"}:
        half = 0.45 if sign.shape == "rectangle" else 0.96
        board.box((-0.96, -half, 0.96, half), outer, 0.1)
        board.box((-0.96 + thin, -half + thin, 0.96 - thin, half - thin), inner, 0.08)
    else:
        corners: list[Point] = {
            "triangle": [(0.0, -0.84), (0.97, 0.84), (-0.97, 0.84)],
            "inverted triangle": [(0.0, 0.84), (-0.97, -0.84), (0.97, -0.84)],
            "diamond": [(0.0, -0.98), (0.98, 0.0), (0.0, 0.98), (-0.98, 0.0)],
        }[sign.shape]
        x, y = (sum(axis) / len(corners) for axis in zip(*corners, strict=True))
        share = 1 - thin * (2.0 if sign.shape != "diamond" else 1.4)
        board.polygon(corners, outer)
        board.polygon([(x + (u - x) * share, y + (v - y) * share) for u, v in corners], inner)


def _write_inside(sheet: Sheet, sign: Sign, place: tuple[int, int, int], ink: Colour) -> None:
    x, y, size = place
    face = fonts.choose(sheet.rng, sheet.setting, ("sans",))
    wide, high = {"octagon": (0.74, 0.3), "circle": (0.58, 0.38)}.get(sign.shape, (0.6, 0.6))
    kind = fit(face, sign.text, size * wide, size * high)
    baseline = y + size / 2 + kind.capitals / 2
    sheet.write((x + size / 2, baseline), sign.text, kind, ink, align="centre")


def _about(ask: Asker, sign: Sign) -> list[Question]:
    rng = ask.rng
    vague = {"danger", "speed limit"}  # true in part of other signs
    others = [name for name in NAMES if name != sign.name and name not in vague]
    claimed = sign.name if chance(rng, 0.5) else pick(rng, others)
    number = sign.name.removeprefix("speed limit ") if sign.name.startswith("speed limit") else NONE
    shape = sign.shape.removeprefix("inverted ")
    questions = [
        ask("meaning", sign.name),
        ask("is", "yes" if claimed == sign.name else "no", name=claimed),
        ask("shape", shape),
        ask("field", sign.field),
        ask("text", sign.text or NONE, spelled=True),
        ask("warning", "yes" if sign.kind == "warning" else "no"),
    ]
    if sign.border:
        questions.append(ask("border", sign.border))
    if number != NONE or chance(rng, 0.2):
        questions.insert(1, ask("limit", number, spelled=True))
    if sign.symbol in _ARROWS or (not sign.symbol and chance(rng, 0.3)):
        questions.append(ask("arrow", _ARROWS.get(sign.symbol, NONE)))
    return questions


def _text_sign(sheet: Sheet, ask: Asker) -> Drawing:
    """A board with one to three words, perhaps an arrow. Held out: a double border, words at the left."""
    rng, setting = sheet.rng, sheet.setting
    held_out = setting.split is Split.HELD_OUT
    text = pick(rng, _TEXTS) if chance(rng, 0.55) else _other_text(rng, setting.cols + 3)
    lines = text.split() if len(text) > setting.cols + 2 or (" " in text and chance(rng, 0.4)) else [text]
    field = pick(rng, tuple(COLOURS))
    light = luminance(COLOURS[field]) > 130
    ink = pick(
        rng, ("black", "red", "blue") if light and field == "white" else ("black",) if light else ("white",)
    )
    margin = float(rng.uniform(3, setting.width * setting.between(0.05, 0.08)))
    height = setting.height - 2 * margin
    direction = pick(rng, ("left", "right", "up", "down")) if len(lines) < 3 and chance(rng, 0.25) else ""
    rows = len(lines) + (0.9 if direction else 0)
    tall = min(height, rows * 54 + 20)
    top = margin + (height - tall) * float(rng.random())
    box = (margin, top, setting.width - margin, top + tall)
    colours = {name: near(rng, colour, 14) for name, colour in COLOURS.items()}
    sheet.pen.rounded_rectangle(
        box, int(rng.integers(0, 9)), colours[field], colours[ink], int(rng.integers(1, 4))
    )
    if held_out:
        inner = (box[0] + 5, box[1] + 5, box[2] - 5, box[3] - 5)
        sheet.pen.rectangle(inner, outline=colours[ink], width=1)
    face = fonts.choose(rng, setting, ("sans",))
    pitch = (tall - 16) / rows
    longest = max(lines, key=len)
    kind = fit(face, longest, box[2] - box[0] - 16, pitch * 0.66)
    y = box[1] + 8
    for line in lines:
        size = fit(face, line, box[2] - box[0] - 16, kind.capitals)
        x = box[0] + 8 if held_out else (box[0] + box[2]) / 2
        place = x, y + pitch / 2 + size.capitals / 2
        sheet.write(place, line, size, colours[ink], align="left" if held_out else "centre")
        y += pitch
    if direction:
        board = Board(int(min(pitch * 0.85, 60)))
        arrow(direction)(board, colours[ink])
        board.put(
            sheet.image, (round((box[0] + box[2] - board.size) / 2), round(y + pitch * 0.45 - board.size / 2))
        )
    questions = [
        ask("text", text, spelled=True),
        ask("field", field),
        ask("arrow", direction or NONE),
        ask("limit", NONE),
    ]
    if not 0.75 < tall / (box[2] - box[0]) < 1.3:
        questions.append(ask("shape", "rectangle"))
    return sheet.finish([questions[0], *sample(rng, questions[1:], 2)], degrees=5.0)


def _other_text(rng: np.random.Generator, most: int) -> str:
    """One or two words, of at most `most` letters each, that stand on no well-known sign."""
    count = 1 if chance(rng, 0.6) else 2
    made = [(words.word(rng) if chance(rng, 0.7) else words.invented_word(rng))[:most] for _ in range(count)]
    return " ".join(made).upper()


RECIPES = (Recipe("sign", 23, _SIZES, paint_sign),)
"""What this module draws; the number is part of every seed."""
