"""Printed matter made of rows: how they are set on a sheet, and what is read from them, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from galago.drawing import effects, fonts
from galago.drawing.effects import Colour
from galago.drawing.fonts import Face
from galago.drawing.sample import Setting
from galago.drawing.sheet import Sheet, blend, chance, near
from galago.drawing.typeset import Type, type_of
from galago.frozen import frozen

SMALLEST_CAPITALS = 12.5
"""Pixels from the baseline to the top of a capital in the smallest print of a document."""

_GAP = 0.8
_RULE = 0.45
_TRIAL_CAPITALS = 13.0


@frozen
class Row:
    """One row: its pieces of text from left to right, or none for a drawn line (a rule).

    `align` is "left", "centre" or "right", "ends" for two pieces at the two margins, and "labels" or
    "columns" for pieces that stand in line with those of the other rows so aligned. `strong` sets it in the
    second face; `scale` multiplies the size. `mark` is what is drawn for the last piece of two: a "box"
    around it (only with "ends"), a "line" to write on under it, or a "bar" before it.
    """

    pieces: tuple[str, ...] = ()
    align: str = "left"
    strong: bool = False
    scale: float = 1.0
    mark: str = ""

    @property
    def text(self) -> str:
        """What is read in this row, its pieces parted by one space."""
        return " ".join(piece for piece in self.pieces if piece)


@frozen
class Print:
    """Faces, ink and size of a block of rows: `capitals` is the height of an H in pixels at scale 1."""

    face: Face
    strong: Face
    ink: Colour
    capitals: float
    dashed: bool = False


def transcript(rows: Sequence[Row]) -> str:
    """All text of the rows, a line for each row that has text."""
    return "\n".join(lines_of(rows))


def lines_of(rows: Sequence[Row]) -> list[str]:
    """The text of each row that has text."""
    return [row.text for row in rows if row.pieces]


def capacity(setting: Setting, capitals: float, margin: float) -> tuple[int, int]:
    """(rows, characters of a row) that fit at this height of capitals, `margin` pixels left on each side."""
    rows = int((setting.height - 2 * margin) / (capitals * 1.55))
    return rows, int((setting.width - 2 * margin) / (capitals * 0.8))


def choose_print(
    rng: np.random.Generator, setting: Setting, rows: Sequence[Row], width: float, capitals: float
) -> Print:
    """Faces in which every row fits into `width`, with capitals as near to `capitals` as that allows.

    Of a few faces tried, the first that keeps `SMALLEST_CAPITALS`, or else the most compact.
    """
    best: Print | None = None
    for _ in range(4):
        face = fonts.choose(rng, setting, ("sans", "mono", "serif") if best is None else ("sans",))
        strong = fonts.choose(rng, setting, ("sans", "serif")) if chance(rng, 0.3) else face
        fitting = min(capitals, _fitting(rows, face, strong, width))
        if best is None or fitting > best.capitals:
            ink = near(rng, (28, 28, 34), 24)
            best = Print(face, strong, ink, fitting, dashed=chance(rng, 0.5))
        if best.capitals >= SMALLEST_CAPITALS:
            break
    assert best is not None
    return best


def set_rows(
    sheet: Sheet, box: tuple[float, float, float, float], rows: Sequence[Row], style: Print
) -> list[float]:
    """Writes the rows evenly into `box` (left, top, right, bottom) -> the baseline of each row."""
    left, top, right, bottom = box
    weights = [row.scale if row.pieces else _RULE for row in rows]
    pitch = min((bottom - top) / sum(weights), style.capitals * 2.1)
    y = top + (bottom - top - pitch * sum(weights)) * float(sheet.rng.uniform(0.1, 0.6))
    columns = {align: _columns(rows, align, style, right - left) for align in ("labels", "columns")}
    baselines = []
    for row, weight in zip(rows, weights, strict=True):
        middle = y + pitch * weight / 2
        baselines.append(middle + style.capitals * row.scale / 2)
        if row.pieces:
            _set_row(sheet, (left, right, baselines[-1]), row, style, columns)
        else:
            _draw_rule(sheet, (left, right), middle, style)
        y += pitch * weight
    return baselines


def lay_paper(sheet: Sheet, margin: float) -> tuple[float, float, float, float]:
    """Puts a sheet of paper on the desk, `margin` pixels from the edges -> where print may stand on it."""
    left, top = margin, margin
    right, bottom = sheet.setting.width - margin, sheet.setting.height - margin
    colour = effects.paper(sheet.rng)
    if margin >= 3:
        shadow = blend(sheet.base, (0, 0, 0), 0.35)
        sheet.pen.rectangle((left + 2, top + 2, right + 2, bottom + 2), shadow)
    sheet.pen.rectangle((left, top, right, bottom), colour)
    return left + 6, top + 5, right - 6, bottom - 5


def _fitting(rows: Sequence[Row], face: Face, strong: Face, width: float) -> float:
    """The height of capitals at scale 1 at which the widest row or set of columns just fits `width`."""
    trial = Print(face, strong, (0, 0, 0), _TRIAL_CAPITALS)
    widest = _TRIAL_CAPITALS
    for row in rows:
        if row.pieces:
            kind = _type(row, trial)
            gaps = (len(row.pieces) - 1) * _GAP * kind.capitals + (12 if row.mark == "box" else 0)
            widest = max(widest, sum(map(kind.width, row.pieces)) + gaps)
    for align in ("labels", "columns"):
        columns = _column_widths(rows, align, trial)
        widest = max(widest, sum(columns) + (len(columns) - 1) * _GAP * _TRIAL_CAPITALS)
    return _TRIAL_CAPITALS * width / (widest * 1.03)


def _column_widths(rows: Sequence[Row], align: str, style: Print) -> list[float]:
    table = [row for row in rows if row.align == align]
    return [
        max(_type(row, style).width(piece) for row, piece in zip(table, column, strict=True))
        for column in zip(*(row.pieces for row in table), strict=True)
    ]


def _columns(rows: Sequence[Row], align: str, style: Print, width: float) -> list[float]:
    """The left edges of the columns of the rows with this `align`, from the widest piece of each column."""
    widths = _column_widths(rows, align, style)
    spare = max(0.0, width - sum(widths)) / max(1, len(widths) - 1)
    gap = min(spare, style.capitals * (1.2 if align == "labels" else 3.0))
    edges = [0.0]
    for one in widths[:-1]:
        edges.append(edges[-1] + one + gap)
    return edges


def _set_row(
    sheet: Sheet,
    line: tuple[float, float, float],
    row: Row,
    style: Print,
    columns: Mapping[str, Sequence[float]],
) -> None:
    left, right, baseline = line
    kind = _type(row, style)
    last = kind.width(row.pieces[-1])
    if row.align in columns:
        places = [left + x for x in columns[row.align]]
    elif row.align == "ends":
        places = [left, right - max(last, 2 * style.capitals) - 5 if row.mark == "box" else right - last]
    else:
        share = {"left": 0.0, "centre": 0.5, "right": 1.0}[row.align]
        places = [left + share * (right - left - kind.width(row.text))]
    pieces = row.pieces if len(places) > 1 else (row.text,)
    start = places[-1] + kind.width(pieces[-1]) - last
    end = right if row.align == "ends" else max(start + last, min(start + 3 * style.capitals, right))
    _draw_mark(sheet, row.mark, (start, end, baseline), style)
    for x, piece in zip(places, pieces, strict=True):
        sheet.write((x, baseline), piece, kind, style.ink)


def _draw_mark(sheet: Sheet, mark: str, piece: tuple[float, float, float], style: Print) -> None:
    """What belongs to a piece of text that lies from the first to the second x on the baseline."""
    start, end, baseline = piece
    ink = blend(style.ink, (255, 255, 255), 0.3)
    if mark == "box":
        frame = start - 4, baseline - style.capitals * 1.25, end, baseline + style.capitals * 0.3
        sheet.pen.rectangle(frame, outline=ink)
    elif mark == "line":
        y = baseline + style.capitals * 0.25
        sheet.pen.line((start - 1, y, end, y), ink)
    elif mark == "bar":
        x = start - style.capitals * 0.35
        sheet.pen.line((x, baseline - style.capitals * 1.3, x, baseline + style.capitals * 0.35), ink)


def _type(row: Row, style: Print) -> Type:
    return type_of(style.strong if row.strong else style.face, style.capitals * row.scale)


def _draw_rule(sheet: Sheet, sides: tuple[float, float], y: float, style: Print) -> None:
    left, right = sides
    ink = blend(style.ink, (255, 255, 255), 0.25)
    if not style.dashed:
        sheet.pen.line((left, y, right, y), ink)
        return
    for x in np.arange(left, right - 3, 7).tolist():
        sheet.pen.line((x, y, x + 3, y), ink)
