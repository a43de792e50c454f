"""`convert`: a model folder with other weights, written once so that loading it converts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galago.cli.settings import argument, option
from galago.errors import UsageError
from galago.frozen import frozen
from galago.types import Weights

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@frozen(kw_only=True)
class Settings:
    """Write a model with other weights, in the layout that the kernels read.

    With --calibrate, q4 weights are rounded so that their errors cancel on what the model is given while it
    answers about pictures like yours; that takes a few answers about each picture, and arithmetic of its own.
    With --report the new model is compared with the original on pictures: how far the distribution of the
    next token moves, how often another token wins, and which layer suffers most.
    """

    source: str = argument("SRC", "Name or folder of the model.")
    target: Path = argument("DST", "Folder to write; it must not exist yet.")
    weights: Weights = option("What the weights become.", required=True)
    group: int | None = option(
        "Columns that share a scale, a multiple of 32; by default 128, or 32 where rows are short.",
        metavar="N",
    )
    calibrate: tuple[Path, ...] = option(
        "A picture, or a folder of pictures, to round q4 weights for.", default=(), metavar="PICTURE"
    )
    report: tuple[Path, ...] = option(
        "A picture, or a folder of pictures, to compare both models on.", default=(), metavar="PICTURE"
    )


def pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures themselves, of folders those inside; raises UsageError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise UsageError(f"{path} holds no pictures ({', '.join(SUFFIXES)})")
        found += inside
    return found


def run(settings: Settings) -> None:
    """Convert, say what it saved, and what it cost where that was asked."""
    from galago.cli.progress import progress_bar
    from galago.compress import Calibration, convert

    compared, seen = pictures(settings.report), pictures(settings.calibrate)
    with progress_bar("converting") as progress:
        done = convert(
            settings.source,
            settings.target,
            weights=settings.weights,
            group=settings.group,
            calibration=Calibration(seen) if seen else None,
            progress=progress,
        )
    share = done.bytes_after / done.bytes_before
    print(f"{done.folder}: {done.bytes_after / 1e6:.1f} MB of weights, {share:.0%} of the original")
    if compared:
        from galago.compress.distortion import measure_distortion

        with progress_bar("comparing") as progress:
            report = measure_distortion(settings.source, settings.target, compared, progress=progress)
        print(report.table())
