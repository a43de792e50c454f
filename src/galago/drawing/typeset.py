"""Setting a line of type from cached glyphs, without kerning: several times as fast as drawing it anew."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw

from galago.drawing.effects import Colour
from galago.drawing.fonts import Face, capital_height
from galago.drawing.sample import Glyph
from galago.frozen import frozen

_CACHED_TYPES = 2048


@frozen
class _Stamp:
    """A character: its grey mask, the mask's corner as seen from the pen on the baseline, and its advance."""

    mask: Image.Image
    left: int
    top: int
    advance: float


class Type:
    """A face at `size` pixels per em, to set lines with. Fills its own cache of glyphs."""

    def __init__(self, face: Face, size: int) -> None:
        self.size = size
        self.font = face.at(size)
        self.capitals = capital_height(self.font)
        self._stamps: dict[str, _Stamp] = {}

    def width(self, text: str) -> float:
        """The width of the line in pixels."""
        return sum([self._stamp(character).advance for character in text])

    def set_line(
        self, draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, ink: Colour | int
    ) -> list[Glyph]:
        """Writes one line, its baseline starting `at` (x, y) -> its visible ASCII characters."""
        x, baseline = at
        row, middle = round(baseline), baseline - self.capitals / 2
        glyphs: list[Glyph] = []
        for character in text:
            stamp = self._stamp(character)
            if stamp.mask.height:
                draw.bitmap((round(x) + stamp.left, row + stamp.top), stamp.mask, ink)
                if character.isascii():
                    glyphs.append(Glyph(character, x + stamp.advance / 2, middle))
            x += stamp.advance
        return glyphs

    def _stamp(self, character: str) -> _Stamp:
        stamp = self._stamps.get(character)
        if stamp is None:
            core, (left, top) = self.font.getmask2(character, "L", anchor="ls")
            mask = Image.new("L", core.size)
            mask.im.paste(core, (0, 0, *core.size))
            advance = float(self.font.getlength(character))
            stamp = self._stamps[character] = _Stamp(mask, left, top, advance)
        return stamp


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
