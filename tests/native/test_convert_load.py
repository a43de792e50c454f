"""A converted folder is read as it lies, and answers bit by bit as the model that was converted on load."""

import numpy as np
import pytest

import galago
from cases import CASES
from checkpoints import FAMILIES
from galago import nn
from galago.compress import convert
from galago.packing import Bf16Weight, PackedWeight

CASE = next(case for case in CASES if case.name == "two pictures")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", ["q4", "q8", "bf16"])
def test_converting_once_equals_converting_on_load(checkpoint, tmp_path, family, weights):
    convert(checkpoint(family), tmp_path / "once", weights=weights)
    with galago.load(checkpoint(family), weights=weights, cache=False) as on_load:
        want = on_load.logits(CASE.messages)
    with galago.load(tmp_path / "once", cache=False) as once:
        assert once.info()["weights"] == weights
        np.testing.assert_array_equal(once.logits(CASE.messages), want)


@pytest.mark.parametrize("weights", ["q4", "q8", "bf16"])
def test_no_matrix_of_a_converted_folder_is_copied_into_memory(checkpoint, tmp_path, weights):
    convert(checkpoint("qwen2_5_vl"), tmp_path / "out", weights=weights)
    with galago.load(tmp_path / "out", cache=False) as model:
        held = [value for *_, value in nn.parameters(model.engine.model.network.module)]
    arrays = [
        array
        for weight in held
        if isinstance(weight, (PackedWeight, Bf16Weight))
        for array in vars(weight).values()
        if isinstance(array, np.ndarray)
    ]
    assert len(arrays) > 60
    assert not any(array.flags.owndata or array.flags.writeable for array in arrays)
