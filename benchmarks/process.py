"""A process run to its end, with its wall time, its peak memory and what it said."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping

from benchmarks.engines import ROOT


class ProcessFailedError(Exception):
    """A process of an engine ended badly; the message holds the end of what it said."""


def whole_process(command: list[str], job: Callable[[], str] | None = None) -> tuple[float, int, str]:
    """Run a command; wall seconds, peak resident bytes, and its stdout. `job()` is its stdin.

    The job is asked for just before the start, so that it can hold the time. Raises ProcessFailedError.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if job else subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        if job is not None:
            assert process.stdin is not None
            process.stdin.write(job())
            process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            raise ProcessFailedError(f"exit code {process.returncode}: {complained.read()[-800:]}")
        return seconds, usage.ru_maxrss * 1024, said.read()


def finish(values: Mapping[str, float]) -> str:
    """Values on one line, for the eye."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
