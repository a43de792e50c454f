"""`transformers` loads what `export` writes, and answers as the original does."""

import numpy as np
import pytest
import torch

from cases import CASES
from checkpoints import FAMILIES
from direct import Direct
from galago.compress import convert
from galago.export import export
from reference import Reference, reference

CASE = next(case for case in CASES if case.name == "two pictures")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("naming", ["hub", "resaved"])
def test_the_reference_answers_the_same_from_an_exported_folder(checkpoint, tmp_path, family, naming):
    source = checkpoint(family, naming=naming)
    export(source, tmp_path / "out")
    original, exported = reference(source), Reference(tmp_path / "out")
    assert not any(exported.load()[1].values())
    np.testing.assert_array_equal(exported.prompt(CASE).ids, original.prompt(CASE).ids)
    np.testing.assert_array_equal(exported.logits(CASE), original.logits(CASE))


@pytest.mark.parametrize("weights", ["q8", "q4"])
def test_an_exported_packed_model_is_one_model_here_and_there(checkpoint, tmp_path, weights):
    convert(checkpoint("qwen2_5_vl"), tmp_path / "packed", weights=weights)
    export(tmp_path / "packed", tmp_path / "out")
    theirs = Reference(tmp_path / "out")
    assert not any(theirs.load()[1].values())
    with torch.no_grad():
        ours = Direct(tmp_path / "out", torch.from_numpy).logits(theirs.prompt(CASE).ids, CASE)
    want = theirs.logits(CASE)
    assert np.abs(ours - want).max() <= 1e-4 * np.abs(want).max()  # as in test_parity
