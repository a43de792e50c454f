"""`bench`: how fast a model answers on this machine, and how much of the machine it uses."""

from __future__ import annotations

from pathlib import Path

from galago.cli.options import MachineSettings, check_output
from galago.cli.settings import argument, command_line, flag, option
from galago.errors import GalagoError, UsageError
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(MachineSettings):
    """Measure a model on this machine.

    Times by stage, answers written together, memory, and the share of the machine's ceilings that is reached,
    in about a minute; large models on small machines take longer. The numbers mean something where nothing
    else runs.
    """

    model: str = argument("MODEL", "Name or folder of the model.")
    picture: str | None = option("File, URL, or - for stdin; by default one is drawn.", metavar="IMAGE")
    size: int | None = option("Side of the drawn picture in pixels; by default 512.", metavar="N")
    tokens: int = option("Length of every answer.", default=64, metavar="N")
    runs: int | None = option(
        "How often a picture is answered; by default what fits into twenty seconds, 1 to 5 times.",
        metavar="N",
    )
    together: int = option(
        "Answers that are written at once; 0 leaves that part out.", default=8, metavar="N"
    )
    out: Path | None = option("Write the whole record, as JSON.", metavar="FILE")
    json: bool = flag("Print the whole record as one JSON object.")


def run(settings: Settings) -> None:
    """Measure, print, and write the record where it was asked for."""
    from galago import bench, media
    from galago.cli.pictures import read_picture
    from galago.cli.progress import progress_bar

    if settings.picture is not None and settings.size is not None:
        raise UsageError("--size is that of a drawn picture, and --picture was given", hint="leave one out")
    if settings.out is not None:
        check_output(settings.out)
    plan = bench.Plan(
        tokens=settings.tokens,
        runs=settings.runs,
        together=settings.together,
        size=bench.Plan.size if settings.size is None else settings.size,
        threads=settings.threads,
        weights=settings.weights,
        memory=settings.memory,
    )
    picture = None if settings.picture is None else read_picture(settings.picture, media.PictureLimits())
    with progress_bar("measuring") as progress:
        record = bench.measure(
            settings.model, picture, plan, command=command_line("bench", settings), progress=progress
        )
    if settings.json:
        print(record.to_json())
    else:
        from rich.console import Console

        from galago.cli.bench_table import table

        Console().print(table(record))
    if settings.out is not None:
        _write(settings.out, record.to_json())


def _write(out: Path, text: str) -> None:
    from galago.files import reason, replacing

    try:
        with replacing(out) as file:
            file.write(text.encode() + b"\n")
    except OSError as error:
        raise GalagoError(f"{out} cannot be written: {reason(error)}") from error
