"""Commands on a tiny model: what the tests of the command line share."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from galago import cli

QUESTION = "What does the display read?"
SHORT = ("--max-tokens", "8")


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return str(checkpoint("qwen2_5_vl"))


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.random.default_rng(3).integers(0, 256, (60, 84, 3), np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def run(capsys):
    """`run(*words)` -> code, stdout, stderr."""

    def run(*words):
        code = cli.main(words)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def typed(monkeypatch):
    """`typed(data)` makes stdin hold these bytes, in a pipe."""

    def typed(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return typed


@pytest.fixture
def answers(monkeypatch):
    """`answers(answer)` makes every model give this answer."""

    def answers(answer):
        monkeypatch.setattr("galago.engine.engine.Engine.answer", lambda *_: [answer])

    return answers
