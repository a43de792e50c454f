"""safetensors files: what the reference library reads and writes; aligned, mapped, whole or absent."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors
from safetensors import numpy as reference

from galago.errors import WeightError
from galago.formats.safetensors import TensorSpec, open_file, open_with_metadata, write, writing

ALL_DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sample() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    tensors = {f"a.{dtype}": (random.random((3, 5, 7)) * 100).astype(dtype) for dtype in ALL_DTYPES}
    return tensors | {
        "scalar": np.array(7, np.float32),
        "empty": np.zeros((4, 0, 2), np.float32),
        "one": np.ones(1, np.uint8),
        "ünïcödé 模型": np.arange(16, dtype=np.float32),
    }


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def test_the_reference_reads_what_we_write(tmp_path):
    write(tmp_path / "a.safetensors", sample(), {"format": "galago", "who": "ü"})
    read = reference.load_file(tmp_path / "a.safetensors")
    assert read.keys() == sample().keys()
    assert all(same(read[name], array) for name, array in sample().items())
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "galago", "who": "ü"}


def test_we_read_what_the_reference_writes(tmp_path):
    reference.save_file(sample(), tmp_path / "a.safetensors", {"format": "pt"})
    read = open_file(tmp_path / "a.safetensors")
    assert read.keys() == sample().keys()
    assert all(same(read[name].array, array) for name, array in sample().items())
    assert all(read[name].shape == array.shape for name, array in sample().items())
    assert open_with_metadata(tmp_path / "a.safetensors")[1] == {"format": "pt"}


def test_bfloat16_travels_as_its_bits(tmp_path):
    bits = np.array([[0x3F80, 0xC000, 0x7F80]], np.uint16)
    write(tmp_path / "a.safetensors", {"w": bits, "u": bits}, dtypes={"w": "BF16"})
    read = open_file(tmp_path / "a.safetensors")
    assert (read["w"].dtype, read["u"].dtype) == ("BF16", "U16")
    assert same(read["w"].array, bits)


def test_data_and_every_tensor_that_can_be_are_aligned_to_64_bytes(tmp_path):
    tensors = sample() | {f"w{n}": np.zeros((n, 64), np.int8) for n in (1, 2, 3)}
    write(tmp_path / "a.safetensors", tensors, {"some": "metadata"})
    for name, stored in open_file(tmp_path / "a.safetensors").items():
        size = stored.array.nbytes
        assert size == 0 or stored.array.ctypes.data % min(64, size & -size) == 0, name


def test_tensors_that_fill_64_bytes_keep_their_order(tmp_path):
    write(tmp_path / "a.safetensors", {name: np.zeros(64, np.int8) for name in "zebra"})
    assert list(open_file(tmp_path / "a.safetensors")) == list("zebra")


def test_arrays_are_read_only_views_of_the_file(tmp_path):
    write(tmp_path / "a.safetensors", {"w": np.arange(6, dtype=np.float32).reshape(2, 3)})
    array = open_file(tmp_path / "a.safetensors")["w"].array
    assert not array.flags.owndata
    assert not array.flags.writeable
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(np.float32(99).tobytes())
    assert array[1, 2] == 99


def test_a_tensor_off_its_alignment_is_still_right(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (1 - len(header) % 8)
    data = np.array([1, 2], "<f4")
    (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header + data.tobytes())
    array = open_file(tmp_path / "a")["w"].array
    assert same(array, data)
    assert array.flags.aligned


def test_any_memory_layout_and_byte_order_is_written_as_its_values(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write(tmp_path / "a", {"turned": array.T, "step": array[:, ::2], "big": array.astype(">f4")})
    read = open_file(tmp_path / "a")
    assert np.array_equal(read["turned"].array, array.T)
    assert np.array_equal(read["step"].array, array[:, ::2])
    assert np.array_equal(read["big"].array, array)


def test_no_tensors_at_all_is_a_valid_file(tmp_path):
    write(tmp_path / "a", {})
    assert open_file(tmp_path / "a") == {}
    assert reference.load_file(tmp_path / "a") == {}


def test_tensors_can_be_put_one_at_a_time_in_any_order(tmp_path):
    specs = {"first": TensorSpec("F32", (2, 3)), "second": TensorSpec("U8", (5,))}
    with writing(tmp_path / "a", specs) as sink:
        sink.put("second", np.arange(5, dtype=np.uint8))
        sink.put("first", np.ones((2, 3), np.float32))
    read = reference.load_file(tmp_path / "a")
    assert read["second"].tolist() == [0, 1, 2, 3, 4]
    assert read["first"].sum() == 6


@pytest.mark.parametrize("array", [np.zeros(4, np.float32), np.zeros(5, np.float64)])
def test_a_tensor_that_was_planned_otherwise_is_refused(tmp_path, array):
    with (
        pytest.raises(ValueError, match="planned as F32"),
        writing(tmp_path / "a", {"w": TensorSpec("F32", (5,))}) as sink,
    ):
        sink.put("w", array)
    assert names(tmp_path) == []


def test_a_planned_tensor_that_was_never_put_is_an_error_and_leaves_no_file(tmp_path):
    with (
        pytest.raises(ValueError, match="never put"),
        writing(tmp_path / "a", {"w": TensorSpec("F32", (5,))}),
    ):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ({"w": np.zeros(2, np.complex128)},),
        ({"__metadata__": np.zeros(2)},),
        ({}, {"steps": 3}),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_writing(tmp_path, arguments):
    with pytest.raises(ValueError, match=r"no dtype|metadata"):
        write(tmp_path / "a", *arguments)
    assert names(tmp_path) == []


def test_a_dtype_for_an_unknown_tensor_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not among the tensors"):
        write(tmp_path / "a", {}, dtypes={"w": "BF16"})


def test_a_full_disk_is_one_clear_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(tmp_path / "a", {"w": np.ones(4)})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightError, match="cannot be written: No space left on device") as caught:
        write(tmp_path / "a", {"w": np.zeros(4)})
    assert "32 bytes" in caught.value.hint
    assert open_file(tmp_path / "a")["w"].array.sum() == 4
    assert names(tmp_path) == ["a"]


def test_a_write_that_breaks_off_leaves_nothing(tmp_path, file_size_limit):
    file_size_limit(10_000)
    with pytest.raises(WeightError, match="cannot be written: File too large"):
        write(tmp_path / "a", {f"w{n}": np.zeros(1000) for n in range(5)})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "said", "hint"),
    [
        ("missing/a", "No such file or directory", "make the folder first"),
        ("file/a", "Not a directory", "choose a place"),
        ("folder", "is a folder", "choose a place"),
        ("pipe", "is not an ordinary file", "choose a place"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, place, said, hint):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightError, match="cannot be written: " + said) as caught:
        write(tmp_path / place, {"w": np.zeros(4)})
    assert hint in caught.value.hint


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Sets how many bytes a file of this process may have, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
