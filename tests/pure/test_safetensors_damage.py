"""Damaged and lying safetensors files: one clear error each, naming the file and often the tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galago.errors import WeightError
from galago.formats.safetensors import open_file, write

F4 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def build(header: Any, data: bytes = bytes(16)) -> bytes:
    """A file with this header: an object to be spelled as JSON, or its very bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": F4 | changes}


def two(begin: int, end: int, size: int) -> dict[str, Any]:
    return {"w": F4, "v": {"dtype": "U8", "shape": [size], "data_offsets": [begin, end]}}


DAMAGED = {
    "empty file": (b"", "is empty"),
    "three bytes": (b"abc", "truncated: it has 3 bytes"),
    "header longer than the file": (build(entry())[:40], "claims a header of"),
    "header of 2^63 bytes": (b"\xff" * 8 + b"{}", "claims a header of 18446744073709551615"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    "a pickle": (b"PK\x03\x04" + bytes(400), "is not valid JSON|truncated"),
    "header is not UTF-8": (build(b'{"\xff": 1}'), "is not valid JSON"),
    "header is cut off": (build(b'{"w": {"dtype"'), "is not valid JSON"),
    "header is a list": (build([F4]), "does not start with an object"),
    "header nests without end": (build(b'{"a":' * 100_000), "is not valid JSON"),
    "header has a huge number": (build(b'{"w": ' + b"9" * 5000 + b"}"), "is not valid JSON"),
    "two tensors of one name": (build(b'{"w": 1, "w": 2}'), "the key 'w' comes twice"),
    "a megabyte twice": (build(b'{"w%s": 1, "w%s": 2}' % ((b"n" * 1_000_000,) * 2)), "…' comes twice"),
    "metadata is a list": (build({"__metadata__": []}, b""), "__metadata__ does not map"),
    "metadata of numbers": (build({"__metadata__": {"a": 1}}, b""), "__metadata__ does not map"),
    "entry is a number": (build({"w": 5}), "'w' is not described by dtype, shape and data_offsets"),
    "entry lacks its shape": (
        build({"w": {"dtype": "F32", "data_offsets": [0, 16]}}),
        "'w' is not described",
    ),
    "entry says more": (build(entry(strides=[1])), "'w' is not described"),
    "unknown dtype": (build(entry(dtype="F33")), "'w' has the unknown dtype 'F33'; known are F64, F32"),
    "dtype is a list": (build(entry(dtype=["F32"])), "'w' has the unknown dtype"),
    "a dtype that is not read": (build(entry(dtype="F8_E4M3", shape=[16])), "'w' is stored as F8_E4M3"),
    "negative size": (build(entry(shape=[-4])), "'w' has the impossible shape"),
    "size is a float": (build(entry(shape=[4.0])), "'w' has the impossible shape"),
    "size is true": (build(entry(shape=[True, 4])), "'w' has the impossible shape"),
    "shape is a number": (build(entry(shape=4)), "'w' has the impossible shape 4"),
    "too many dimensions": (build(entry(shape=[1] * 60 + [4])), "'w' has the impossible shape"),
    "more elements than can be": (
        build(entry(shape=[0, 2**62], data_offsets=[0, 0]), b""),
        "impossible shape",
    ),
    "size beyond 64 bits": (build(entry(shape=[0, 2**70], data_offsets=[0, 0]), b""), "impossible shape"),
    "offsets backwards": (build(entry(data_offsets=[16, 0])), "'w' has the impossible data_offsets"),
    "three offsets": (build(entry(data_offsets=[0, 8, 16])), "'w' has the impossible data_offsets"),
    "negative offset": (build(entry(data_offsets=[-16, 0])), "'w' has the impossible data_offsets"),
    "shape against bytes": (
        build(entry(shape=[3])),
        "'w' needs 12 bytes as F32 .3., but its data_offsets give it 16",
    ),
    "data cut off": (build(entry(), bytes(15)), "'w' ends at byte 16 of the data, which has 15: truncated"),
    "offsets behind the end": (build(entry(data_offsets=[16, 32])), "'w' ends at byte 32"),
    "overlap": (build(two(8, 16, 8)), "'v' overlaps tensor 'w'"),
    "the same bytes twice": (build(two(0, 16, 16)), "overlaps tensor"),
    "hole at the start": (build(entry(data_offsets=[4, 20]), bytes(20)), "'w' leaves a hole of 4 bytes"),
    "hole in between": (build(two(20, 24, 4), bytes(24)), "'v' leaves a hole of 4 bytes"),
    "bytes at the end": (build(entry(), bytes(20)), "4 bytes after the last tensor belong to none"),
    "a name of a megabyte": (build({"n" * 1_000_000: 5}), "'n{50,100}…' is not described"),
}


@pytest.mark.parametrize(("content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_line_with_a_way_out(tmp_path, content, said):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightError, match=said) as caught:
        open_file(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_header_over_100_megabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little"))
        file.truncate(200_000_000)  # sparse
    with pytest.raises(WeightError, match="claims 100000001 bytes; the format allows 100000000"):
        open_file(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [("missing", "does not exist"), (".", "is a folder"), ("/dev/null", "not an ordinary file")],
)
def test_what_is_no_file_is_named(tmp_path, path, said):
    with pytest.raises(WeightError, match=said) as caught:
        open_file(tmp_path / path)
    assert caught.value.hint


def test_every_truncation_of_a_good_file_is_noticed(tmp_path):
    path: Path = tmp_path / "a"
    write(path, {"w": np.arange(5, dtype=np.int16), "v": np.ones((2, 3))})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightError):
            open_file(path)
