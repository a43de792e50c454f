"""Where the time of one answer goes: every kernel call of vision, prefill and decoding, timed by name.

Beside the seconds stand the operations and bytes that the shapes predict, and the rate that makes. The calls
are timed from Python, so each carries a microsecond or two of its own.

    python benchmarks/stages.py MODEL [--picture FILE] [--tokens N] [--threads N]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import galago
from galago.kernels import native

PICTURE = Path(__file__).parents[1] / "examples" / "scene.png"
TIMED = (
    "decode_rows", "linear", "linears", "gated", "linear_best", "embed", "rms_norm", "layer_norm", "rotate",
    "attention", "gelu", "quick_gelu", "silu_mul", "is_finite",
)  # fmt: skip


@dataclass
class Total:
    """What the calls of one kernel in one stage took, and what their shapes predict."""

    calls: int = 0
    seconds: float = 0.0
    operations: float = 0.0
    byte_count: float = 0.0


class Recorder:
    """Wraps the kernels of the native table; a call belongs to the stage its number of rows tells."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], Total] = defaultdict(Total)
        self.stage = "vision"

    def wrap(self, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The same kernel, timed."""

        def timed(*arrays: Any, **options: Any) -> Any:
            began = time.perf_counter()
            result = kernel(*arrays, **options)
            total = self.totals[self.stage, name]
            total.seconds += time.perf_counter() - began
            total.calls += 1
            total.operations += operations(name, arrays, options)
            total.byte_count += sum(getattr(one, "nbytes", 0) for one in flat((*arrays, result)))
            return result

        return timed


def flat(values: Iterable[Any]) -> Iterator[Any]:
    """The values, and in the place of a list what is in it."""
    for value in values:
        yield from value if isinstance(value, list | tuple) else (value,)


def operations(name: str, arrays: tuple[Any, ...], options: dict[str, Any]) -> float:
    """Multiplications and additions of a product or of attention; 0 for what is bound by memory."""
    if name in {"linear", "linears", "gated"}:
        return 2.0 * len(arrays[0]) * sum(prod(weight.shape) for weight in flat(arrays[1:2]))
    if name != "attention":
        return 0.0
    tokens, heads, size = arrays[0].shape
    keys, bounds = len(arrays[1]), options.get("bounds")
    if bounds is not None:
        pairs = float(np.square(np.diff(bounds).astype(np.float64)).sum())
    else:
        pairs = tokens * (keys - (tokens - 1) / 2 if options["causal"] else keys)
    return 4.0 * pairs * heads * size


def main() -> None:
    """Ask once to warm up and once to measure, and print a table for each stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    model = galago.load(asked.model, cache=False, threads=asked.threads)
    model.ask(asked.picture, "And now?", max_tokens=2)  # touches every weight once

    recorder = Recorder()
    for name in TIMED:
        setattr(native, name, recorder.wrap(name, getattr(native, name)))
    fresh = np.asarray(galago.media.read_picture(asked.picture).pixels).copy()
    fresh[0, 0] ^= 1  # another picture: nothing of it is kept
    whole: dict[str, float] = {}
    began = time.perf_counter()
    image = model.encode(fresh)
    whole["vision"] = time.perf_counter() - began
    recorder.stage = "prefill"
    pieces = model.stream(
        [{"role": "user", "content": [{"type": "image", "image": image}, "What is to be seen here?"]}],
        max_tokens=asked.tokens, min_tokens=asked.tokens,
    )  # fmt: skip
    linear, decode_rows = native.linear, native.decode_rows

    def watched(x: Any, weight: Any, *more: Any) -> Any:
        recorder.stage = "decode" if len(x) == 1 and weight.shape[0] < 1 << 16 else recorder.stage
        return linear(x, weight, *more)

    def watched_rows(*arrays: Any) -> Any:
        recorder.stage = "decode"
        return decode_rows(*arrays)

    native.linear, native.decode_rows = watched, watched_rows
    answer = pieces.answer
    whole["prefill"], whole["decode"] = answer.timings.prefill_s or 0.0, answer.timings.decode_s or 0.0
    for stage, seconds in whole.items():
        show(stage, seconds, {name: one for (of, name), one in recorder.totals.items() if of == stage})


def show(stage: str, seconds: float, totals: dict[str, Total]) -> None:
    """One stage: its kernels, the costliest first, and what is left to Python and numpy."""
    print(f"{stage}: {seconds:.4f} s")
    for name, one in sorted(totals.items(), key=lambda item: -item[1].seconds):
        rate = f"{one.operations / one.seconds / 1e9:8.1f} G operations/s" if one.operations else ""
        print(
            f"  {name:<12}{one.calls:>6} calls {one.seconds:9.4f} s {100 * one.seconds / seconds:5.1f} %"
            f"  {one.byte_count / one.seconds / 1e9:7.1f} GB/s {rate}"
        )
    rest = seconds - sum(one.seconds for one in totals.values())
    print(f"  {'between':<12}{'':>12} {rest:9.4f} s {100 * rest / seconds:5.1f} %")


if __name__ == "__main__":
    main()
