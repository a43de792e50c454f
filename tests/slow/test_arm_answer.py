"""The whole package on emulated ARM processors: the embedded model answers there as it does here."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MISSING_TOOLS = 3
PROCESSORS = {
    "cortex-a72": ["generic", "neon"],
    "cortex-a76": ["generic", "neon", "neon_dotprod"],
    "max": ["generic", "neon", "neon_dotprod", "neon_i8mm"],
}
ASK = ("-m", "galago", "ask", "examples/scene.png", "What kind of shape is the green one?", "--json")


def run(command, cache):
    """The one JSON object that the command prints; it finds no features of the picture that it could take."""
    environment = {**os.environ, "GALAGO_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == MISSING_TOOLS:
        pytest.skip(" ".join(done.stderr.split()))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_nano_answers_on_arm_as_it_does_here(tmp_path, processor):
    python = ["scripts/arm", "python", processor]
    offered = run([*python, "-m", "galago", "doctor", "--json"], tmp_path)["galago"]["instruction_sets"]
    here, there = run([".venv/bin/python", *ASK], tmp_path / "here"), run([*python, *ASK], tmp_path / "there")
    assert offered == PROCESSORS[processor]
    assert there["text"] == here["text"]
    assert there["usage"] == here["usage"]
    assert there["timings"]["encode_s"] > 0
