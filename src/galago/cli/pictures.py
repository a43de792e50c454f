"""Pictures that a command was given: read within its limits, and put into messages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from galago import media
from galago.errors import UsageError
from galago.media import Picture, PictureLimits


def read_picture(source: str, limits: PictureLimits) -> Picture:
    """The picture of a file, a URL or stdin (-); what its reader remarks goes to stderr."""
    picture = media.read_picture(source, limits=limits)
    for note in picture.notes:
        print(f"note: {source}: {note}", file=sys.stderr)
    return picture


def read_pictures(sources: Sequence[str], limits: PictureLimits) -> list[Picture]:
    """Several pictures; stdin can be read once."""
    if sources.count("-") > 1:
        raise UsageError("stdin holds one picture, and - was given several times")
    return [read_picture(source, limits) for source in sources]


def user_message(images: Sequence[Picture], text: str) -> dict[str, Any]:
    """Pictures and then the text, as one message."""
    pictures = [{"type": "image", "image": image} for image in images]
    return {"role": "user", "content": [*pictures, {"type": "text", "text": text}]}
