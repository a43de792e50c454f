"""What this machine can do at most, as samples of a record; `galago.bench` measures it."""

from __future__ import annotations

from typing import Final

from galago import bench

KINDS: Final = ("read_bytes", "int8_operations", "bf16_operations", "f32_operations")


def measure(threads: int) -> dict[str, float]:
    """Bytes read from memory and operations in a second, all threads together; without what is not known."""
    rates = bench.ceilings(threads).all
    told = {f"{kind}_per_s": getattr(rates, f"{kind}_per_second") for kind in KINDS}
    return {name: value for name, value in told.items() if value is not None}
