"""Measures a cold question as a whole process, and a first and a second one inside one process."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = "examples/scene.png"
QUESTION = "What kind of shape is the green one?"
GALAGO = str(Path(sys.executable).parent / "galago")


def cold(runs: int) -> dict[str, Any]:
    """Wall seconds and peak resident bytes of `galago ask` as a process, image features not kept on disk.

    The byte code of an installed package is there; without it every process would compile the source again.
    """
    command = [GALAGO, "ask", PICTURE, QUESTION, "--no-cache"]
    installed = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    seconds, peaks = [], []
    for _ in range(runs):
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT, env=installed)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - began)
        peaks.append(usage.ru_maxrss * 1024)
        if status:
            sys.exit(f"error: {' '.join(command)} failed")
    return {
        "command": " ".join(["galago", *command[1:]]),
        "wall_s": spread(seconds),
        "peak_bytes": max(peaks),
    }


def warm(runs: int) -> dict[str, Any]:
    """Seconds of the first and the second question about one picture in one process."""
    import galago

    firsts, seconds = [], []
    for _ in range(runs):
        model = galago.load("nano", cache=False)
        firsts.append(model.ask(PICTURE, QUESTION).timings.total_s)
        seconds.append(model.ask(PICTURE, "What colour is the ring?").timings.total_s)
    return {"first_s": spread(firsts), "second_s": spread(seconds)}


def spread(values: list[float]) -> dict[str, float]:
    """Least, middle and most."""
    middle = statistics.median(values)
    return {"min": round(min(values), 4), "median": round(middle, 4), "max": round(max(values), 4)}


def commit() -> str | None:
    """The commit that is measured, with a mark where the tree differs from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or None


def main() -> None:
    """Measure, print a table, keep the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--record", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    os.chdir(ROOT)
    from galago import device

    machine = device.machine()
    cold(1)  # files into the page cache: a cold process is measured, not a cold disk
    record = {
        "commit": commit(),
        "processor": machine.processor,
        "cores": machine.cores,
        "threads": machine.threads,
        "python": platform.python_version(),
        "runs": options.runs,
        "cold": cold(options.runs),
        "warm": warm(options.runs),
    }
    wall, first, second = record["cold"]["wall_s"], record["warm"]["first_s"], record["warm"]["second_s"]
    print(f"{machine.processor}, {machine.cores} cores, {options.runs} runs: median (least to most)")
    rows = (
        ("cold process, whole", wall),
        ("first question, warm process", first),
        ("second question", second),
    )
    for name, value in rows:
        print(f"  {name:<30}{value['median']:.3f} s  ({value['min']:.3f} to {value['max']:.3f})")
    print(f"  {'peak memory of the process':<30}{record['cold']['peak_bytes'] / 1e6:.0f} MB")
    if options.record:
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
