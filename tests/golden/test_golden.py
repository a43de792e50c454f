"""Galago's own answers against the golden files: prompt ids, grids, patches, logits, greedy tokens.

No `transformers` and no torch: the files hold what they gave. Tolerances: see tests/torch/test_parity.py.
"""

import numpy as np
import pytest

import galago
from asking import greedy_tokens, prompt_ids
from cases import CASES
from checkpoints import FAMILIES
from direct import Direct
from golden_values import GREEDY, describe_patches, read_golden, sample

TOLERANCE = 1e-4
GREY_LEVEL = 1 / 255 / 0.26

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family, checkpoint):
    with galago.load(checkpoint(family), cache=False) as model:
        yield model


@each_case
def test_prompt_ids_are_golden(family, model, case):
    assert prompt_ids(model, case.messages).tolist() == read_golden(family)["cases"][case.name]["ids"]


@each_case
def test_grids_and_patches_are_golden(family, checkpoint, case):
    golden = read_golden(family)["cases"][case.name]
    visuals = sorted(
        Direct(checkpoint(family)).visuals(case), key=lambda visual: visual.kind
    )  # pictures first
    assert [list(visual.grid) for visual in visuals] == golden["grids"]
    kinds = [[visual.patches for visual in visuals if visual.kind == kind] for kind in ("image", "video")]
    made = [describe_patches(np.concatenate(patches)) for patches in kinds if patches]
    assert [one["shape"] for one in made] == [one["shape"] for one in golden["patches"]]
    for one, want in zip(made, golden["patches"], strict=True):
        np.testing.assert_allclose(one["sample"], want["sample"], atol=GREY_LEVEL, rtol=0)
        assert one["mean"] == pytest.approx(want["mean"], abs=GREY_LEVEL / 20)


@each_case
def test_logits_are_golden(family, model, case):
    golden = read_golden(family)["cases"][case.name]["logits"]
    logits = model.logits(case.messages)
    allowed = TOLERANCE * golden["largest"]
    np.testing.assert_allclose(sample(logits), golden["sample"], atol=allowed, rtol=0)
    winners = logits[np.arange(len(logits)), golden["winners"]]
    assert (logits.max(axis=1) - winners <= 2 * allowed).all()  # two logits that may each be off


@each_case
def test_greedy_tokens_are_golden(family, model, case):
    want = read_golden(family)["cases"][case.name]["greedy"]
    assert greedy_tokens(model, case.messages, GREEDY) == want
