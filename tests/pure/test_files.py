"""Files are replaced whole or not at all; JSON objects of a model folder are read with clear errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from galago.errors import ConfigError
from galago.files import read_json_object, replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_replaced_file_has_the_new_bytes_and_nothing_lies_beside_it(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with replacing(target, durable=True) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(TypeError), replacing(target) as file:
        file.writelines([b"half", None])
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_folder_and_a_device_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for target, what in ((tmp_path, "is a folder"), (tmp_path / "pipe", "is not an ordinary file")):
        with pytest.raises(OSError, match=what), replacing(target):
            pass
    assert names(tmp_path) == ["pipe"]


def test_a_replaced_file_has_the_permissions_of_a_new_one(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with replacing(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"[1]", "holds a list, not an object"),
        (b'"a"', "holds a string, not an object"),
        (b"null", "holds null, not an object"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' comes twice"),
        (b'{"a": "\xff"}', "is not UTF-8 text"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    ],
)
def test_a_damaged_json_file_is_named_with_what_is_wrong(tmp_path, content, said):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_json_object(tmp_path / "config.json")
    assert str(tmp_path / "config.json") in str(caught.value)
    assert caught.value.hint


def test_a_missing_json_file_carries_the_hint_of_who_asked(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json is missing") as caught:
        read_json_object(tmp_path / "config.json", hint="galago convert")
    assert caught.value.hint == "galago convert"


def test_a_folder_in_place_of_a_json_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_json_object(tmp_path)
