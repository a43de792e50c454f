"""Pictures that a command was given: read within its limits, and put into messages."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from galago import media
from galago.errors import UsageError
from galago.media import Picture, PictureLimits


def read_picture(source: str, max_pixels: int | None) -> Picture:
    """The picture of a file, a URL or stdin (-); what its reader remarks goes to stderr."""
    limits = PictureLimits() if max_pixels is None else replace(PictureLimits(), max_pixels=max_pixels)
    picture = media.read_picture(source, limits=limits)
    for note in picture.notes:
        print(f"note: {source}: {note}", file=sys.stderr)
    return picture


def read_timed(source: str, max_pixels: int | None) -> tuple[Picture, float]:
    """`read_picture`, and the seconds it took."""
    began = time.perf_counter()
    picture = read_picture(source, max_pixels)
    return picture, time.perf_counter() - began


def read_pictures(sources: Sequence[str], max_pixels: int | None) -> list[Picture]:
    """Several pictures; stdin can be read once."""
    if sources.count("-") > 1:
        raise UsageError("stdin holds one picture, and - was given several times")
    return [read_picture(source, max_pixels) for source in sources]


def user_message(images: Sequence[Picture], text: str) -> dict[str, Any]:
    """Pictures and then the text, as one message."""
    pictures = [{"type": "image", "image": image} for image in images]
    return {"role": "user", "content": [*pictures, {"type": "text", "text": text}]}
