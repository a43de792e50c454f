"""Commands that refuse: one line and a way out on stderr, no answer on stdout, and the exit codes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import galago
from checkpoints import write_checkpoint
from commands import QUESTION, SHORT, answers, picture, run, tiny, typed

__all__ = ["answers", "picture", "run", "tiny", "typed"]


@pytest.mark.parametrize("verb", ["caption PICTURE", "read PICTURE", "extract PICTURE --fields a"])
def test_json_has_the_record_of_an_answer_that_is_nothing(run, answers, tiny, picture, verb):
    answers(galago.Answer("{", "tiny", "garbage", notes=("it repeats itself",)))
    line = [picture if word == "PICTURE" else word for word in verb.split()]
    code, out, err = run(*line, "-m", tiny, "--json")
    assert (code, json.loads(out)["finish_reason"]) == (1, "garbage")
    assert "it repeats itself" in err


@pytest.mark.parametrize(
    "verb",
    ["ask PICTURE Hello", "caption PICTURE", "find PICTURE cup", "read PICTURE", "extract PICTURE --fields a",
     "chat PICTURE"],
)  # fmt: skip
def test_a_picture_that_the_memory_has_no_room_for_is_refused(run, typed, tmp_path, verb):
    path = tmp_path / "large.png"
    Image.new("1", (5000, 5000)).save(path)
    typed(b"")
    code, out, err = run(
        *(str(path) if word == "PICTURE" else word for word in verb.split()), "--memory", "100MB"
    )
    assert (code, out) == (1, "")
    assert "is 5000 x 5000: more than " in err
    assert "--memory" in err


def test_a_checkpoint_that_draws_takes_a_rule_of_the_draw(run, picture, tmp_path):
    write_checkpoint(tmp_path, "qwen2_5_vl")
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "do_sample": True}))
    line = ("ask", "-m", str(tmp_path), picture, QUESTION, *SHORT, "--top-k", "3")
    assert run(*line)[0] == 0
    assert run(*line, "--temperature", "0")[0] == 2


def test_garbage_is_an_error_with_a_hint(run, picture, tmp_path):
    write_checkpoint(tmp_path, "qwen2_5_vl")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"][:] = np.nan
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    code, out, err = run("ask", "-m", str(tmp_path), picture, QUESTION)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "\n  try: " in err
    code, out, err = run("ask", "-m", str(tmp_path), picture, QUESTION, "--json")
    assert (code, json.loads(out)["finish_reason"]) == (1, "garbage")


@pytest.mark.parametrize(
    "words",
    [
        "ask PICTURE",
        "ask PICTURE Hello --top-k 3",
        "ask PICTURE Hello --max-tokens 0",
        "ask PICTURE Hello --temperature -1",
        "ask PICTURE Hello --threads 0",
        "ask PICTURE Hello --memory lots",
        "ask PICTURE Hello --weights q3",
        "ask PICTURE Hello --cache x --no-cache",
        "ask PICTURE Hello --regex a --choices a,b",
        "ask PICTURE Hello --regex (",
        "ask PICTURE Hello --choices a,,b",
        "ask PICTURE Hello --schema no-such-file.json",
        "ask PICTURE Hello --image-tokens 0",
        "ask - - Hello",
        "extract PICTURE",
        "extract PICTURE --fields a --schema b.json",
        "extract PICTURE --fields a,a",
        "find PICTURE cup -o no-such-folder/found.png",
        "find PICTURE cup -o " + "a" * 300 + "/found.png",
        "find PICTURE _",
        "find PICTURE cup --max-tokens 0",
        "read PICTURE --json --format markdown",
        "ask PICTURE Hello --also _",
        "ask PICTURE Hello --top-k 3 --temperature 0",
        "ask PICTURE Hello --max-picture-pixels 0",
        "ask PICTURE Hello --memory " + "9" * 400 + "GB",
        "ask PICTURE Hello --schema PICTURE",
    ],
)
def test_misuse_is_2_one_line_and_a_way_out(run, tiny, picture, words):
    stands_for = {"PICTURE": picture, "_": " "}
    code, out, err = run(*(stands_for.get(word, word) for word in words.split()), "-m", tiny)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "\n  try: " in err
    assert err.count("\n") == 2


def test_the_limit_of_a_picture_is_refused_by_the_name_of_its_option(run, tiny, picture):
    assert "--max-picture-pixels is 0" in run("caption", picture, "-m", tiny, "--max-picture-pixels", "0")[2]


@pytest.mark.parametrize("model", ["~no-such-user/x", "a" * 300, "a\0b", "README.md"])
def test_what_names_no_model_is_1_and_a_way_out(run, model):
    code, out, err = run("info", model)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "\n  try: " in err


@pytest.mark.parametrize("data", [None, b"", b"hello", b"\x89PNG\r\n\x1a\n"], ids=str)
def test_what_is_no_picture_is_1_and_one_line(run, tiny, tmp_path, data):
    path = tmp_path / "x.png"
    if data is not None:
        path.write_bytes(data)
    code, out, err = run("ask", "-m", tiny, str(path), QUESTION)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "\n  try: " in err
    assert err.count("\n") == 2


def test_a_picture_over_the_limit_is_refused_and_the_option_allows_it(run, tiny, picture):
    assert run("ask", "-m", tiny, picture, QUESTION, "--max-picture-pixels", "100")[0] == 1
    assert run("ask", "-m", tiny, picture, QUESTION, "--max-picture-pixels", "10000", *SHORT)[0] == 0


def test_a_prompt_longer_than_the_context_is_1_and_says_so(run, tiny, picture):
    code, out, err = run("ask", "-m", tiny, picture, "word " * 5000)
    assert (code, out) == (1, "")
    assert "4096" in err


def test_a_folder_that_is_no_model_is_1_and_names_what_is_missing(run, picture, tmp_path):
    code, out, err = run("ask", "-m", str(tmp_path), picture, QUESTION)
    assert (code, out) == (1, "")
    assert "config.json" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("q4 --report missing.png", 1, "missing.png does not exist"),
        ("q4 --calibrate missing.png", 1, "missing.png does not exist"),
        ("q4 --report " + "a" * 300, 2, "cannot be read"),
        ("q4 --report .", 2, "holds no pictures"),
        ("bf16 --group 64", 2, "--group is for q8 and q4 weights, not for bf16"),
    ],
)
def test_what_cannot_be_converted_as_asked_is_refused_before(
    run, tiny, tmp_path, monkeypatch, words, code, said
):
    monkeypatch.chdir(tmp_path)
    got, out, err = run("convert", tiny, "target", "--weights", *words.split())
    assert (got, out) == (code, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_training_without_torch_names_the_extra(run, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("galago.train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run("train", "nano")
    assert code == 1
    assert "pip install 'galago[train]'" in err
