"""The settings of a training run: one dataclass, from which the command's options and help are made."""

from __future__ import annotations

import math
from pathlib import Path

from galago.errors import UsageError
from galago.frozen import frozen
from galago.kernels import check_device


@frozen
class Settings:
    """Settings of a run of `galago train nano`. Raises UsageError for a value out of its range."""

    out: Path
    """Folder of checkpoints, the pool of pictures and the log."""
    minutes: float = 60.0
    """How long to train now."""
    stage: str = "all"
    """look, answer, settle, or all: a quarter of the time looking, the last sixth settling."""
    start: str | None = None
    """Begin with the weights of this model, a name or a folder; dense heads and optimiser begin anew."""
    resume: bool = False
    """Go on from the checkpoint in `out`."""
    seed: int = 0
    device: str = "cpu"
    dtype: str = "auto"
    """Of activations and gradients; masters and optimiser are float32. auto: see `learner.compute_dtype`."""
    rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    """Steps."""
    batches: int = 1
    """Batches of each process in one step."""
    patches: int = 9216
    """Sets how many pictures of a size go into one batch."""
    tokens_per_cell: float = 4.0
    """Sets how many turns about a picture are learned at a time."""
    dense: float = 2.0
    """Weight of the dense labels once the whole model is trained."""
    pull: float = 0.2
    """How much of the turns' gradient reaches the vision tower; at first it does more harm than good."""
    shards: int = 400
    """Shards of 64 pictures kept in the pool."""
    background: bool = True
    """Draw in a process of its own; otherwise on demand and repeatably."""
    fonts: str = "full"
    processes: int = 1
    """Processes that share the work; on a CPU one for each core, of one thread each, is the fastest."""
    threads: int = 1
    """Threads of each process."""
    validation: int = 32
    """Held-out pictures of each source for the curves; 0 leaves them out."""
    log_s: float = 30.0
    save_s: float = 240.0
    validate_s: float = 900.0
    easiest: float = 0.0
    """Least difficulty of the pictures drawn, 0 to 1."""
    largest: int | None = None
    """Only pictures of at most so many cells."""

    def __post_init__(self) -> None:
        check_device(self.device)
        checks = (
            ("minutes", 0 < self.minutes < math.inf, "above 0 and finite"),
            ("seed", self.seed >= 0, "0 or more"),
            ("processes", self.processes >= 1, "1 or more"),
        )
        for name, good, wanted in checks:
            if not good:
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be {wanted}")
