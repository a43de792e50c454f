"""What this machine is: its processor, the cores and threads this process may use, its memory."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from galago.device.memory import available_memory, total_memory
from galago.device.sensed import ROOT, Sensed, cgroup_folders, fields, read_int, read_text
from galago.frozen import frozen


@frozen
class Machine:
    """One machine as this process may use it. `cores` are physical, `threads` what may run at once."""

    name: str
    architecture: str
    processor: str
    system: str
    cores: int
    threads: int
    total_bytes: Sensed[int]
    available_bytes: Sensed[int]


def machine(root: Path = ROOT) -> Machine:
    """Look at the machine. Affinity and control groups count: a container sees what it was given."""
    allowed = _allowed_processors(root)
    threads = max(1, min(len(allowed), _quota(root)))
    return Machine(
        name=_name(root),
        architecture=platform.machine(),
        processor=_processor(root),
        system=f"{platform.system()} {platform.release()}",
        cores=min(threads, _physical(root, allowed)),
        threads=threads,
        total_bytes=total_memory(root),
        available_bytes=available_memory(root),
    )


def _name(root: Path) -> str:
    """A board tells its name in the device tree, a computer in its firmware's tables."""
    return (
        read_text(root / "proc/device-tree/model")
        or read_text(root / "sys/class/dmi/id/product_name")
        or platform.node()
    )


def _processor(root: Path) -> str:
    table = fields(root / "proc/cpuinfo")
    return table.get("model name") or table.get("Model") or platform.processor() or "unknown"


def _allowed_processors(root: Path) -> set[int]:
    listed = fields(root / "proc/self/status").get("Cpus_allowed_list", "")
    return parse_list(listed) or set(range(os.cpu_count() or 1))


def parse_list(text: str) -> set[int]:
    """Numbers as the kernel lists them: "0-3,8" is {0, 1, 2, 3, 8}."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _physical(root: Path, allowed: set[int]) -> int:
    """How many cores the allowed processors stand on; each on its own where the kernel does not tell."""
    folder = root / "sys/devices/system/cpu"
    siblings = (read_text(folder / f"cpu{number}/topology/thread_siblings_list") for number in allowed)
    return len({text or number for number, text in zip(allowed, siblings, strict=True)})


def _quota(root: Path) -> int:
    """Processors that the tightest control group grants, rounded up; very many where none limits."""
    granted: float = 1 << 20
    for folder in cgroup_folders(root, "cpu"):
        quota, _, period = (read_text(folder / "cpu.max") or "max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            granted = min(granted, int(quota) / int(period))
        limit, every = read_int(folder / "cpu.cfs_quota_us"), read_int(folder / "cpu.cfs_period_us")
        if limit and limit > 0 and every:
            granted = min(granted, limit / every)
    return math.ceil(granted)
