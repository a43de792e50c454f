"""`convert` writes a complete packed folder or nothing, and says what stands in its way."""

import errno
import json
import resource
from pathlib import Path

import numpy as np
import pytest

from checkpoints import FAMILIES, make_tensors, write_checkpoint, write_safetensors
from galago import packing
from galago.compress import convert
from galago.engine.checkpoint import open_checkpoint
from galago.errors import ConfigError, ModelNotFoundError, UsageError, WeightError
from galago.formats import folder as model_folder


def dense(folder: Path) -> dict[str, np.ndarray]:
    opened = open_checkpoint(folder)
    return {tensor.ours: packing.to_dense(opened.weight(tensor)) for tensor in opened.tensors}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", ["q4", "q8", "bf16", "f32"])
def test_a_converted_folder_holds_what_conversion_on_load_makes(checkpoint, tmp_path, family, weights):
    source = checkpoint(family)
    convert(source, tmp_path / "out", weights=weights)
    original, made = open_checkpoint(source), open_checkpoint(tmp_path / "out")
    assert made.is_packed
    for tensor in original.tensors:
        assert made.kind(tensor) == tensor.kind(weights)
        want = packing.to_dense(original.weight(tensor, weights))
        np.testing.assert_array_equal(packing.to_dense(made.weight(tensor)), want, err_msg=tensor.ours)


def test_every_layout_of_a_source_gives_the_same_folder(checkpoint, tmp_path):
    for name, options in (("one", {}), ("many", {"naming": "resaved", "shards": 3})):
        convert(checkpoint("qwen2_5_vl", **options), tmp_path / name, weights="q4")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "many"))
    assert first == second


def test_packed_tensors_are_kept_bit_by_bit(checkpoint, tmp_path):
    convert(checkpoint("qwen2_vl"), tmp_path / "first", weights="q4", group=64)
    convert(tmp_path / "first", tmp_path / "second", weights="q4", group=64)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_group_has_the_columns_asked_for_whatever_the_source_has(checkpoint, tmp_path):
    source = checkpoint("qwen2_vl")
    for group in (64, 32):
        convert(source, tmp_path / str(group), weights="q8", group=group)
        source, made = tmp_path / str(group), open_checkpoint(tmp_path / str(group))
        groups = {made.weight(tensor).group for tensor in made.tensors if made.kind(tensor) == "q8"}
        assert groups == {group}


def test_companions_go_along_and_shard_tables_stay(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_checkpoint(source, "qwen2_vl", shards=2)
    (source / "LICENSE").write_text("free")
    convert(source, tmp_path / "out", weights="q8")
    gone = {"model.safetensors.index.json"} | {path.name for path in source.glob("*.safetensors")}
    names = {path.name for path in source.iterdir()} - gone
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"model.safetensors"}
    assert (tmp_path / "out" / "config.json").read_bytes() == (source / "config.json").read_bytes()


def test_progress_counts_every_byte_and_sizes_are_true(checkpoint, tmp_path):
    seen = []
    done = convert(
        checkpoint("qwen2_vl"),
        tmp_path / "out",
        weights="q4",
        progress=lambda *at: seen.append(at),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (done.bytes_after, done.bytes_after)
    assert done.bytes_after < (tmp_path / "out" / "model.safetensors").stat().st_size < done.bytes_after * 1.1
    assert done.bytes_before == sum(tensor.nbytes for tensor in make_tensors("qwen2_vl", tied=False).values())
    assert done.tensors == {"q4": 28, "q8": 33, "f32": 81}


def test_an_existing_destination_is_refused_and_untouched(checkpoint, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        convert(checkpoint("qwen2_vl"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_parent_is_refused_with_the_command_that_makes_it(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="not a folder") as error:
        convert(checkpoint("qwen2_vl"), tmp_path / "a" / "b")
    assert error.value.hint == f"mkdir -p {tmp_path / 'a'}"


@pytest.mark.parametrize("options", [{"weights": "q2"}, {"group": 48}, {"group": 0}])
def test_wrong_options_are_refused_before_anything_is_read(tmp_path, options):
    with pytest.raises(UsageError):
        convert(tmp_path / "nothing", tmp_path / "out", **options)


def test_a_source_that_is_no_model_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for source, error in ((tmp_path / "none", ModelNotFoundError), (tmp_path / "empty", ConfigError)):
        with pytest.raises(error):
            convert(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_weight_that_is_not_finite_is_named_and_nothing_is_left(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_checkpoint(source, "qwen2_vl")
    tensors = make_tensors("qwen2_vl", tied=False)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
    write_safetensors(source / "model.safetensors", tensors)
    with pytest.raises(WeightError, match=r"model\.layers\.1\.mlp\.up_proj\.weight.*not finite"):
        convert(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_disk_that_is_too_small_is_noticed_before_writing(checkpoint, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(model_folder.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WeightError, match=r"needs \d\.\d MB, and the disk has 0\.0 MB free"):
        convert(checkpoint("qwen2_vl"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(checkpoint, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(WeightError, match=r"/out/model\.safetensors cannot be written: File too large"):
            convert(checkpoint("qwen2_vl"), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_of_companions_says_so(checkpoint, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_folder.shutil, "copyfile", full)
    with pytest.raises(WeightError, match="cannot be written: No space left on device") as error:
        convert(checkpoint("qwen2_vl"), tmp_path / "out")
    assert error.value.hint == "free some space, or write to another disk"
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(checkpoint, tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(checkpoint("qwen2_vl"), tmp_path / "out", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_large_matrix_is_converted_in_blocks_to_the_same_bits(checkpoint, tmp_path, monkeypatch):
    source = checkpoint("qwen2_5_vl")
    convert(source, tmp_path / "whole", weights="q4")
    monkeypatch.setattr("galago.engine.repack._BLOCK_VALUES", 5000)
    convert(source, tmp_path / "blocks", weights="q4")
    whole, blocks = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "blocks"))
    assert whole == blocks


def test_the_metadata_name_the_layout(checkpoint, tmp_path):
    convert(checkpoint("qwen2_vl"), tmp_path / "out", weights="q8")
    start = (tmp_path / "out" / "model.safetensors").read_bytes()
    header = json.loads(start[8 : 8 + int.from_bytes(start[:8], "little")])
    assert header["__metadata__"] == {"galago": "2", "weights": "q8"}
