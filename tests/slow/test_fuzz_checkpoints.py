"""Damaged checkpoints: tensors come out or one of our errors, never bytes from outside the file."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import galago
from cases import picture
from checkpoint_tokenizer import write_tokenizer
from checkpoints import FAMILIES
from damage import check_clear, damaged
from galago.errors import ConfigError, GalagoError, WeightError
from galago.formats.safetensors import open_file, open_folder, write
from galago.text import ChatTemplate, Tokenizer

CASES = 500
EXTREMES: tuple[Any, ...] = (
    -1, 0, 1, 63, 64, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, 1.5, -0.0, True, None, "", "F32", "BF16",
    "F8_E4M3", [], {}, [0, 0], [4, 0], "\ud800", "__metadata__", [[]], [2**62, 4],
)  # fmt: skip


def tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "embed.weight": random.standard_normal((7, 5)).astype(np.float32),
        "blocks.0.bits": random.integers(0, 1 << 16, (3, 4), np.uint16),
        "blocks.0.codes": random.integers(0, 256, 64, np.uint8),
        "empty": np.zeros((0, 9)),
        "scalar": np.array(3.5),
    }


def check(path: Path, case: str) -> None:
    """Opens the file; what opens can be read to its last byte and lies about nothing."""
    try:
        found = open_file(path)
    except WeightError as error:
        check_clear(error, case)
        return
    for name, tensor in found.items():
        assert tensor.array.shape == tensor.shape, (case, name)
        assert tensor.array.tobytes() is not None
    assert sum(tensor.array.nbytes for tensor in found.values()) < path.stat().st_size, case


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_give_tensors_or_one_clear_error(tmp_path, seed):
    path = tmp_path / "model.safetensors"
    write(path, tensors(), {"format": "pt"}, dtypes={"blocks.0.bits": "BF16"}, durable=False)
    whole = path.read_bytes()
    for number in range(CASES):
        case = f"{seed} {number}"
        path.write_bytes(damaged(whole, random.Random(case)))
        check(path, case)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_header_that_lies_gives_tensors_or_one_clear_error(tmp_path, seed):
    path = tmp_path / "model.safetensors"
    write(path, tensors(), {"format": "pt"}, durable=False)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    for number in range(CASES):
        case = f"{seed} {number}"
        text = json.dumps(lying(header, random.Random(case))).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        check(path, case)


def lying(value: Any, chance: random.Random) -> Any:
    """A copy of a JSON value in which one to four places are extreme, gone, doubled, or another's."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.choice((1, 1, 2, 4))):
        container: Any = value
        key = chance.choice(list(container)) if container else None
        while (
            key is not None
            and isinstance(container[key], dict | list)
            and container[key]
            and chance.random() < 0.8
        ):
            container = container[key]
            key = (
                chance.choice(list(container))
                if isinstance(container, dict)
                else chance.randrange(len(container))
            )
        if key is None:
            continue
        match chance.randrange(4):
            case 0:
                container.pop(key)
            case 1 if isinstance(container[key], int):
                container[key] += chance.choice((-64, -8, -4, -1, 1, 4, 8, 64))
            case 2 if isinstance(container, dict):
                container[f"{key}{chance.randrange(9)}"] = container[key]
            case _:
                container[key] = copy.deepcopy(chance.choice(EXTREMES))
    return value


@pytest.mark.slow
def test_a_lying_index_gives_tensors_or_one_clear_error(tmp_path):
    for shard in ("a", "b"):
        write(tmp_path / f"{shard}.safetensors", {shard: np.zeros(3), "c": np.ones(1)}, durable=False)
    index = {"metadata": {"total_size": 48}, "weight_map": {name: f"{name}.safetensors" for name in "ab"}}
    index["weight_map"]["c"] = "a.safetensors"
    for number in range(CASES):
        text = json.dumps(lying(index, random.Random(number)))
        (tmp_path / "model.safetensors.index.json").write_bytes(damaged_rarely(text.encode(), number))
        try:
            assert set(open_folder(tmp_path)) <= {"a", "b", "c"}
        except GalagoError as error:
            check_clear(error, number)


def damaged_rarely(data: bytes, number: int) -> bytes:
    return data if number % 2 else damaged(data, random.Random(number))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_a_damaged_tokenizer_or_template_works_or_is_one_clear_error(tmp_path, file):
    write_tokenizer(tmp_path, template_file=True)
    whole = (tmp_path / file).read_bytes()
    for number in range(CASES // 2):
        chance = random.Random(f"{file} {number}")
        if file == "tokenizer.json" and number % 2:
            data = json.dumps(lying(json.loads(whole), chance)).encode()
        else:
            data = damaged(whole, chance)
        (tmp_path / file).write_bytes(data)
        try:
            tokenizer = Tokenizer.from_folder(tmp_path)
            prompt = ChatTemplate.from_folder(tmp_path).render([{"role": "user", "content": "Hi"}])
            tokenizer.decode(tokenizer.encode(prompt))
        except ConfigError as error:
            check_clear(error, number)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "generation_config.json"])
@pytest.mark.parametrize("family", FAMILIES)
def test_settings_that_lie_give_answers_or_one_clear_error(checkpoint, tmp_path, family, file):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint(family), folder)
    whole, image = json.loads((folder / file).read_text()), picture(90, 130, 6)
    for number in range(CASES):
        case = f"{family} {file} {number}"
        (folder / file).write_text(json.dumps(lying(whole, random.Random(case))))
        try:
            with galago.load(folder, threads=1, cache=False) as model:
                model.ask(image, "What?", max_tokens=2)
        except GalagoError as error:
            check_clear(error, case)
