"""`caption`: what a picture shows, in a sentence or two."""

from __future__ import annotations

from galago.cli.settings import argument
from galago.cli.verbs import VerbSettings
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(VerbSettings):
    """Say what a picture shows."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")


def run(settings: Settings) -> None:
    """Print the caption."""
    from galago import Model

    text, answer, _ = settings.perform(Model.caption, settings.image)
    print(answer.to_json() if settings.json else text)
