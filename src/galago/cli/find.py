"""`find`: where things are, as boxes in pixels of the picture."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from galago.cli.options import ModelSettings, PictureSettings, StatsSettings
from galago.cli.settings import argument, flag, option
from galago.errors import UsageError
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(StatsSettings, ModelSettings, PictureSettings):
    """Find things and print their boxes: x0 y0 x1 y1 in pixels of the picture, and the label, one a line."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")
    what: str = argument("WHAT", 'What to look for: "the red box".')
    output: Path | None = option(
        "Write a copy of the picture with the boxes drawn.", metavar="OUT.png", short="-o"
    )
    json: bool = flag("Print one JSON object.")


def run(settings: Settings) -> None:
    """Print the boxes; draw them where a copy was asked for."""
    from galago import media
    from galago.cli.pictures import read_timed

    if settings.output is not None and not settings.output.parent.is_dir():
        raise UsageError(f"{settings.output.parent} is not a folder")
    if settings.output is not None:
        media.picture_file_format(settings.output)  # refuses an unknown ending before the work
    picture, reading_s = read_timed(settings.image, settings.max_picture_pixels)
    told = settings.on_answer(reading_s)
    boxes = settings.load().find(picture, settings.what, on_answer=told, **settings.picture_options())
    if settings.json:
        print(json.dumps({"boxes": [asdict(box) for box in boxes]}, ensure_ascii=False))
    for box in () if settings.json else boxes:
        print(f"{box.x0:.0f} {box.y0:.0f} {box.x1:.0f} {box.y1:.0f} {box.label}")
    if not boxes:
        print(f"{settings.what!r} was not found", file=sys.stderr)
    if settings.output is not None:
        media.save_picture(media.draw_boxes(picture.pixels, boxes), settings.output)
