"""Memory of the machine, as far as this process may have it, and memory of the process itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from galago.device.sensed import ROOT, Sensed, cgroup_folders, fields, kilobytes, read_int
from galago.frozen import frozen


@frozen
class ProcessMemory:
    """Bytes of this process: the peak of its resident size, and what is its alone (anonymous pages and swap).

    Pages of memory-mapped weight files are in the peak, but not in `own_bytes`: the system can drop them.
    """

    peak_bytes: int | None
    own_bytes: int | None


def total_memory(root: Path = ROOT) -> Sensed[int]:
    """Bytes of the machine, or of the control group this process is confined to."""
    total = kilobytes(fields(root / "proc/meminfo"), "MemTotal")
    if total is None and root == ROOT and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if total is None:
        return Sensed(None, "there is no /proc/meminfo")
    return Sensed(min([total, *(limit for limit, _ in _limits(root))]))


def available_memory(root: Path = ROOT) -> Sensed[int]:
    """Bytes that can be had without swapping, the room left in the control groups taken into account."""
    available = kilobytes(fields(root / "proc/meminfo"), "MemAvailable")
    if available is None:
        return Sensed(None, "there is no MemAvailable in /proc/meminfo")
    return Sensed(max(0, min([available, *(limit - used for limit, used in _limits(root))])))


def address_space(root: Path = ROOT) -> int | None:
    """Bytes that this process may still map under its own limit (`ulimit -v`); None where there is none."""
    try:
        import resource  # not on every system
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = kilobytes(fields(root / "proc/self/status"), "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def process_memory(root: Path = ROOT) -> ProcessMemory:
    """The memory of this process now. Cheap enough to ask for every answer."""
    status = fields(root / "proc/self/status")
    peak, anonymous = kilobytes(status, "VmHWM"), kilobytes(status, "RssAnon")
    own = None if anonymous is None else anonymous + (kilobytes(status, "VmSwap") or 0)
    if peak is None and root == ROOT:
        peak = _peak_by_rusage()
    return ProcessMemory(peak_bytes=peak, own_bytes=own)


def _peak_by_rusage() -> int | None:
    try:
        import resource  # not on every system
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of each control group around this process that has a limit.

    Cached file pages count as used by a group, though they are given up when needed: the inactive ones are
    taken off.
    """
    for folder in cgroup_folders(root, "memory"):
        for limit_file, used_file, inactive_key in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = read_int(folder / limit_file)
            if limit is not None:
                used = read_int(folder / used_file) or 0
                yield limit, max(0, used - _stat(folder / "memory.stat", inactive_key))


def _stat(path: Path, key: str) -> int:
    """A line `key value` of memory.stat; 0 where there is none."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)
