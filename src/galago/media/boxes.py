"""Boxes with their labels drawn on a copy of the picture, readable at any size and on any background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import UsageError
from galago.frozen import frozen
from galago.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

# Distinct for any colour vision (after Okabe and Ito), the strongest first.
_COLOURS = (
    (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
    (240, 228, 66),
)  # fmt: skip
_SMALLEST = 480  # a picture whose longer side is shorter is enlarged, so that a label has room
_WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf")
_Place = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the drawing
_Colour = tuple[int, int, int]


@frozen
class _Pen:
    """Sizes that fit the picture: `unit` is the width of a thin line."""

    draw: ImageDraw
    font: Any
    unit: int

    def label_size(self, text: str) -> tuple[int, int]:
        """(width, height) of a label, its margins included."""
        ascent, descent = self.font.getmetrics()
        return math.ceil(
            self.draw.textlength(text, font=self.font)
        ) + 4 * self.unit, ascent + descent + self.unit


def draw_boxes(pixels: NDArray[np.uint8], boxes: Sequence[Box]) -> Image:
    """A copy of `pixels` [H, W, 3] with `boxes` and their labels; boxes of one label have one colour.

    A small picture is enlarged by a whole factor, and one that is too low or too narrow for a label gets
    white space beside it, so the copy may be larger than the picture. Raises UsageError when a coordinate is
    no finite number.
    """
    from PIL import Image, ImageDraw

    for box in boxes:
        if not all(map(math.isfinite, (box.x0, box.y0, box.x1, box.y1))):
            raise UsageError(f"{box} cannot be drawn", hint="coordinates must be finite")
    image = Image.fromarray(pixels)
    scale = -(-_SMALLEST // max(image.size)) if boxes else 1
    size = (image.width * scale, image.height * scale)
    image = image.resize(size, Image.Resampling.NEAREST)
    labels = [" ".join(box.label.split()) for box in boxes]
    unit = max(1, round(max(size) / 600))
    font = _font(8 + 7 * unit, "".join(labels))
    image = _with_room(
        image, [_Pen(ImageDraw.Draw(image), font, unit).label_size(text) for text in labels if text]
    )
    pen = _Pen(ImageDraw.Draw(image), font, unit)
    colours = {label: _COLOURS[n % len(_COLOURS)] for n, label in enumerate(dict.fromkeys(labels))}
    frames = [_frame(box, scale, size) for box in boxes]
    for frame, label in zip(frames, labels, strict=True):
        _draw_frame(pen, frame, colours[label])
    taken: list[_Place] = []
    for frame, label in zip(frames, labels, strict=True):
        if label:
            text = _fitting(pen, label, image.width)
            taken.append(_free_place(frame, pen.label_size(text), image.size, taken))
            _draw_label(pen, taken[-1], text, colours[label])
    return image


def _with_room(image: Image, label_sizes: Sequence[tuple[int, int]]) -> Image:
    """The image, with white space to the right and below where a label would not fit."""
    from PIL.Image import new

    if not label_sizes:
        return image
    height = label_sizes[0][1]
    widest = min(max(width for width, _ in label_sizes), 16 * height)
    room = (
        max(image.width, widest),
        image.height if image.height >= 2 * height else image.height + 2 * height,
    )
    if room == image.size:
        return image
    larger = new("RGB", room, "white")
    larger.paste(image)
    return larger


def _frame(box: Box, scale: int, size: tuple[int, int]) -> _Place:
    """The first and last pixels of the box, inside the picture, at least one."""
    xs = sorted(min(max(round(x * scale), 0), size[0]) for x in (box.x0, box.x1))
    ys = sorted(min(max(round(y * scale), 0), size[1]) for y in (box.y0, box.y1))
    x0, y0 = min(xs[0], size[0] - 1), min(ys[0], size[1] - 1)
    return x0, y0, max(xs[1] - 1, x0), max(ys[1] - 1, y0)


def _draw_frame(pen: _Pen, frame: _Place, colour: _Colour) -> None:
    """Lines of the colour between thin ones of black or white: one of them shows on any ground."""
    x0, y0, x1, y1 = frame
    width = 1 + pen.unit
    for inset, line, ink in ((-1, 1, _contrast(colour)), (width, 1, _contrast(colour)), (0, width, colour)):
        inner = (x0 + inset, y0 + inset, x1 - inset, y1 - inset)
        if inner[0] <= inner[2] and inner[1] <= inner[3]:
            pen.draw.rectangle(inner, outline=ink, width=line)


def _free_place(
    frame: _Place, label: tuple[int, int], size: tuple[int, int], taken: Sequence[_Place]
) -> _Place:
    """Where the label goes: above the box, below, inside at the top, inside at the bottom, further down.

    The first of these that lies in the drawing and on no other label; where there is none, inside at the top.
    """
    x0, y0, x1, y1 = frame
    width, height = label
    lowest = size[1] - height
    lefts = [max(0, min(left, size[0] - width)) for left in (x0, x1 + 1 - width)]
    tops = [y0 - height, y1 + 1, y0, y1 + 1 - height, *range(y1 + 1, lowest + 1, height)]
    for top in tops:
        for left in lefts:
            place = (left, top, left + width, top + height)
            if 0 <= top <= lowest and not any(_overlap(place, other) for other in taken):
                return place
    top = max(0, min(y0, lowest))
    return lefts[0], top, lefts[0] + width, top + height


def _draw_label(pen: _Pen, place: _Place, text: str, colour: _Colour) -> None:
    x0, y0, x1, y1 = place
    pen.draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=colour)
    middle = (x0 + 2 * pen.unit, (y0 + y1) / 2)
    pen.draw.text(middle, text, fill=_contrast(colour), font=pen.font, anchor="lm")


def _fitting(pen: _Pen, text: str, width: int) -> str:
    """The label, cut where it is wider than the drawing."""
    if pen.label_size(text)[0] <= width:
        return text
    fits = [n for n in range(len(text)) if pen.label_size(text[:n] + "…")[0] <= width]
    return text[: fits[-1]] + "…" if fits else "…"


def _overlap(a: _Place, b: _Place) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _contrast(colour: _Colour) -> _Colour:
    """Black or white, whichever is further from the colour in brightness."""
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    return (0, 0, 0) if bright else (255, 255, 255)


def _font(size: int, text: str) -> Any:
    """Pillow's own font; for letters beyond Latin, one of this machine that has more of them."""
    from PIL import ImageFont

    for name in _WIDE_FONTS if any(ord(letter) > 0x24F for letter in text) else ():
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)
