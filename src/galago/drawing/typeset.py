"""Setting a line of type from cached glyphs, without kerning: several times as fast as drawing it anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from galago.drawing.effects import Colour
from galago.drawing.fonts import Face, capital_height
from galago.drawing.sample import Glyph, Pixels

_CACHED_TYPES = 2048


@dataclass(frozen=True)
class _Stamp:
    """A character: coverage [h, w], its corner as seen from the pen on the baseline, and its advance."""

    mask: Pixels
    left: int
    top: int
    advance: float


class Type:
    """A face at `size` pixels per em, to set lines with. Fills its own cache of glyphs."""

    def __init__(self, face: Face, size: int) -> None:
        self.face = face
        self.size = size
        self.capitals = capital_height(face.at(size))
        self._stamps: dict[str, _Stamp] = {}

    def width(self, text: str) -> float:
        """The width of the line in pixels."""
        return sum([self._stamp(character).advance for character in text])

    def set_line(
        self, image: Image.Image, at: tuple[float, float], text: str, ink: Colour | int
    ) -> list[Glyph]:
        """Writes one line, its baseline starting `at` (x, y) -> its visible ASCII characters."""
        pen, baseline = at
        middle = baseline - self.capitals / 2
        glyphs: list[Glyph] = []
        placed: list[tuple[int, _Stamp]] = []
        for character in text:
            stamp = self._stamp(character)
            if stamp.mask.size:
                placed.append((round(pen) + stamp.left, stamp))
                if character.isascii():
                    glyphs.append(Glyph(character, pen + stamp.advance / 2, middle))
            pen += stamp.advance
        if placed:
            left, top, line = _joined(placed)
            image.paste(ink, (left, round(baseline) + top), Image.fromarray(line))
        return glyphs

    def _stamp(self, character: str) -> _Stamp:
        stamp = self._stamps.get(character)
        if stamp is None:
            stamp = self._stamps[character] = self._cut(character)
        return stamp

    def _cut(self, character: str) -> _Stamp:
        font = self.face.at(self.size)
        left, top, right, bottom = (int(edge) for edge in font.getbbox(character, anchor="ls"))
        mask = Image.new("L", (max(0, right - left), max(0, bottom - top)))
        if mask.width and mask.height:
            core, (x, y) = font.getmask2(character, "L", anchor="ls")
            mask.im.paste(core, (x - left, y - top, x - left + core.size[0], y - top + core.size[1]))
        return _Stamp(np.array(mask), left, top, float(font.getlength(character)))


def _joined(placed: list[tuple[int, _Stamp]]) -> tuple[int, int, Pixels]:
    """The stamps in one mask -> its left edge, its top seen from the baseline, and its coverage."""
    left = min([x for x, _ in placed])
    right = max([x + stamp.mask.shape[1] for x, stamp in placed])
    top = min([stamp.top for _, stamp in placed])
    bottom = max([stamp.top + stamp.mask.shape[0] for _, stamp in placed])
    line = np.zeros((bottom - top, right - left), np.uint8)
    for x, stamp in placed:
        height, width = stamp.mask.shape
        part = line[stamp.top - top : stamp.top - top + height, x - left : x - left + width]
        np.maximum(part, stamp.mask, out=part)
    return left, top, line


def type_of(face: Face, capitals: float) -> Type:
    """The face at the size at which an H is `capitals` pixels high, or nearly so."""
    return _type(face, int(face.with_capitals(capitals).size))


def fit(face: Face, text: str, width: float, capitals: float) -> Type:
    """The face with capitals of `capitals` pixels, or smaller if `text` would be wider than `width`."""
    kind = type_of(face, capitals)
    while kind.size > 6 and kind.width(text) > width:
        kind = _type(face, min(kind.size - 1, int(kind.size * width / kind.width(text)) + 1))
    return kind


@lru_cache(maxsize=_CACHED_TYPES)
def _type(face: Face, size: int) -> Type:
    return Type(face, size)
