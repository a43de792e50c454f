"""`convert`: a model folder with other weights, written once so that loading it converts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galago.cli.settings import argument, option
from galago.types import Weights


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write a model with other weights, in the layout that the kernels read."""

    source: str = argument("SRC", "Name or folder of the model.")
    target: Path = argument("DST", "Folder to write; it must not exist yet.")
    weights: Weights = option("What the weights become.", required=True)
    group: int = option("Columns that share a scale; a multiple of 32.", default=32, metavar="N")


def run(settings: Settings) -> None:
    """Convert, and say what it saved."""
    from galago.cli.progress import progress_bar
    from galago.compress import convert

    with progress_bar("converting") as progress:
        done = convert(
            settings.source,
            settings.target,
            weights=settings.weights,
            group=settings.group,
            progress=progress,
        )
    share = done.bytes_after / done.bytes_before
    print(f"{done.folder}: {done.bytes_after / 1e6:.1f} MB of weights, {share:.0%} of the original")
