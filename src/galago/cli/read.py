"""`read`: the text in a picture, line by line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from galago.cli.options import ModelSettings, PictureSettings, StatsSettings
from galago.cli.settings import argument, option
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago import Reading


@frozen(kw_only=True)
class Settings(StatsSettings, ModelSettings, PictureSettings):
    """Read the text in a picture, from top to bottom."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")
    format: Literal["text", "markdown", "json"] = option("How to print it.", default="text")


def run(settings: Settings) -> None:
    """Print the text in the form that was asked for."""
    from galago.cli.pictures import read_timed

    picture, reading_s = read_timed(settings.image, settings.max_picture_pixels)
    told = settings.on_answer(reading_s)
    reading = settings.load().read(picture, on_answer=told, **settings.picture_options())
    print(FORMATS[settings.format](reading))


def as_markdown(reading: Reading) -> str:
    """The lines with Markdown's own characters escaped, and a hard break after each but the last."""
    return "\\\n".join(re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", line) for line in reading.lines)


FORMATS: dict[str, Callable[[Reading], str]] = {
    "text": lambda reading: reading.text,
    "markdown": as_markdown,
    "json": lambda reading: json.dumps(asdict(reading), ensure_ascii=False),
}
