"""The embedded model is one model here and in `transformers`: configuration, tokenizer, template, answers."""

import itertools
import json
import shutil

import numpy as np
import pytest

import galago
from asking import answer_tokens, prompt_ids, relative_error
from cases import CASES
from checkpoints import write_safetensors
from galago import models
from galago.engine.source import find_model
from galago.errors import ModelNotFoundError
from galago.export import export
from reference import Reference

TOLERANCE = 1e-4  # as in test_parity
FOLDER = "src/galago/nano"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory, pytestconfig):
    """nano's own files with random weights: what holds for them holds for the trained ones."""
    folder = tmp_path_factory.mktemp("nano")
    for path in (pytestconfig.rootpath / FOLDER).iterdir():
        if path.suffix in (".json", ".jinja"):
            shutil.copy(path, folder)
    values = json.loads((folder / "config.json").read_text())
    family, random = models.family(values["model_type"]), np.random.RandomState(0)
    weights = {}
    for tensor in family.tensors(family.parse_config(values)):
        noise = random.standard_normal(tensor.shape).astype(np.float32)
        matrix = noise * np.prod(tensor.shape[1:], dtype=np.float32) ** np.float32(-0.5)
        weights[tensor.spellings[0]] = matrix if tensor.matrix else 1 + 0.1 * noise
    write_safetensors(folder / "model.safetensors", weights)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    try:
        find_model("nano")
    except ModelNotFoundError:
        pytest.skip("this tree has no trained nano")
    folder = tmp_path_factory.mktemp("exported") / "nano"
    export("nano", folder)
    return folder


def check(folder, source):
    """Prompts, logits and greedy tokens of `source` in Galago are those of `folder` in the reference."""
    theirs = Reference(folder)
    assert not any(theirs.load()[1].values())
    with galago.load(source, weights="f32", cache=False) as model:
        ends = model.engine.model.end_ids
        for case in (CASES[0], CASES[-3], CASES[-1]):  # text, two pictures, a picture and a video
            assert prompt_ids(model, case.messages).tolist() == theirs.prompt(case).ids.tolist()
            assert relative_error(model.logits(case.messages), theirs.logits(case)) <= TOLERANCE
            tokens, lead = theirs.greedy(case, 8)
            if lead > 1e-2:  # no choice near a tie
                want = list(itertools.takewhile(lambda token: token not in ends, tokens))
                assert answer_tokens(model, case.messages, 8) == want


def test_nanos_files_are_read_alike_here_and_there(untrained):
    check(untrained, untrained)


def test_an_exported_nano_answers_the_same_in_the_reference(trained):
    check(trained, "nano")
