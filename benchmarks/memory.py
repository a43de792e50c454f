"""Whether memory is kept: peaks by budget, answers under a limit of address space, many pictures in a row.

.venv/bin/python -m benchmarks.memory MODEL --record benchmarks/records/memory-NAME.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance

MIB = 1 << 20
SIDE = 504
TOLD_AT = (1, 2, 30, 100, 200)
"""After so many pictures, and after the last, a process tells what it holds."""

ASKING = f"""
import json, sys, threading
import numpy as np
import galago, galago.device

folder, memory, pictures, tokens, sides = json.loads(sys.argv[1])
told = []
try:
    model = galago.load(folder, cache=False, memory=memory)
    random = np.random.default_rng(0)
    for number in range(1, pictures + 1):
        height, width = sides[number % len(sides)], sides[number * 3 // 2 % len(sides)]
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        answer = model.ask(pixels, "What is shown, and where?", max_tokens=tokens, min_tokens=tokens)
        if number in {TOLD_AT} or number == pictures:
            for thread in threading.enumerate():  # at rest: the last piece of work gives back what is free
                if thread.name.startswith("galago-"):
                    thread.join()
            own = galago.device.process_memory().own_bytes
            told.append({{"pictures": number, "peak_bytes": answer.memory.peak_bytes, "own_bytes": own,
                         "seconds": round(answer.timings.total_s, 2), "notes": answer.notes,
                         "tokens": answer.usage.completion_tokens}})
except galago.GalagoError as error:
    told.append({{"refused": str(error), "hint": error.hint}})
print(json.dumps(told))
"""


def ask(
    folder: str, memory: str | None, pictures: int, tokens: int, sides: list[int], limit: int | None = None
) -> list[Any]:
    """What one process tells of pictures whose sides change; `limit` are the bytes that it may map."""

    def confine() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", ASKING, json.dumps([folder, memory, pictures, tokens, sides])],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=confine,
    )
    if done.returncode:
        return [{"exit": done.returncode}]
    told: list[Any] = json.loads(done.stdout.replace(f"{folder}/", ""))  # a record names no machine's folders
    return told


def main() -> None:
    """Measure, print a line for each process, keep the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--budgets", nargs="*", default=["2GB", "1500MB", "500MB"])
    parser.add_argument(
        "--limits", nargs="*", type=int, default=[2500, 3500, 4000], help="MiB of address space"
    )
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--sides", nargs="+", type=int, default=[SIDE], help="of the pictures, in turn")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    runs = [(None, None), *((budget, None) for budget in options.budgets)]
    runs += [(None, limit * MIB) for limit in options.limits]
    record = []
    for memory, limit in runs:
        told = ask(options.model, memory, options.pictures, options.tokens, options.sides, limit)
        record.append({"memory": memory, "limit_bytes": limit, "told": told})
        print(
            memory or "what is free",
            "" if limit is None else f"ulimit {limit // MIB} MiB",
            told[-1],
            flush=True,
        )
    if options.record:
        whole = {**provenance("memory"), "sides": options.sides, "runs": record}
        options.record.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
