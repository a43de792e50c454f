"""`find`: where things are, as boxes in pixels of the picture."""

from __future__ import annotations

import sys
from pathlib import Path

from galago.cli.options import check_output
from galago.cli.settings import argument, option
from galago.cli.verbs import VerbSettings
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(VerbSettings):
    """Find things and print their boxes: x0 y0 x1 y1 in pixels of the picture, and the label, one a line."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")
    what: str = argument("WHAT", 'What to look for: "the red box".')
    output: Path | None = option(
        "Write a copy of the picture with the boxes drawn.", metavar="OUT.png", short="-o"
    )


def run(settings: Settings) -> None:
    """Print the boxes; draw them where a copy was asked for."""
    from galago import Model, media

    if settings.output is not None:
        check_output(settings.output)
        media.picture_file_format(settings.output)  # refuses an unknown ending before the work
    boxes, answer, picture = settings.perform(Model.find, settings.image, settings.what)
    if settings.json:
        print(answer.to_json())
    for box in () if settings.json else boxes:
        print(f"{box.x0:.0f} {box.y0:.0f} {box.x1:.0f} {box.y1:.0f} {box.label}")
    if not boxes:
        print(f"{settings.what!r} was not found", file=sys.stderr)
    if settings.output is not None:
        media.save_picture(media.draw_boxes(picture.pixels, boxes), settings.output)
