"""`caption`: what a picture shows, in a sentence or two."""

from __future__ import annotations

from dataclasses import dataclass

from galago.cli.options import ModelSettings, PictureSettings
from galago.cli.settings import argument


@dataclass(frozen=True, kw_only=True)
class Settings(ModelSettings, PictureSettings):
    """Say what a picture shows."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")


def run(settings: Settings) -> None:
    """Print the caption."""
    from galago.cli.pictures import read_picture

    picture = read_picture(settings.image, settings.max_picture_pixels)
    print(settings.load().caption(picture, **settings.picture_options()))
