"""The classes that answer on the CPU also learn: the same definition on torch tensors with gradients."""

import numpy as np
import pytest
import torch

from cases import CASES
from checkpoints import FAMILIES
from direct import Direct, GrowingCache
from galago import nn
from reference import reference

CASE = next(case for case in CASES if case.name == "not divisible by the window")


def leaf(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).requires_grad_()


@pytest.fixture(params=FAMILIES)
def hub(request, checkpoint):
    return checkpoint(request.param)


def next_token_loss(direct: Direct, ids: np.ndarray) -> torch.Tensor:
    x, (positions, _) = direct.inputs(ids, CASE), direct.positions(ids, CASE)
    hidden = direct.model.decode(x, positions, GrowingCache())
    return torch.nn.functional.cross_entropy(direct.model.logits(hidden)[:-1], torch.from_numpy(ids[1:]))


def test_an_optimiser_step_lowers_the_loss(hub):
    ids, direct = reference(hub).prompt(CASE).ids, Direct(hub, leaf)
    weights = [value for _, _, _, value in nn.parameters(direct.model.module)]
    optimiser = torch.optim.SGD(weights, lr=1e-3)
    before = next_token_loss(direct, ids)
    before.backward()
    optimiser.step()
    with torch.no_grad():
        assert next_token_loss(direct, ids) < before


def test_gradients_are_the_references(hub):
    theirs, direct = reference(hub), Direct(hub, leaf)
    prompt = theirs.prompt(CASE)
    next_token_loss(direct, prompt.ids).backward()
    theirs.model.zero_grad()
    theirs.model(**prompt.tensors, labels=prompt.tensors["input_ids"]).loss.backward()
    # the reference's loss is the same mean over all tokens but the first
    for ours, place in (
        (direct.model.vision.patch_embedding.weight, theirs.model.model.visual.patch_embed.proj.weight),
        (direct.model.language.embedding.weight, theirs.model.get_input_embeddings().weight),
        (direct.model.language.norm.weight, theirs.model.model.language_model.norm.weight),
    ):
        want = place.grad.reshape(ours.shape)
        assert (ours.grad - want).abs().max() <= 1e-3 * want.abs().max()  # ten times the logits'


def test_every_parameter_learns(hub):
    direct = Direct(hub, leaf)
    next_token_loss(direct, reference(hub).prompt(CASE).ids).backward()
    still = [
        name
        for name, _, _, value in nn.parameters(direct.model.module)
        if value.grad is None or not value.grad.abs().max() > 0
    ]
    assert still == []
