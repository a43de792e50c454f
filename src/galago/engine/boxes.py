"""Boxes from an answer: parsed as the family writes them, kept inside the picture, each once."""

from __future__ import annotations

from galago.engine.features import EncodedImage
from galago.engine.sight import Sight
from galago.models import Boxes
from galago.types import Box


def boxes_in(text: str, image: EncodedImage | Sight, convention: Boxes) -> tuple[Box, ...]:
    """The boxes of an answer in pixels of the original picture, in the order of the text.

    Corners are put in order and clipped to the picture; a box without an area or a repeated one is left out.
    """
    height, width = image.original
    found: dict[Box, None] = {}
    for box in convention.parse(text, image.resized, image.original):
        x0, x1 = sorted((_clip(box.x0, width), _clip(box.x1, width)))
        y0, y1 = sorted((_clip(box.y0, height), _clip(box.y1, height)))
        if x0 < x1 and y0 < y1:
            found[Box(x0, y0, x1, y1, box.label)] = None
    return tuple(found)


def _clip(value: float, most: int) -> float:
    return min(max(float(value), 0.0), float(most))
