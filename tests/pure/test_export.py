"""`export` writes a folder with the published names and dense numbers, or nothing."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from checkpoints import FAMILIES, bf16_bits, make_tensors, tensor_shapes
from galago import packing
from galago.compress import convert
from galago.engine.checkpoint import open_checkpoint
from galago.errors import ModelNotFoundError, UsageError
from galago.export import export
from galago.formats.safetensors import open_with_metadata


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("naming", ["hub", "resaved"])
def test_dense_weights_come_back_bit_by_bit_under_their_published_names(checkpoint, tmp_path, family, naming):
    done = export(checkpoint(family, naming=naming), tmp_path / "out")
    want = make_tensors(family, tied=family == "qwen2_5_vl")
    got = load_file(tmp_path / "out" / "model.safetensors")
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        np.testing.assert_array_equal(got[name], tensor, err_msg=name)
    assert done.weights_bytes == sum(tensor.nbytes for tensor in want.values())


@pytest.mark.parametrize("weights", ["q4", "q8", "bf16"])
def test_packed_weights_become_the_numbers_they_mean(checkpoint, tmp_path, weights):
    convert(checkpoint("qwen2_vl"), tmp_path / "packed", weights=weights)
    export(tmp_path / "packed", tmp_path / "out", dtype="f32")
    packed, got = open_checkpoint(tmp_path / "packed"), load_file(tmp_path / "out" / "model.safetensors")
    shapes = tensor_shapes("qwen2_vl", tied=False)
    for tensor in packed.tensors:
        name = tensor.spellings[0]
        want = packing.to_dense(packed.weight(tensor)).reshape(shapes[name])
        np.testing.assert_array_equal(got[name], want, err_msg=name)


def test_bf16_is_the_nearest_bf16(checkpoint, tmp_path):
    export(checkpoint("qwen2_vl"), tmp_path / "out", dtype="bf16")
    stored = open_checkpoint(tmp_path / "out").stored
    for name, tensor in make_tensors("qwen2_vl", tied=False).items():
        np.testing.assert_array_equal(stored[name].array, bf16_bits(tensor), err_msg=name)


@pytest.mark.parametrize(
    ("held", "wanted", "said"),
    [
        ("f32", None, "float32"),
        ("bf16", None, "bfloat16"),
        ("bf16", "f32", "float32"),
        ("f32", "bf16", "bfloat16"),
    ],
)
@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
def test_the_configuration_says_what_the_weights_are(checkpoint, tmp_path, held, wanted, said, key):
    source = checkpoint("qwen2_5_vl", naming={"torch_dtype": "hub", "dtype": "resaved"}[key], dtype=held)
    export(source, tmp_path / "out", dtype=wanted)
    before, after = (json.loads((at / "config.json").read_text()) for at in (source, tmp_path / "out"))
    assert after == before | {key: said}


def test_a_packed_model_is_exported_without_loss_unless_asked(checkpoint, tmp_path):
    convert(checkpoint("qwen2_vl"), tmp_path / "packed", weights="q8")
    assert export(tmp_path / "packed", tmp_path / "out").dtype == "f32"


@pytest.mark.parametrize("options", [{"to": "onnx"}, {"dtype": "q4"}])
def test_wrong_options_are_refused_before_anything_is_read(tmp_path, options):
    with pytest.raises(UsageError):
        export(tmp_path / "nothing", tmp_path / "out", **options)


def test_an_existing_destination_and_a_missing_source_leave_nothing(checkpoint, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        export(checkpoint("qwen2_vl"), tmp_path / "out")
    with pytest.raises(ModelNotFoundError):
        export(tmp_path / "none", tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_the_file_says_that_its_tensors_are_in_pytorch_order(checkpoint, tmp_path):
    export(checkpoint("qwen2_vl"), tmp_path / "out")
    assert open_with_metadata(tmp_path / "out" / "model.safetensors")[1] == {"format": "pt"}


def test_progress_ends_at_the_whole(checkpoint, tmp_path):
    seen = []
    done = export(checkpoint("qwen2_vl"), tmp_path / "out", progress=lambda *at: seen.append(at))
    assert seen == sorted(seen)
    assert seen[-1] == (done.weights_bytes, done.weights_bytes)
