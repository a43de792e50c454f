"""What a record says of itself: the code, the machine, and the command that makes it again."""

from __future__ import annotations

import sys
from pathlib import Path

from galago import device
from galago.bench.facts import commit


def provenance(module: str) -> dict[str, str | int | None]:
    """Facts of this process, started as `python -m benchmarks.<module>`; no folder of the machine in it."""
    machine = device.machine()
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return {
        "commit": commit(),
        "processor": machine.processor,
        "threads": machine.threads,
        "command": " ".join([f"python -m benchmarks.{module}", *words]),
    }
