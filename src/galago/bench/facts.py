"""What a record says of the software, the machine and the model: facts, none of them measured here."""

from __future__ import annotations

import datetime as dt
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from galago import device
from galago.bench.record import Software
from galago.device import Sensed
from galago.tasks.model import Model


def software(command: str | None) -> Software:
    """This Galago, and the command line that was given."""
    now = dt.datetime.now(dt.timezone.utc)
    return Software(
        version=metadata.version("galago"),
        commit=commit(),
        python=platform.python_version(),
        command=command,
        time=now.isoformat(timespec="seconds"),
    )


def commit(tree: Path = Path(__file__).parents[3]) -> str | None:
    """The commit of the source tree that runs, `-dirty` where it was changed; None where there is no tree.

    What was measured is no change: records are not looked at.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(tree), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - fixed words

    if not (tree / ".git").exists():
        return None
    try:
        changed = git("status", "--porcelain", "--", ".", ":(exclude)benchmarks/records")
        return git("describe", "--always", "--match=") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def machine(threads: int) -> dict[str, Any]:
    """The machine, and how many threads were used; None for what cannot be read."""
    values = vars(device.machine()).items()
    plain = {name: value.value if isinstance(value, Sensed) else value for name, value in values}
    return {**plain, "threads_used": threads}


def model(loaded: Model) -> dict[str, Any]:
    """What the model is, without where it lies; sizes in bytes, `disk_bytes` those of its weight files."""
    info = loaded.info()
    files = loaded.engine.model.checkpoint.folder.glob("*.safetensors")
    kept = ("name", "family", "parameters", "weights", "weights_bytes", "kv_bytes_per_token", "revision")
    return {**{name: info[name] for name in kept}, "disk_bytes": sum(file.stat().st_size for file in files)}
