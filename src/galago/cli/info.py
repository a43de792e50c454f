"""`info`: what a model is, without asking it anything."""

from __future__ import annotations

import json

from galago.cli.settings import argument, flag
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings:
    """Show a model's family, sizes, weights and limits."""

    model: str = argument("MODEL", "Name or folder of the model.")
    json: bool = flag("Print one JSON object.")


def run(settings: Settings) -> None:
    """Print what the model says of itself."""
    from galago import load

    facts = load(settings.model, cache=False).info()
    if settings.json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<20}{value}")
