"""`read`: the text in a picture, line by line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from galago.cli.settings import argument, option
from galago.cli.verbs import VerbSettings
from galago.errors import UsageError
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago import Reading


@frozen(kw_only=True)
class Settings(VerbSettings):
    """Read the text in a picture, from top to bottom."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")
    format: Literal["text", "markdown", "json"] = option(
        "How to print it; json: the text and its lines alone, without the record that --json prints.",
        default="text",
    )


def run(settings: Settings) -> None:
    """Print the text in the form that was asked for."""
    from galago import Model

    if settings.json and settings.format != "text":
        raise UsageError("--json and --format exclude each other")
    reading, answer, _ = settings.perform(Model.read, settings.image)
    if settings.json:
        print(json.dumps({**answer.to_dict(), "lines": reading.lines}, ensure_ascii=False))
    else:
        print(FORMATS[settings.format](reading))


def as_markdown(reading: Reading) -> str:
    """The lines with Markdown's own characters escaped, and a hard break after each but the last."""
    return "\\\n".join(re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", line) for line in reading.lines)


FORMATS: dict[str, Callable[[Reading], str]] = {
    "text": lambda reading: reading.text,
    "markdown": as_markdown,
    "json": lambda reading: json.dumps(asdict(reading), ensure_ascii=False),
}
