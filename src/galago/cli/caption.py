"""`caption`: what a picture shows, in a sentence or two."""

from __future__ import annotations

from galago.cli.options import ModelSettings, PictureSettings, StatsSettings
from galago.cli.settings import argument
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(StatsSettings, ModelSettings, PictureSettings):
    """Say what a picture shows."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")


def run(settings: Settings) -> None:
    """Print the caption."""
    from galago.cli.pictures import read_timed

    picture, reading_s = read_timed(settings.image, settings.max_picture_pixels)
    told = settings.on_answer(reading_s)
    print(settings.load().caption(picture, on_answer=told, **settings.picture_options()))
