"""Galago computes what `transformers` computes: patches, logits, greedy tokens, for every layout.

Errors are relative: the largest difference of any prompt logit over the largest logit. Both sides sum in
float32 (6e-8 a rounding) through some 40 products of up to 1,176 terms and through sharp softmaxes, which
amplify: 3e-5 is met, 1e-4 allowed. The smallest mistake worth finding (tanh for exact GELU) makes 1e-3.
"""

import numpy as np
import pytest
import torch

import galago
from asking import greedy_tokens, prompt_ids, relative_error
from cases import CASES
from checkpoints import FAMILIES
from direct import Direct
from galago import kernels
from reference import VERSION, Reference, reference

TOLERANCE = 1e-4
GREY_LEVEL = 1 / 255 / 0.26  # one uint8 step after division by the smallest standard deviation

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module", params=FAMILIES)
def hub(request, checkpoint):
    return checkpoint(request.param)


@pytest.fixture(scope="module")
def model(hub):
    with galago.load(hub, cache=False) as model:
        yield model


@each_case
def test_prompt_ids_are_the_references(hub, model, case):
    assert prompt_ids(model, case.messages).tolist() == reference(hub).prompt(case).ids.tolist()


@each_case
def test_patches_and_grids_are_the_references(hub, case):
    prompt = reference(hub).prompt(case)
    for kind in ("image", "video"):
        ours = [visual for visual in Direct(hub).visuals(case) if visual.kind == kind]
        grids = prompt.tensors.get(f"{kind}_grid_thw", torch.zeros(0, 3))
        assert [visual.grid for visual in ours] == [tuple(grid) for grid in grids.tolist()]
        if ours:
            want = prompt.tensors["pixel_values" if kind == "image" else "pixel_values_videos"].numpy()
            assert np.abs(np.concatenate([visual.patches for visual in ours]) - want).max() <= GREY_LEVEL


@each_case
def test_every_prompt_logit_is_the_references(hub, model, case):
    assert relative_error(model.logits(case.messages), reference(hub).logits(case)) <= TOLERANCE


@each_case
def test_32_greedy_tokens_are_the_references(hub, model, case):
    theirs = reference(hub)
    want, lead = theirs.greedy(case, 32)
    assert lead > 2 * TOLERANCE * np.abs(theirs.logits(case)).max(), (
        "the reference's own choice is near a tie"
    )
    assert greedy_tokens(model, case.messages, 32) == want


@each_case
def test_every_logit_on_torch_tensors_is_the_references(hub, case):
    theirs = reference(hub)
    with torch.no_grad():
        got = Direct(hub, torch.from_numpy).logits(theirs.prompt(case).ids, case)
    assert relative_error(got, theirs.logits(case)) <= TOLERANCE


def test_every_logit_by_the_numpy_definition_is_the_references(hub):
    theirs, case = reference(hub), CASES[-1]  # a picture and a video
    with kernels.using(backend="numpy"):
        got = Direct(hub).logits(theirs.prompt(case).ids, case)
    assert relative_error(got, theirs.logits(case)) <= TOLERANCE


@pytest.mark.parametrize("naming", ["hub", "resaved", "both"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sharded_bf16_checkpoint_is_read_alike(checkpoint, family, naming):
    folder, case = checkpoint(family, naming=naming, dtype="bf16", shards=3), CASES[-1]
    theirs = Reference(folder)
    assert not any(theirs.load()[1].values())
    with galago.load(folder, cache=False) as model:
        assert relative_error(model.logits(case.messages), theirs.logits(case)) <= TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_the_output_matrix_may_be_tied_or_not(checkpoint, family):
    folder, case = checkpoint(family, tied=family == "qwen2_vl"), CASES[0]  # the other way round
    with galago.load(folder, cache=False) as model:
        assert relative_error(model.logits(case.messages), reference(folder).logits(case)) <= TOLERANCE


def test_the_reference_is_the_named_version():
    import transformers

    assert transformers.__version__ == VERSION
