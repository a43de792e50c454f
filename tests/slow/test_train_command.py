"""`galago train nano` by itself, with the compiler of torch as a user has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from galago.cli import main

SCENE = str(Path(__file__).parents[2] / "examples" / "scene.png")


@pytest.mark.slow
# what torch's compiler looks at makes torch warn
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_the_command_trains_a_model_that_answers(tmp_path, capsys):
    words = ("--out", str(tmp_path), "--minutes", "0.05", "--fonts", "minimal", "--processes", "1")
    assert main(["train", "nano", *words]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        f"{json.loads((tmp_path / 'log.jsonl').read_text().splitlines()[-1])['pictures']} pictures"
    )
    assert f"galago ask -m {tmp_path / 'model'}" in told
    assert (
        main(["ask", SCENE, "What?", "-m", str(tmp_path / "model"), "--no-cache", "--max-tokens", "3"]) == 0
    )
    assert capsys.readouterr().out.strip()
