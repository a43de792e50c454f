"""The golden files: what the named reference version gave for every case, small enough to keep in the tree.

Per case the prompt's ids and grids whole; of the patches the mean and a sample; of the logits the winner of
every row and a sample; the greedy tokens. `python tests/golden_values.py` writes them again, which only a
change of the tiny checkpoints, of the cases or of the reference version is a reason for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "golden"
SAMPLE = 24
GREEDY = 32


def golden_file(family: str) -> Path:
    return FOLDER / f"{family}.json"


def read_golden(family: str) -> dict[str, Any]:
    return json.loads(golden_file(family).read_text(encoding="utf-8"))


def sample(array: np.ndarray) -> list[float]:
    """Values at fixed places all over the array, in C order."""
    flat = array.reshape(-1)
    places = np.random.RandomState(len(flat) % 2**31).randint(0, len(flat), SAMPLE)
    return [round(float(value), 6) for value in flat[places]]


def describe_patches(patches: np.ndarray) -> dict[str, Any]:
    return {
        "shape": list(patches.shape),
        "mean": round(float(patches.mean(dtype=np.float64)), 6),
        "sample": sample(patches),
    }


def describe_logits(logits: np.ndarray) -> dict[str, Any]:
    return {
        "largest": round(float(np.abs(logits).max()), 6),
        "winners": logits.argmax(axis=1).tolist(),
        "sample": sample(logits),
    }


def record(family: str, folder: Path) -> dict[str, Any]:
    """The golden values of a family from the reference, for the checkpoint in `folder`."""
    from cases import CASES
    from reference import VERSION, reference

    theirs = reference(folder)
    cases = {}
    for case in CASES:
        prompt = theirs.prompt(case)
        grids = [value.tolist() for key, value in prompt.tensors.items() if key.endswith("_grid_thw")]
        cases[case.name] = {
            "ids": prompt.ids.tolist(),
            "grids": [grid for kind in grids for grid in kind],
            "patches": [describe_patches(patches) for patches in prompt.patches],
            "logits": describe_logits(theirs.logits(case)),
            "greedy": theirs.greedy(case, GREEDY)[0],
        }
    return {"transformers": VERSION, "model_type": family, "cases": cases}


def main() -> None:
    import tempfile

    from checkpoints import FAMILIES, write_checkpoint

    FOLDER.mkdir(exist_ok=True)
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as temporary:
            values = record(family, write_checkpoint(Path(temporary), family))
        text = json.dumps(values, indent=1)
        golden_file(family).write_text(_on_one_line(text), encoding="utf-8")


def _on_one_line(text: str) -> str:
    """Innermost lists on one line each: a case is then a dozen lines that can be read."""
    import re

    return re.sub(r"\[\s*([^\[\]{}]*?)\s*\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


if __name__ == "__main__":
    main()
