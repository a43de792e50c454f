"""A process run to its end, with its wall time, its peak memory and what it said."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.engines import ROOT

REST_S: Final = 1.3
LONGEST_REST: Final = 92
"""Times REST_S: two minutes."""
CALM: Final = 0.01
"""Share of the machine's time that is as good as nothing."""


class ProcessFailedError(Exception):
    """A process of an engine ended badly; the message holds the end of what it said."""


@dataclass(frozen=True)
class Finished:
    """What a process took and said; `others_share` (0 to 1) of the machine's time went to other processes."""

    seconds: float
    peak_bytes: int
    others_share: float
    said: str
    complained: str


def environment() -> dict[str, str]:
    """A user's: an engine in Python may keep its byte code even where this process may not."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def whole_process(command: list[str], job: Callable[[], str] | None = None) -> Finished:
    """Run a command to its end. `job()` is its stdin, asked for just before the start: it may hold the time.

    Raises ProcessFailedError.
    """
    busy_before = busy_seconds()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if job else subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            cwd=ROOT,
            env=environment(),
            text=True,
        )
        try:
            if job is not None:
                assert process.stdin is not None
                process.stdin.write(job())
                process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # an interrupt leaves no engine behind that would disturb what is measured next
            process.kill()
            process.communicate()
            raise
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            raise ProcessFailedError(f"exit code {process.returncode}: {complained.read()[-800:]}")
        others_s = busy_seconds() - busy_before - usage.ru_utime - usage.ru_stime
        share = others_s / (seconds * (os.cpu_count() or 1))
        # Ticks are coarse: of a short process the share may come out below 0 or above 1.
        share = min(1.0, max(0.0, share))
        return Finished(seconds, usage.ru_maxrss * 1024, share, said.read(), complained.read())


def busy_seconds(stat: Path = Path("/proc/stat")) -> float:
    """Seconds that all processors together have spent on anything but waiting, since the machine started."""
    ticks = [int(one) for one in stat.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]]
    idle, waiting = ticks[3:5]
    return (sum(ticks[:8]) - idle - waiting) / os.sysconf("SC_CLK_TCK")  # guests are counted in the first


def await_rest(busy: Callable[[], float] = busy_seconds, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait, for two minutes at most, until the machine has hardly anything to do.

    A process that ends leaves work behind: a virtual machine gives the memory that became free back to its
    host, in bursts every two seconds that halve the speed of two threads (LOG 2026-11-28).
    """
    calm = 0
    for _ in range(LONGEST_REST):
        before = busy()
        sleep(REST_S)
        calm = calm + 1 if busy() - before < CALM * REST_S * (os.cpu_count() or 1) else 0
        if calm == 2:  # bursts are two seconds apart
            return


def finish(values: Mapping[str, float]) -> str:
    """Values on one line, for the eye."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
