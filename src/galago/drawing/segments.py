"""The glyphs of displays: seven segments and 5x7 dots, as grey masks with the centre of every character.

A mask holds how much of each pixel is lit (0 to 255; unlit parts that still show have a small
value). Colours, bezels and truths are made elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from galago.frozen import frozen

Point = tuple[float, float]

LIT = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd", "6": "afgedc",
    "7": "abc", "8": "abcdefg", "9": "abcdfg", "-": "g", " ": "", "A": "abcefg", "C": "adef", "E": "adefg",
    "F": "aefg", "H": "bcefg", "L": "def", "P": "abefg", "U": "bcdef",
}  # fmt: skip
"""The lit segments of each character: a top, then clockwise b c d e f, g in the middle."""

_SUPERSAMPLING = 3

_ROWS_OF_DOTS = """
A 0E11111F111111 B 1E11111E11111E C 0E11101010110E D 1E11111111111E E 1F10101E10101F F 1F10101E101010
G 0E11101711110F H 1111111F111111 I 0E04040404040E J 0702020202120C K 11121418141211 L 1010101010101F
M 111B1515111111 N 11111915131111 O 0E11111111110E P 1E11111E101010 Q 0E11111115120D R 1E11111E141211
S 0F10100E01011E T 1F040404040404 U 1111111111110E V 11111111110A04 W 1111111515150A X 11110A040A1111
Y 1111110A040404 Z 1F01020408101F 0 0E11131519110E 1 040C040404040E 2 0E11010204081F 3 1F02040201110E
4 02060A121F0202 5 1F101E0101110E 6 0608101E11110E 7 1F010204080808 8 0E11110E11110E 9 0E11110F01020C
a 00000E010F110F b 1010161911111E c 00000E1010110E d 01010D1311110F e 00000E111F100E f 0609081C080808
g 000F11110F010E h 10101619111111 i 04000C0404040E j 0200060202120C k 10101214181412 l 0C04040404040E
m 00001A15151111 n 00001619111111 o 00000E1111110E p 00001E111E1010 q 00000D130F0101 r 00001619101010
s 00000E100E011E t 08081C08080906 u 0000111111130D v 00001111110A04 w 0000111115150A x 0000110A040A11
y 000011110F010E z 00001F0204081F . 00000000000C0C : 000C0C000C0C00 - 0000001F000000 + 0004041F040400
/ 00010204081000 % 18190204081303 = 00001F001F0000 ! 04040404000004 ? 0E110102040004 , 000000000C0408
"""


class Placed(NamedTuple):
    """A character and the centre of its glyph, in pixels of the mask it came with."""

    x: float
    y: float
    character: str


@frozen
class SegmentStyle:
    """The make of a seven-segment display. Lengths are shares of the digit height.

    `slant` is the shift to the right per unit of height; `pitch` is the distance of two digits as a
    multiple of the digit width; `ghost` is how bright an unlit segment is (0 to 1).
    """

    width: float = 0.52
    thickness: float = 0.13
    gap: float = 0.02
    slant: float = 0.0
    pitch: float = 1.35
    pointed: bool = True
    round_points: bool = False
    ghost: float = 0.06


@frozen
class DotStyle:
    """The make of a dot matrix: `dot` is the pitch in pixels, `fill` the share of it that a dot covers."""

    dot: float = 2.0
    fill: float = 0.9
    round_dots: bool = False
    spacing: int = 1
    ghost: float = 0.0


@lru_cache(maxsize=1)
def dot_glyphs() -> dict[str, NDArray[np.bool_]]:
    """Each character's dots [7, 5], True where lit. Shared: do not modify."""
    words = _ROWS_OF_DOTS.split()
    bits = np.array([16, 8, 4, 2, 1], np.uint8)
    glyphs = {
        character: (np.frombuffer(bytes.fromhex(rows), np.uint8)[:, None] & bits) > 0
        for character, rows in zip(words[::2], words[1::2], strict=True)
    }
    glyphs[" "] = np.zeros((7, 5), bool)
    return glyphs


def segments_width(text: str, height: float, style: SegmentStyle) -> float:
    """Width in pixels of `text` at this digit height, the slant included."""
    return _advance(text, height, style)[-1] + height * abs(style.slant)


def draw_segments(text: str, height: float, style: SegmentStyle) -> tuple[Image.Image, list[Placed]]:
    """Text of digits, `-`, `.`, `:`, space and a few letters -> a grey mask and the place of every character.

    A point takes its place in the gap behind the digit before it. KeyError: a character without segments.
    """
    advance = _advance(text, height, style)
    size = (int(np.ceil(segments_width(text, height, style))) + 1, int(np.ceil(height)) + 1)
    scale = _SUPERSAMPLING
    mask = Image.new("L", (size[0] * scale, size[1] * scale))
    pen = ImageDraw.Draw(mask)
    ghost = round(255 * style.ghost)
    outlines = _outlines(style)
    thickness = style.thickness
    lean = height * max(style.slant, 0.0)
    placed = []
    for character, x in zip(text, advance, strict=False):
        if character in ".:":
            rows = (1 - thickness / 2,) if character == "." else (0.3, 0.7)
            centres = [
                (x + height * (thickness * 0.65 - style.slant * row) + lean, height * row) for row in rows
            ]
            for centre in centres:
                _point(pen, centre, height * thickness * 0.58, scale, style)
            placed.append(Placed(centres[0][0], sum(y for _, y in centres) / len(centres), character))
            continue
        lit = LIT[character]
        for name, outline in outlines.items():
            level = 255 if name in lit else ghost
            if level:
                pen.polygon(
                    [((x + lean + height * u) * scale, height * v * scale) for u, v in outline], fill=level
                )
        if character != " ":
            middle = height * (style.width / 2 - style.slant / 2)
            placed.append(Placed(x + lean + middle, height / 2, character))
    return mask.reduce(scale), placed


def draw_dots(text: str, style: DotStyle) -> tuple[Image.Image, list[Placed]]:
    """Text of `dot_glyphs` characters -> a grey mask [7 dots high] and the place of every visible character.

    KeyError: a character without dots.
    """
    glyphs = dot_glyphs()
    columns = 5 + style.spacing
    lit = np.zeros((7, columns * len(text)), np.float32)
    for index, character in enumerate(text):
        lit[:, index * columns : index * columns + 5] = glyphs[character]
    background = np.zeros_like(lit)
    for index in range(len(text)):
        background[:, index * columns : index * columns + 5] = style.ghost
    lit = np.maximum(lit, background)[:, : columns * len(text) - style.spacing]
    grain = _dot_grain(style)
    fine = np.kron(lit, grain).astype(np.float32)
    size = (round(lit.shape[1] * style.dot), round(7 * style.dot))
    mask = Image.fromarray((fine * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    placed = [
        Placed((index * columns + 2.5) * style.dot, 3.5 * style.dot, character)
        for index, character in enumerate(text)
        if character != " "
    ]
    return mask, placed


def _advance(text: str, height: float, style: SegmentStyle) -> list[float]:
    """Left edge of each character, and the right edge of all, in pixels without the slant."""
    x, edges = 0.0, []
    pitch = height * style.width * style.pitch
    rest = pitch - height * style.width
    for character in text:
        if character == ".":
            edges.append(x - rest + height * 0.06)
            x = max(x, edges[-1] + height * (style.thickness * 1.3 + 0.07))
        elif character == ":":
            edges.append(x)
            x += height * style.thickness * 1.3 + rest
        else:
            edges.append(x)
            x += pitch
    return [*edges, max(x - rest, edges[-1] + height * style.thickness * 1.3)]


def _outlines(style: SegmentStyle) -> dict[str, list[Point]]:
    """The corners of each segment of a digit of height 1, its foot to the left of its head by the slant."""
    half, width, gap = style.thickness / 2, style.width, style.gap
    tip = half if style.pointed else 0.0
    inset = half + gap + (0.0 if style.pointed else half)
    left, right, top, middle, bottom = half, width - half, half, 0.5, 1 - half

    def across(y: float) -> list[Point]:
        x0, x1 = half + inset - half, width - inset
        return [
            (x0, y), (x0 + tip, y - half), (x1 - tip, y - half), (x1, y), (x1 - tip, y + half),
            (x0 + tip, y + half),
        ]  # fmt: skip

    def down(x: float, y0: float, y1: float) -> list[Point]:
        y0, y1 = y0 + gap, y1 - gap
        if not style.pointed:
            return [
                (x - half, y0 - half),
                (x + half, y0 - half),
                (x + half, y1 + half),
                (x - half, y1 + half),
            ]
        return [
            (x, y0), (x + half, y0 + tip), (x + half, y1 - tip), (x, y1), (x - half, y1 - tip),
            (x - half, y0 + tip),
        ]  # fmt: skip

    raw = {
        "a": across(top), "g": across(middle), "d": across(bottom), "f": down(left, top, middle),
        "b": down(right, top, middle), "e": down(left, middle, bottom), "c": down(right, middle, bottom),
    }  # fmt: skip
    return {name: [(x - style.slant * y, y) for x, y in outline] for name, outline in raw.items()}


def _point(pen: ImageDraw.ImageDraw, centre: Point, radius: float, scale: int, style: SegmentStyle) -> None:
    x, y = centre
    box = [(x - radius) * scale, (y - radius) * scale, (x + radius) * scale, (y + radius) * scale]
    if style.round_points:
        pen.ellipse(box, fill=255)
    else:
        pen.rectangle(box, fill=255)


@lru_cache(maxsize=64)
def _dot_grain(style: DotStyle) -> NDArray[np.float32]:
    """One dot of full brightness at a fine resolution."""
    fine = 8
    offsets = (np.arange(fine, dtype=np.float32) + 0.5) / fine - 0.5
    if style.round_dots:
        inside = np.hypot(offsets[:, None], offsets[None]) <= style.fill / 2
    else:
        inside = np.maximum(abs(offsets[:, None]), abs(offsets[None])) <= style.fill / 2
    return inside.astype(np.float32)
