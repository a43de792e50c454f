"""Commands that answer, on a tiny model: what goes to stdout, what to stderr, and the exit codes."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import galago
from checkpoints import write_checkpoint
from galago import cli, kernels
from galago.evals.metrics import exact
from galago.evals.suite import Case, Report, Score

QUESTION = "What does the display read?"
SHORT = ("--max-tokens", "8")


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return str(checkpoint("qwen2_5_vl"))


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.random.default_rng(3).integers(0, 256, (60, 84, 3), np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def run(capsys):
    """`run(*words)` -> code, stdout, stderr."""

    def run(*words):
        code = cli.main(words)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def typed(monkeypatch):
    """`typed(data)` makes stdin hold these bytes, in a pipe."""

    def typed(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return typed


def test_ask_prints_the_answer_and_nothing_else(run, tiny, picture):
    want = galago.load(tiny).ask(picture, QUESTION, max_tokens=8).text
    assert run("ask", "-m", tiny, picture, QUESTION, *SHORT) == (0, want + "\n", "")


def test_json_is_one_object_with_the_whole_record(run, tiny, picture):
    code, out, err = run("ask", "-m", tiny, picture, QUESTION, *SHORT, "--json", "--no-cache")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert set(record) == {
        "model", "text", "finish_reason", "boxes", "usage", "timings", "memory", "device", "notes"
    }  # fmt: skip
    assert record["usage"]["completion_tokens"] == 8
    assert record["timings"]["encode_s"] > 0


def test_further_questions_find_the_picture_encoded(run, tiny, picture):
    _, out, _ = run(
        "ask", "-m", tiny, picture, QUESTION, "--also", "Is it in alarm?", *SHORT, "--json", "--no-cache"
    )
    first, second = json.loads(out)["answers"]
    assert first["timings"]["encode_s"] > 0
    assert second["timings"]["encode_s"] == 0
    assert second["usage"]["cached_tokens"] > second["usage"]["image_tokens"]


def test_answers_come_in_the_order_of_the_questions(run, tiny, picture):
    alone = [run("ask", "-m", tiny, picture, q, *SHORT)[1] for q in (QUESTION, "Is it in alarm?")]
    _, out, _ = run("ask", "-m", tiny, picture, "-q", QUESTION, "--also", "Is it in alarm?", *SHORT)
    assert out == "".join(alone)


def test_a_picture_may_come_from_stdin(run, tiny, picture, typed):
    want = run("ask", "-m", tiny, picture, QUESTION, *SHORT)
    typed(Path(picture).read_bytes())
    assert run("ask", "-m", tiny, "-", QUESTION, *SHORT) == want


def test_stats_go_to_stderr(run, tiny, picture):
    _, plain, _ = run("ask", "-m", tiny, picture, QUESTION, *SHORT)
    _, out, err = run("ask", "-m", tiny, picture, QUESTION, *SHORT, "--stats")
    assert out == plain
    for word in ("completion tokens", "first token", "prefill", "peak", "ms", "MB"):
        assert word in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("caption PICTURE", "a dial"),
        ("find PICTURE dial", "[]"),
        ("read PICTURE", "5 bar"),
        ("extract PICTURE --fields a", '{"a": "b"}'),
    ],
)
def test_every_verb_shows_stats_on_stderr(run, monkeypatch, tiny, picture, words, text):
    answer = galago.Answer(text, "tiny", "stop", timings=galago.Timings(first_token_s=0.25))
    monkeypatch.setattr("galago.engine.engine.Engine.answer", lambda *_: [answer])
    line = [*(picture if word == "PICTURE" else word for word in words.split()), "-m", tiny]
    _, plain, quiet = run(*line)
    code, out, err = run(*line, "--stats")
    assert (code, out) == (0, plain)
    assert "first token" not in quiet
    assert "first token" in err


def test_constraints_hold(run, tiny, picture, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}')
    assert run("ask", "-m", tiny, picture, "Which?", "--choices", "yes, no")[1].strip() in ("yes", "no")
    assert run("ask", "-m", tiny, picture, "Which?", "--regex", "[ab]{3}c")[1].strip()[3] == "c"
    assert json.loads(run("ask", "-m", tiny, picture, "Which?", "--schema", str(schema))[1])["n"] in (1, 2)
    assert json.loads(run("extract", "-m", tiny, picture, "--schema", str(schema))[1])["n"] in (1, 2)


def test_a_terminal_sees_the_same_text(tiny, picture, run):
    _, want, _ = run("ask", "-m", tiny, picture, QUESTION, *SHORT)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "galago", "ask", "-m", tiny, picture, QUESTION, *SHORT]
    subprocess.run(command, stdout=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 4096).decode().replace("\r\n", "\n") == want
    os.close(ours)


def test_a_conversation_remembers(run, tiny, picture, typed):
    model = galago.load(tiny)
    messages = []
    for text in (QUESTION, "And now?", "And then?"):
        image = [] if messages else [{"type": "image", "image": picture}]
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": text}]})
        answer = model.chat(messages, max_tokens=8)
        messages.append({"role": "assistant", "content": answer.text})
    typed(f"/image {picture}\n{QUESTION}\n\nAnd now?\nAnd then?\n/bye\nnever read\n".encode())
    code, out, _ = run("chat", "-m", tiny, *SHORT)
    assert code == 0
    assert out == "".join(message["content"] + "\n" for message in messages[1::2])


def test_a_new_conversation_forgets(run, tiny, picture, typed):
    typed(f"{QUESTION}\n".encode())
    _, fresh, _ = run("chat", "-m", tiny, *SHORT)
    typed(f"Tell me.\n/new\n{QUESTION}\n".encode())
    _, out, _ = run("chat", "-m", tiny, picture, *SHORT)
    assert out.endswith(fresh)


def test_find_prints_boxes_and_draws_them_on_a_copy(run, tiny, picture, tmp_path, monkeypatch):
    box = galago.Box(10, 5, 40.4, 50, "cup")
    monkeypatch.setattr(galago.Model, "find", lambda *_, **__: [box])
    code, out, err = run("find", "-m", tiny, picture, "a cup", "-o", str(tmp_path / "found.png"))
    assert (code, out, err) == (0, "10 5 40 50 cup\n", "")
    before, after = Image.open(picture), Image.open(tmp_path / "found.png")
    assert after.size[0] * before.size[1] == after.size[1] * before.size[0]
    assert after.tobytes() != before.resize(after.size).tobytes()
    assert json.loads(run("find", "-m", tiny, picture, "a cup", "--json")[1])["boxes"][0]["label"] == "cup"


@pytest.mark.parametrize(
    ("form", "want"),
    [
        ("text", "TOTAL 5\n*done*\n"),
        ("markdown", "TOTAL 5\\\n\\*done\\*\n"),
        ("json", '{"text": "TOTAL 5\\n*done*", "lines": ["TOTAL 5", "*done*"]}\n'),
    ],
)
def test_read_prints_lines_in_the_form_asked_for(run, monkeypatch, tiny, picture, form, want):
    reading = galago.Reading("TOTAL 5\n*done*", ("TOTAL 5", "*done*"))
    monkeypatch.setattr(galago.Model, "read", lambda *_, **__: reading)
    assert run("read", "-m", tiny, picture, "--format", form) == (0, want, "")


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
    ],
)
def test_misuse_is_2_one_line_and_a_way_out(run, tiny, picture, words):
    code, out, err = run(*(picture if word == "PICTURE" else word for word in words.split()), "-m", tiny)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "Traceback" not in err


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


def test_a_cache_that_cannot_be_written_costs_a_warning_and_no_answer(run, tiny, picture):
    code, out, err = run("ask", "-m", tiny, picture, QUESTION, *SHORT, "--cache", picture + "/cache")
    assert (code, out) == run("ask", "-m", tiny, picture, QUESTION, *SHORT)[:2]
    assert err.startswith("warning: image features are not kept on disk")
    assert err.count("\n") == 1


def test_a_prompt_longer_than_the_context_is_1_and_says_so(run, tiny, picture):
    code, out, err = run("ask", "-m", tiny, picture, "word " * 5000)
    assert (code, out) == (1, "")
    assert "4096" in err


def test_a_folder_that_is_no_model_is_1_and_names_what_is_missing(run, picture, tmp_path):
    code, out, err = run("ask", "-m", str(tmp_path), picture, QUESTION)
    assert (code, out) == (1, "")
    assert "config.json" in err


def test_image_tokens_bound_the_cost(run, tiny, picture):
    _, out, _ = run("ask", "-m", tiny, picture, QUESTION, "--image-tokens", "4", *SHORT, "--json")
    assert json.loads(out)["usage"]["image_tokens"] <= 4


def test_a_converted_model_answers_and_says_what_it_is(run, tiny, picture, tmp_path):
    target = str(tmp_path / "packed")
    assert run("convert", tiny, target, "--weights", "q8")[0] == 0
    assert run("ask", "-m", target, picture, QUESTION, *SHORT)[0] == 0
    assert json.loads(run("info", target, "--json")[1])["weights"] == "q8"
    assert run("convert", tiny, target, "--weights", "q8")[0] == 2  # it exists


def test_an_exported_model_is_a_model(run, tiny, tmp_path):
    target = str(tmp_path / "exported")
    assert run("export", tiny, target, "--to", "hf")[0] == 0
    assert "weights             f32\n" in run("info", target)[1]


def test_models_lists_names_and_families(run):
    code, out, _ = run("models", "--json")
    assert code == 0
    assert json.loads(out)["models"] == ["nano"]
    assert "nano" in run("models")[1]


def test_doctor_shows_the_machine(run):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert "generic" in out
    report = json.loads(run("doctor", "--json")[1])
    assert set(report) >= {"galago", "machine", "gpu", "sensors", "extras", "cache"}
    assert set(report["gpu"]) == {"model", "memory_bytes", "capability", "driver"}


def test_doctor_shows_the_gpu_or_why_there_is_none(run, monkeypatch):
    def missing():
        raise galago.MissingDependencyError("no torch", hint="install it")

    monkeypatch.setattr("galago.kernels.gpu", missing)
    report = json.loads(run("doctor", "--json")[1])
    assert report["gpu"]["model"] is None
    assert report["unread"]["model"] == "no torch (try: install it)"
    monkeypatch.setattr("galago.kernels.gpu", lambda: kernels.Gpu("NVIDIA Something", 24_000_000_000, "8.9"))
    assert "model             NVIDIA Something\n  memory            24.0 GB" in run("doctor")[1]


def test_doctor_fails_where_the_kernels_are_missing(run, monkeypatch):
    def missing():
        raise galago.MissingDependencyError("no kernels", hint="build them")

    monkeypatch.setattr("galago.kernels.available", missing)
    code, out, _ = run("doctor")
    assert code == 1
    assert "unknown: no kernels (try: build them)" in out


def test_an_interruption_ends_with_130_and_no_traceback(tiny):
    with subprocess.Popen(
        [sys.executable, "-m", "galago", "chat", "-m", tiny, *SHORT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - background jobs ignore it
    ) as process:
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        process.stdout.readline()  # it has answered, and waits for the next line
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()


def test_a_suite_is_asked_of_the_model(run, tiny, monkeypatch):
    def evaluate(answer, **options):
        assert options["tasks"] == ("colour",)
        pixels = np.zeros((56, 56, 3), np.uint8)
        given = answer([Case(pixels, text, "red", "colour", exact) for text in ("Colour?", "And now?")])
        return Report("nano", (Score("colour", len(given), {"exact": 0.5}),))

    monkeypatch.setattr("galago.evals.nano.evaluate", evaluate)
    words = ("eval", "nano", "-m", tiny, "--task", "colour", "--questions", "2")
    assert "| colour | 2 | exact 50.0 % |" in run(*words)[1]
    assert json.loads(run(*words, "--json")[1])["tasks"]["colour"]["count"] == 2


def test_training_without_torch_names_the_extra(run, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("galago.train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run("train", "nano")
    assert code == 1
    assert "pip install 'galago[train]'" in err
