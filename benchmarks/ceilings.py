"""What this machine can do at most, measured by a small C program that is compiled for it."""

from __future__ import annotations

import json
import subprocess

from benchmarks.engines import ROOT, models_folder


def measure(threads: int) -> dict[str, float]:
    """Bytes read from memory and operations in a second, by kind; empty where the program cannot be built."""
    source = ROOT / "benchmarks/ceilings.c"
    program = models_folder() / "ceilings"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(["cc", "-O3", "-march=native", "-pthread", source, "-o", program], check=False)
        if built.returncode:
            return {}
    told = subprocess.run([program, str(threads)], capture_output=True, text=True, check=True)
    return dict(json.loads(told.stdout))
