"""`train`: the embedded model, made again from nothing or trained further."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from galago.cli.settings import argument, flag, option
from galago.errors import MissingDependencyError
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings:
    """Train nano on pictures that are drawn as it learns. Needs the extra `train`.

    Leaves checkpoints, the log of the run and, in the folder `model`, the model itself.
    """

    model: Literal["nano"] = argument("nano", "The model to train.")
    minutes: float = option("How long to train now.", default=60.0, metavar="M")
    out: Path = option("Folder of the run.", default=Path("runs/nano"), metavar="DIR")
    start: str | None = option(
        "Begin with the weights of this model, a name or a folder, instead of from nothing.", metavar="MODEL"
    )
    resume: bool = flag("Go on from the checkpoint in the folder.")
    stage: Literal["all", "look", "answer", "settle"] = option(
        "One stage alone; all: a quarter of the time look, then answer, and settle at the end.", default="all"
    )
    seed: int = option("Decides the first weights and every picture.", default=0, metavar="N")
    device: str = option("Where torch computes: cpu or cuda.", default="cpu", metavar="DEVICE")
    processes: int | None = option(
        "Processes that share the work; by default one for each core.", metavar="N"
    )
    fonts: Literal["full", "minimal"] = option("minimal: whatever font this machine has.", default="full")


def run(settings: Settings) -> None:
    """Train until the time is over."""
    from galago import device

    try:
        from galago.train import nano
        from galago.train.settings import Settings as TrainSettings
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            "training needs torch, which is not installed", hint="pip install 'galago[train]'"
        ) from error
    progress = nano.train(
        TrainSettings(
            out=settings.out,
            minutes=settings.minutes,
            start=settings.start,
            resume=settings.resume,
            stage=settings.stage,
            seed=settings.seed,
            device=settings.device,
            processes=device.machine().cores if settings.processes is None else settings.processes,
            fonts=settings.fonts,
        )
    )
    print(
        f"{progress.pictures} pictures in {progress.minutes:.0f} minutes;"
        f" galago ask -m {settings.out / 'model'} asks what it learned"
    )
