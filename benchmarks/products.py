"""Packed products at the shapes of Qwen2.5-VL-3B, one by one: operations and bytes a second.

    python benchmarks/products.py [--threads N] [--isa NAME] [--group N] [--only WORD]

Weights are random codes; what they mean does not change the speed. Each shape runs over several matrices in
turn, more than the caches hold, as a model does. Prints the best of the repeats, one line a shape.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from galago import kernels, packing

CACHED_BYTES = 300e6
"""Matrices of one shape together are larger than this where decoding is measured."""


class Shape(NamedTuple):
    """One product: tokens, rows, columns, bits of a weight."""

    name: str
    tokens: int
    rows: int
    cols: int
    bits: packing.Bits


def shapes() -> list[Shape]:
    """The linear layers of the model, by stage."""
    vision = {"qkv": (3840, 1280), "o": (1280, 1280), "gate": (3420, 1280), "down": (1280, 3420)}
    text = {"q": (2048, 2048), "k": (256, 2048), "gate": (11008, 2048), "down": (2048, 11008)}
    found = [Shape(f"vision {name}", 1296, *size, 8) for name, size in vision.items()]
    found += [Shape(f"prefill {name}", 357, *size, 4) for name, size in text.items()]
    for tokens in (1, 2, 4, 8):
        found += [Shape(f"decode {tokens} {name}", tokens, *size, 4) for name, size in text.items()]
    return [*found, *(Shape(f"decode {tokens} head", tokens, 151936, 2048, 8) for tokens in (1, 8))]


def random_weight(shape: Shape, group: int, rng: np.random.Generator) -> packing.PackedWeight:
    """A weight with random codes and steps."""
    parts = {}
    for name, (_, size) in packing.part_shapes(shape.rows, shape.cols, shape.bits, group).items():
        if name == "scales":
            parts[name] = rng.random(size).astype(np.float16)
        elif name != "offsets":
            parts[name] = rng.integers(0, 256, size, np.uint8)
    return packing.PackedWeight.of(shape.bits, group, (shape.rows, shape.cols), parts)


def measure(shape: Shape, group: int, seconds: float) -> tuple[float, int]:
    """Seconds of one product, the best round of several, and bytes of one weight."""
    rng = np.random.default_rng(0)
    weight = random_weight(shape, group, rng)
    few = shape.tokens <= 8
    count = max(1, min(64, int(CACHED_BYTES // weight.nbytes))) if few else 2
    weights = [weight] + [
        replace(weight, **{name: part.copy() for name, part in weight.parts.items()})
        for _ in range(count - 1)
    ]
    x = rng.standard_normal((shape.tokens, shape.cols), np.float32)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        for one in weights:
            kernels.linear(x, one)
        best = min(best, (time.perf_counter() - start) / count)
    return best, weight.nbytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa")
    parser.add_argument("--group", type=int, default=128)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=0.6)
    args = parser.parse_args()
    with kernels.using(threads=args.threads, isa=args.isa):
        for shape in shapes():
            if args.only not in shape.name:
                continue
            best, size = measure(shape, args.group, args.seconds)
            operations = 2 * shape.tokens * shape.rows * shape.cols
            print(
                f"{shape.name:16} {shape.tokens:5} x {shape.rows:6} x {shape.cols:5} q{shape.bits}"
                f" {best * 1e3:9.3f} ms {operations / best / 1e9:7.0f} GOPS {size / best / 1e9:6.1f} GB/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
