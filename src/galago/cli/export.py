"""`export`: a model as a folder for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from galago.cli.settings import argument, option
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings:
    """Write a model in the form that another tool reads."""

    model: str = argument("MODEL", "Name or folder of the model.")
    target: Path = argument("DIR", "Folder to write; it must not exist yet.")
    to: Literal["hf"] = option("hf: a folder that transformers loads.", required=True)
    dtype: Literal["f32", "bf16"] | None = option(
        "Numbers to write; by default bf16 for a model that holds it, else f32."
    )


def run(settings: Settings) -> None:
    """Write the folder."""
    from galago.cli.progress import progress_bar
    from galago.export import export

    with progress_bar("exporting") as progress:
        done = export(
            settings.model, settings.target, to=settings.to, dtype=settings.dtype, progress=progress
        )
    print(f"{done.folder}: {done.weights_bytes / 1e6:.1f} MB of weights, {done.dtype}")
