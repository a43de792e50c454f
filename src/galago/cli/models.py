"""`models`: the names that `--model` takes, and the families of checkpoints that can be loaded."""

from __future__ import annotations

import json

from galago.cli.settings import flag
from galago.frozen import frozen

WEIGHTS = {
    "f32": "32-bit floats: the reference",
    "bf16": "16-bit brain floats, as most checkpoints have them",
    "q8": "8-bit integers with a scale for each group of a row",
    "q4": "4-bit integers with a step and a zero for each 32 of a row, and a scale for each group",
}
"""What a weight may be, for people."""


@frozen(kw_only=True)
class Settings:
    """List the models that are here, and the families that a folder of weights may belong to."""

    json: bool = flag("Print one JSON object.")


def run(settings: Settings) -> None:
    """List names of models and of families."""
    from galago.engine.source import EMBEDDED
    from galago.models import families

    if settings.json:
        print(json.dumps({"models": EMBEDDED, "families": families()}, ensure_ascii=False))
        return
    for name in EMBEDDED:
        print(f"{name}: comes with the package")
    print(f"a folder with config.json and safetensors files, of the family {' or '.join(families())}")
