"""A model folder is one file or the shards of an index, and nothing outside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galago.errors import ConfigError, WeightError
from galago.formats.safetensors import open_folder, write

SHARDS = {"model-1-of-2.safetensors": {"a": 1.0, "b": 2.0}, "model-2-of-2.safetensors": {"c": 3.0}}
WEIGHT_MAP = {name: shard for shard, tensors in SHARDS.items() for name in tensors}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard, tensors in SHARDS.items():
        write(tmp_path / shard, {name: np.array([value]) for name, value in tensors.items()})
    write_index(tmp_path, WEIGHT_MAP)
    return tmp_path


def write_index(folder: Path, weight_map: Any) -> None:
    index = {"metadata": {"total_size": 24}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def values(folder: Path) -> dict[str, float]:
    return {name: tensor.array.item() for name, tensor in open_folder(folder).items()}


def test_the_shards_of_an_index_are_read_as_one(folder):
    assert values(folder) == {"a": 1, "b": 2, "c": 3}


def test_a_single_file_goes_before_an_index(folder):
    write(folder / "model.safetensors", {"a": np.array([9.0])})
    assert values(folder) == {"a": 9}


def test_links_out_of_the_folder_are_followed_as_download_caches_need(folder, tmp_path_factory):
    blob = tmp_path_factory.mktemp("blobs") / "0123abcd"
    (folder / "model-2-of-2.safetensors").rename(blob)
    (folder / "model-2-of-2.safetensors").symlink_to(blob)
    assert values(folder)["c"] == 3


def test_a_shard_in_a_folder_of_its_own_is_read(folder):
    (folder / "parts").mkdir()
    (folder / "model-2-of-2.safetensors").rename(folder / "parts" / "two.safetensors")
    write_index(folder, WEIGHT_MAP | {"c": "parts/two.safetensors"})
    assert values(folder)["c"] == 3


def test_a_tensor_that_the_index_forgot_is_not_dropped(folder):
    write_index(folder, {"a": "model-1-of-2.safetensors", "c": "model-2-of-2.safetensors"})
    assert values(folder) == {"a": 1, "b": 2, "c": 3}


def test_the_index_decides_between_two_tensors_of_one_name(folder):
    write(folder / "model-2-of-2.safetensors", {"b": np.array([7.0]), "c": np.array([3.0])})
    assert values(folder)["b"] == 2


def test_two_tensors_of_one_name_that_the_index_does_not_know_are_refused(folder):
    for shard in SHARDS:
        write(folder / shard, {shard: np.zeros(1), "twin": np.zeros(1)})
    write_index(folder, {shard: shard for shard in SHARDS})
    with pytest.raises(WeightError, match="two shards hold 'twin'"):
        open_folder(folder)


def test_a_missing_shard_is_named(folder):
    (folder / "model-2-of-2.safetensors").unlink()
    with pytest.raises(WeightError, match=r"model-2-of-2\.safetensors is missing") as caught:
        open_folder(folder)
    assert caught.value.hint == "download the whole model again"


def test_a_tensor_that_is_not_where_the_index_says_is_named(folder):
    write_index(folder, WEIGHT_MAP | {"d": "model-1-of-2.safetensors"})
    with pytest.raises(WeightError, match=r"model-1-of-2\.safetensors lacks tensor 'd'"):
        open_folder(folder)


@pytest.mark.parametrize(
    "shard", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:x", "", ".", 5, None, "a\0b"]
)
def test_an_index_that_points_outside_the_folder_is_refused(folder, shard):
    write_index(folder, WEIGHT_MAP | {"c": shard})
    with pytest.raises(WeightError, match="outside the folder"):
        open_folder(folder)


@pytest.mark.parametrize("weight_map", [None, [], {}, "a"])
def test_an_index_without_a_map_is_refused(folder, weight_map):
    write_index(folder, weight_map)
    with pytest.raises(WeightError, match="has no weight_map"):
        open_folder(folder)


def test_an_index_that_is_not_json_is_refused(folder):
    (folder / "model.safetensors.index.json").write_text("{")
    with pytest.raises(ConfigError, match="is not valid JSON"):
        open_folder(folder)


def test_a_folder_without_weights_says_what_it_has_instead(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    (tmp_path / "model.gguf").touch()
    with pytest.raises(WeightError, match=r"has neither .* \(it has \.bin, \.gguf files\)") as caught:
        open_folder(tmp_path)
    assert caught.value.hint


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(WeightError, match="missing is not a folder"):
        open_folder(tmp_path / "missing")
