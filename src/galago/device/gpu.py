"""The driver of a GPU, as the kernel tells it. What the GPU itself is, only a library of its maker knows."""

from __future__ import annotations

import re
from pathlib import Path

from galago.device.sensed import ROOT, Sensed, read_text


def gpu_driver(root: Path = ROOT) -> Sensed[str]:
    """The version of NVIDIA's kernel driver."""
    told = read_text(root / "proc/driver/nvidia/version")
    if told is None:
        return Sensed(None, "there is no /proc/driver/nvidia/version")
    match = re.search(r"Kernel Module(?: for \S+)?\s+(\S+)", told)
    return Sensed(match[1]) if match else Sensed(None, f"the driver tells no version: {told[:60]!r}")
