"""`extract`: fields of a picture as a JSON object that is known to validate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galago.cli.options import ModelSettings, PictureSettings, StatsSettings, read_schema, split
from galago.cli.settings import argument, option
from galago.errors import UsageError
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(StatsSettings, ModelSettings, PictureSettings):
    """Extract fields as one JSON object: those of a JSON Schema, or texts by their names."""

    image: str = argument("IMAGE", "File, URL, or - for stdin.")
    schema: Path | None = option("JSON Schema in this file.", metavar="FILE")
    fields: str | None = option("Names of the fields; their values are texts.", metavar="A,B,C")

    def wanted(self) -> Mapping[str, Any] | list[str]:
        """The schema, or the names of the fields."""
        if self.schema is not None and self.fields is None:
            return read_schema(self.schema)
        if self.fields is not None and self.schema is None:
            return split(self.fields, "--fields")
        raise UsageError("either --schema or --fields says what to extract", hint="--fields total,date")


def run(settings: Settings) -> None:
    """Print the object."""
    from galago.cli.pictures import read_timed

    wanted = settings.wanted()
    picture, reading_s = read_timed(settings.image, settings.max_picture_pixels)
    told = settings.on_answer(reading_s)
    value = settings.load().extract(picture, wanted, on_answer=told, **settings.picture_options())
    print(json.dumps(value, ensure_ascii=False))
