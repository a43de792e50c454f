"""`convert`: a model folder with other weights, written once so that loading it converts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galago.cli.settings import argument, option
from galago.errors import UsageError
from galago.files import reason
from galago.frozen import frozen
from galago.types import Weights

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
GROUPED: tuple[Weights, ...] = ("q8", "q4")
"""Weights whose columns share scales."""


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
    """The pictures themselves, of folders those inside, each read once to know that it can be.

    Raises UsageError for a folder without any, PictureError for what is none.
    """
    from galago.media import read_picture

    found: list[Path] = []
    for path in paths:
        inside = [path]
        try:
            if path.is_dir():
                inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {reason(error)}", hint="check the path") from error
        if not inside:
            raise UsageError(f"{path} holds no pictures ({', '.join(SUFFIXES)})")
        found += inside
    for picture in found:
        read_picture(picture)
    return found


def run(settings: Settings) -> None:
    """Convert, say what it saved, and what it cost where that was asked."""
    from galago.cli.progress import progress_bar
    from galago.compress import Calibration, convert

    if settings.group is not None and settings.weights not in GROUPED:
        raise UsageError(f"--group is for {' and '.join(GROUPED)} weights, not for {settings.weights}")
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
