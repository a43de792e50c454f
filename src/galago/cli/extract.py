"""`extract`: fields of a picture as a JSON object that is known to validate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galago.cli.options import read_schema, split
from galago.cli.settings import argument, option
from galago.cli.verbs import VerbSettings
from galago.errors import UsageError
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(VerbSettings):
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
    from galago import Model

    data, answer, _ = settings.perform(Model.extract, settings.image, settings.wanted())
    shown = {**answer.to_dict(), "data": data} if settings.json else data
    print(json.dumps(shown, ensure_ascii=False))
