"""The bodies of digital displays: casing, bezel, glass, digits, caption and unit. Asks nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import ImageChops, ImageFilter

from galago.drawing import effects, fonts
from galago.drawing.display_texts import Reading
from galago.drawing.effects import Colour
from galago.drawing.sample import Setting, Split
from galago.drawing.segments import SegmentStyle, draw_segments, segments_width
from galago.drawing.sheet import Sheet, blend, chance, near, pick
from galago.drawing.typeset import fit, type_of
from galago.frozen import frozen

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

_CASINGS: tuple[Colour, ...] = (
    (40, 42, 46), (70, 74, 80), (120, 124, 128), (205, 205, 200), (226, 220, 204), (92, 70, 58), (60, 82, 98),
)  # fmt: skip

_ROOM_FOR_CAPTION = 72
_TALLEST_WINDOW = 0.62


@frozen
class Look:
    """Colours and make of a device: `ink` and `glass` inside its windows, `printed` on its casing.

    `unit_place` is "beside", "beside_top" (on the casing), "inside", "inside_top" (in the window) or "strip",
    in the line of the caption. `caption_place` is "above" or "below" the window, or "over" or "under" the
    digits in it, and `caption_align` where in that line it stands while it is alone there.
    """

    ink: Colour
    glass: Colour
    casing: Colour
    printed: Colour
    segments: SegmentStyle
    face: fonts.Face
    unit_place: str
    caption_place: str
    caption_align: str
    double_bezel: bool
    glows: bool

    @property
    def caption_first(self) -> bool:
        """Whether the caption is read before the digits."""
        return self.caption_place in ("above", "over")

    @property
    def caption_in_glass(self) -> bool:
        """Whether the line of the caption lies inside the window."""
        return self.caption_place in ("over", "under")


def look(rng: np.random.Generator, setting: Setting, ink: Colour, glass: Colour, *, glows: bool) -> Look:
    """A device of the setting's split. Held out: steep, thin or thick segments, captions below the window."""
    casing = near(rng, pick(rng, _CASINGS), 14)
    held_out = setting.split is Split.HELD_OUT
    return Look(
        ink=ink,
        glass=glass,
        casing=casing,
        printed=effects.contrasting(rng, casing),
        segments=_segment_style(rng, setting, 0.13 if glows else 0.09),
        face=fonts.choose(rng, setting, ("sans", "mono")),
        unit_place=pick(
            rng, ("strip", "inside_top") if held_out else ("beside", "inside", "beside_top", "strip")
        ),
        caption_place="below" if held_out else pick(rng, ("above", "above", "over", "under")),
        caption_align="left" if held_out else pick(rng, ("left", "left", "centre", "right")),
        double_bezel=held_out,
        glows=glows,
    )


def _segment_style(rng: np.random.Generator, setting: Setting, most_ghost: float) -> SegmentStyle:
    style = SegmentStyle(
        width=float(rng.uniform(0.46, 0.6)),
        thickness=float(rng.uniform(0.1, 0.15)),
        gap=float(rng.uniform(0.008, 0.03)),
        slant=float(rng.uniform(0.02, 0.12)) if chance(rng, 0.6) else 0.0,
        pitch=float(rng.uniform(1.28, 1.5)),
        pointed=chance(rng, 0.6),
        round_points=chance(rng, 0.5),
        ghost=float(rng.uniform(0, most_ghost)) * setting.between(0.3, 1),
    )
    if setting.split is Split.TRAIN:
        return _widen(rng, style)
    if chance(rng, 0.5):
        return replace(style, slant=float(rng.uniform(0.14, 0.19)))
    return replace(style, thickness=pick(rng, (0.085, 0.16)))


def _widen(rng: np.random.Generator, style: SegmentStyle) -> SegmentStyle:
    """Often a make beyond the common ones, on either side of those that are held out but never like them."""
    if chance(rng, 0.3):
        low, high = pick(rng, ((-0.12, -0.02), (0.205, 0.27)))
        style = replace(style, slant=float(rng.uniform(low, high)))
    if chance(rng, 0.3):
        low, high = pick(rng, ((0.06, 0.078), (0.168, 0.2)))
        style = replace(style, thickness=float(rng.uniform(low, high)))
    if chance(rng, 0.3):
        style = replace(style, width=float(rng.uniform(0.38, 0.68)), pitch=float(rng.uniform(1.2, 1.7)))
    return style


def draw_panel(sheet: Sheet, box: Rectangle, look: Look, item: Reading) -> Reading:
    """Draws one display into `box` -> what is really there: a caption that finds no room is left out."""
    left, top, right, bottom = box
    margin = min(9.0, (bottom - top) * 0.1)
    capitals = min(18.0, max(12.0, (bottom - top) * 0.16))
    tall = bottom - top >= _ROOM_FOR_CAPTION
    place = look.unit_place if item.unit else ""
    if not tall:
        item = replace(item, caption="")
        place = "inside_top" if place == "strip" else place
    lined = bool(item.caption) or place == "strip"
    in_glass = lined and look.caption_in_glass
    if in_glass:
        place = "strip" if place.startswith("beside") else place
        left, top, right, bottom = left + margin, top + margin, right - margin, bottom - margin
        draw_window(sheet, (left, top, right, bottom), look)
    strip: tuple[float, float, float] | None = None
    if lined:
        depth, first = capitals + 1.5 * margin, look.caption_first
        strip = (left + margin, top + depth - margin / 2 if first else bottom - margin, right - margin)
        top, bottom = (top + depth, bottom) if first else (top, bottom - depth)
    spare = (bottom - top) - _TALLEST_WINDOW * (right - left)
    if spare > 0:
        top, bottom = top + spare / 2, bottom - spare / 2
    font = type_of(look.face, capitals)
    aside = font.width(item.drawn_unit) + margin if place.startswith(("beside", "inside")) else 0.0
    edge = 0.0 if in_glass else margin
    window = (
        left + edge,
        top + edge,
        right - edge - (aside if place.startswith("beside") else 0),
        bottom - edge,
    )
    if strip and look.caption_first:
        _write_strip(sheet, look, item, strip, capitals, with_unit=place == "strip")
    if not in_glass:
        draw_window(sheet, window, look)
    room = window[2] - (aside if place.startswith("inside") else 0)
    above, below = _draw_digits(sheet, (*window[:2], room, window[3]), look, item)
    baseline = above + capitals if place.endswith("top") else below
    if place.startswith("beside"):
        sheet.write((window[2] + margin, baseline), item.drawn_unit, font, look.printed)
    elif place.startswith("inside"):
        sheet.write((window[2] - margin / 2, baseline), item.drawn_unit, font, look.ink, align="right")
    if strip and not look.caption_first:
        _write_strip(sheet, look, item, strip, capitals, with_unit=place == "strip")
    return item


def draw_window(sheet: Sheet, window: Rectangle, look: Look) -> None:
    """The glass with a bezel around it."""
    rng = sheet.rng
    left, top, right, bottom = window
    dark = effects.luminance(look.casing) < 90
    rim = blend(look.casing, (255, 255, 255), 0.35) if dark else blend(look.casing, (0, 0, 0), 0.55)
    if look.double_bezel:
        sheet.pen.rounded_rectangle((left - 4, top - 4, right + 4, bottom + 4), 9, rim)
        sheet.pen.rounded_rectangle((left - 2, top - 2, right + 2, bottom + 2), 7, look.casing)
        sheet.pen.rounded_rectangle(window, 5, look.glass)
    elif chance(rng, 0.5):
        sheet.pen.rectangle(window, look.glass, rim, int(rng.integers(1, 4)))
    else:
        sheet.pen.rounded_rectangle(window, int(rng.integers(2, 7)), look.glass, rim, int(rng.integers(1, 3)))


def _write_strip(
    sheet: Sheet,
    look: Look,
    item: Reading,
    strip: tuple[float, float, float],
    capitals: float,
    *,
    with_unit: bool,
) -> None:
    """The line of the caption (left, baseline, right), and perhaps with the unit on the right."""
    left, baseline, right = strip
    ink = look.ink if look.caption_in_glass else look.printed
    font = type_of(look.face, capitals)
    room = right - left - (font.width(item.drawn_unit) + 10 if with_unit else 0)
    if item.caption:
        caption = fit(look.face, item.caption, room, capitals)
        align = "left" if with_unit else look.caption_align
        x = {"left": left, "centre": (left + right) / 2, "right": right}[align]
        sheet.write((x, baseline), item.caption, caption, ink, align=align)
    if with_unit:
        sheet.write((right, baseline), item.drawn_unit, font, ink, align="right")


def _draw_digits(sheet: Sheet, window: Rectangle, look: Look, item: Reading) -> tuple[float, float]:
    """The digits, as large as the window and the difficulty allow -> their top and bottom."""
    rng = sheet.rng
    left, top, right, bottom = window
    room, depth = right - left - 12, bottom - top - 9
    largest = min(depth, room / segments_width(item.shown, 1.0, look.segments))
    height = max(largest * float(rng.uniform(sheet.setting.between(0.9, 0.7), 1)), min(18.0, largest))
    mask, placed = draw_segments(item.shown, height, look.segments)
    x = left + 6 + max(0.0, room - mask.width) * pick(rng, (0.5, 1.0, float(rng.random())))
    y = top + 4 + (depth - height) * float(rng.uniform(0.3, 0.7))
    if look.glows and chance(rng, 0.35):
        mask = ImageChops.lighter(mask, mask.filter(ImageFilter.BoxBlur(2)).point(_HALF))
    sheet.stamp((x, y), mask, placed, look.ink)
    return y, y + height


_HALF = [level // 2 for level in range(256)]
