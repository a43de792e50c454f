"""A training run on disk: one file with everything a run needs to go on, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # torch raises it; nothing is unpickled here but tensors
from typing import Any

import torch
from torch import Tensor

from galago.errors import TrainingError


@dataclass
class Progress:
    """How far a run is; `minutes` of training time, whatever the machine."""

    step: int = 0
    pictures: int = 0
    turns: int = 0
    minutes: float = 0.0
    stage_started: int = 0
    """The step at which the present stage began: its warm-up counts from here."""
    stage: str = "look"


@dataclass
class Checkpoint:
    """`masters` and `average` by parameter name, the state of the optimiser and of the batches' generator."""

    masters: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    generator: dict[str, Any]
    progress: Progress = field(default_factory=Progress)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically: a crash leaves the file of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({**vars(checkpoint), "progress": vars(checkpoint.progress)}, temporary)
    temporary.replace(path)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; raises TrainingError when it is missing or not one."""
    try:
        values: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(**{**values, "progress": Progress(**values["progress"])})
    except FileNotFoundError:
        raise TrainingError(
            f"there is no checkpoint at {path}", hint="train without --resume to start from nothing"
        ) from None
    except (KeyError, TypeError, RuntimeError, EOFError, OSError, ValueError, UnpicklingError) as error:
        raise TrainingError(f"{path} is not a checkpoint of nano ({type(error).__name__})") from error
