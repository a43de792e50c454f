"""What this machine can do at most: reading memory, and multiplying and adding bytes and floats.

The loops are native and run on the best instruction set that Galago has for this processor. They need more
memory than any cache holds, and that must not count as the caller's: `ceilings` has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from galago import device, kernels
from galago.errors import GalagoError
from galago.frozen import frozen
from galago.kernels.context import current

READ_BYTES = 1 << 30
"""Far beyond any cache of today (an L3 of 260 MB was met)."""
SHARE = 4
"""At most this part of the free memory is taken."""


@frozen
class Rates:
    """Of some threads together, the best of several short runs; None where it cannot be measured.

    A multiplication and an addition are two operations. Those of bfloat16 are a vector's, where a processor
    has such instructions; tiles of it (AMX) are not used by any kernel.
    """

    read_bytes_per_second: float | None
    int8_operations_per_second: float | None
    bf16_operations_per_second: float | None
    f32_operations_per_second: float | None


@frozen
class Ceilings:
    """`one` thread alone, and `all` the threads that were asked for; `memory_bytes` were read."""

    instruction_set: str
    threads: int
    memory_bytes: int
    one: Rates
    all: Rates

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(asdict(self))


def ceilings(threads: int | None = None, *, memory_bytes: int | None = None) -> Ceilings:
    """Measure for about a second; `threads` are by default all processors this process may use.

    `memory_bytes` are read, by default 1 GiB or a quarter of what is free. The caller's memory stays as it
    is. Raises GalagoError when the measuring process fails.
    """
    count = kernels.ThreadPool(threads).threads
    size = [] if memory_bytes is None else [str(memory_bytes)]
    command = [sys.executable, "-m", "galago.bench", str(count), *size]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise GalagoError(f"what this machine can do could not be measured: {why}", hint="galago doctor")
    values = json.loads(done.stdout)
    return Ceilings(**{**values, "one": Rates(**values["one"]), "all": Rates(**values["all"])})


def measure_here(threads: int, memory_bytes: int | None = None) -> Ceilings:
    """The same in this process, whose peak of memory then counts what was read."""
    free = device.available_memory().value or READ_BYTES
    size = memory_bytes or min(READ_BYTES, free // SHARE)
    isa = current().isa or kernels.available()[-1]
    memory = _memory(size)
    return Ceilings(isa, threads, size, _rates(1, memory), _rates(threads, memory))


def _memory(size: int) -> NDArray[np.uint8] | None:
    """Memory of so many bytes, written once so that it is there; None where it cannot be had."""
    try:
        return np.ones(size, np.uint8)
    except MemoryError:
        return None


def _rates(threads: int, memory: NDArray[np.uint8] | None) -> Rates:
    from galago.kernels import native

    with kernels.using(threads=threads):
        return Rates(
            read_bytes_per_second=None if memory is None else native.read_rate(memory),
            int8_operations_per_second=2 * native.peak_int8() or None,
            bf16_operations_per_second=2 * native.peak_bf16() or None,
            f32_operations_per_second=2 * native.peak_f32() or None,
        )
