"""Many different pictures through one process: its own memory stays what it was when the caches were full."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASKING = """
import threading
import numpy as np
import galago, galago.device

def rest():
    "Till what an answer leaves has been given back: a worker's last piece of work."
    for thread in threading.enumerate():
        if thread.name.startswith("galago-"):
            thread.join()

model = galago.load({source!r}, cache=False, memory={memory})
random = np.random.default_rng(0)
for number in range(1, 301):
    height, width = 60 + 85 * (number % 5), 80 + 70 * (number % 6)  # the last thirty have the same sizes
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    model.ask(pixels, "What is shown?", max_tokens=8)
    if number in (30, 300):
        rest()
        print(galago.device.process_memory().own_bytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("memory", [None, 90_000_000])
@pytest.mark.parametrize("model", ["nano", "qwen2_5_vl"])
def test_after_300_pictures_a_process_is_as_large_as_after_30(checkpoint, model, memory):
    source = model if model == "nano" else str(checkpoint(model))
    code = ASKING.format(source=source, memory=memory)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    after_30, after_300 = map(int, told.split())
    assert after_300 < 1.05 * after_30
