"""The families compute what `transformers` computes: patches, positions, logits, greedy tokens.

Errors are relative: the largest difference of any prompt logit over the largest logit. Both sides sum in
float32 (6e-8 a rounding) through some 40 products of up to 1,176 terms and through sharp softmaxes, which
amplify: 3e-5 is met, 1e-4 allowed. The smallest mistake worth finding (tanh for exact GELU) makes 1e-3.
"""

import numpy as np
import pytest
import torch

from cases import CASES
from checkpoints import FAMILIES
from direct import Direct
from galago import kernels
from reference import VERSION, Reference, reference

TOLERANCE = 1e-4
GREY_LEVEL = 1 / 255 / 0.26  # one uint8 step after division by the smallest standard deviation

WRAP = {"numpy": lambda array: array, "torch": torch.from_numpy}


@pytest.fixture(params=FAMILIES)
def hub(request, checkpoint):
    return checkpoint(request.param)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


@pytest.mark.parametrize("kind", WRAP)
def test_every_prompt_logit_is_the_references(hub, case, kind):
    theirs = reference(hub)
    with kernels.using(backend="numpy"), torch.no_grad():
        got = Direct(hub, WRAP[kind]).logits(theirs.prompt(case).ids, case)
    assert relative_error(got, theirs.logits(case)) <= TOLERANCE


def test_32_greedy_tokens_are_the_references(hub, case):
    theirs = reference(hub)
    want, lead = theirs.greedy(case, 32)
    assert lead > 2 * TOLERANCE * np.abs(theirs.logits(case)).max(), (
        "the reference's own choice is near a tie"
    )
    with torch.no_grad():
        assert Direct(hub, torch.from_numpy).greedy(theirs.prompt(case).ids, case, 32) == want


def test_patches_and_grids_are_the_references(hub, case):
    prompt = reference(hub).prompt(case)
    for kind in ("image", "video"):
        ours = [visual for visual in Direct(hub).visuals(case) if visual.kind == kind]
        grids = prompt.tensors.get(f"{kind}_grid_thw", torch.zeros(0, 3))
        assert [visual.grid for visual in ours] == [tuple(grid) for grid in grids.tolist()]
        if ours:
            want = prompt.tensors["pixel_values" if kind == "image" else "pixel_values_videos"].numpy()
            assert np.abs(np.concatenate([visual.patches for visual in ours]) - want).max() <= GREY_LEVEL


@pytest.mark.parametrize("naming", ["hub", "resaved"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_finds_every_tensor_of_the_checkpoints(checkpoint, family, naming):
    _, report = Reference(checkpoint(family, naming=naming, dtype="bf16", shards=3)).load()
    assert not any(report.values()), report


def test_the_reference_is_the_named_version():
    import transformers

    assert transformers.__version__ == VERSION
