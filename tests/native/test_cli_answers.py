"""Commands that answer, on a tiny model: what goes to stdout, what to stderr, and the exit codes."""

from __future__ import annotations

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

import galago
from commands import QUESTION, SHORT, answers, picture, run, tiny, typed
from galago import kernels
from galago.evals.metrics import exact
from galago.evals.suite import Case, Report, Score

__all__ = ["answers", "picture", "run", "tiny", "typed"]


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
def test_every_verb_shows_stats_on_stderr(run, answers, tiny, picture, words, text):
    answers(galago.Answer(text, "tiny", "stop", timings=galago.Timings(first_token_s=0.25)))
    line = [*(picture if word == "PICTURE" else word for word in words.split()), "-m", tiny]
    _, plain, quiet = run(*line)
    code, out, err = run(*line, "--stats")
    assert (code, out) == (0, plain)
    assert "first token" not in quiet
    assert "first token" in err


@pytest.mark.parametrize(
    ("words", "text", "special"),
    [
        ("caption PICTURE", "a dial", {}),
        ("find PICTURE dial", "a dial", {"boxes": [{"x0": 1, "y0": 2, "x1": 3, "y1": 4, "label": "dial"}]}),
        ("read PICTURE", "5 bar\n", {"lines": ["5 bar"]}),
        ("extract PICTURE --fields a", '{"a": "b"}', {"data": {"a": "b"}}),
    ],
)
def test_json_of_every_verb_is_the_whole_record_and_what_it_made(
    run, answers, tiny, picture, words, text, special
):
    boxes = (galago.Box(1, 2, 3, 4, "dial"),) if "boxes" in special else ()
    answer = galago.Answer(text, "tiny", "stop", boxes=boxes, timings=galago.Timings(total_s=0.0))
    answers(answer)
    line = [*(picture if word == "PICTURE" else word for word in words.split()), "-m", tiny]
    code, out, err = run(*line, "--json")
    record = json.loads(out)
    assert (code, err) == (0, "")
    assert record.pop("timings")["total_s"] > 0  # reading the picture
    want = json.loads(answer.to_json()) | special
    del want["timings"]
    assert record == want


@pytest.mark.parametrize(
    "verb", ["caption PICTURE", "find PICTURE cup", "read PICTURE", "extract PICTURE --fields a"]
)
def test_every_verb_may_be_cut(run, tiny, picture, verb):
    line = [picture if word == "PICTURE" else word for word in verb.split()]
    out = run(*line, "-m", tiny, "--json", "--max-tokens", "3")[1]
    assert json.loads(out)["usage"]["completion_tokens"] == 3


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


def test_find_prints_boxes_and_draws_them_on_a_copy(run, tiny, picture, tmp_path, answers):
    answers(galago.Answer("a cup", "tiny", "stop", boxes=(galago.Box(10, 5, 40.4, 50, "cup"),)))
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
def test_read_prints_lines_in_the_form_asked_for(run, answers, tiny, picture, form, want):
    answers(galago.Answer("TOTAL 5\n*done*", "tiny", "stop"))
    assert run("read", "-m", tiny, picture, "--format", form) == (0, want, "")


def test_a_cache_that_cannot_be_written_costs_a_warning_and_no_answer(run, tiny, picture):
    code, out, err = run("ask", "-m", tiny, picture, QUESTION, *SHORT, "--cache", picture + "/cache")
    assert (code, out) == run("ask", "-m", tiny, picture, QUESTION, *SHORT)[:2]
    assert err.startswith("warning: image features are not kept on disk")
    assert err.count("\n") == 1


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


def test_doctor_names_the_folder_of_image_features(run, tiny, picture):
    run("caption", "-m", tiny, picture)
    folder = json.loads(run("doctor", "--json")[1])["cache"]["image_features"]
    assert any(path.is_file() for path in Path(folder).iterdir())


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


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [("ask {} Hello --max-tokens 3 2>&-", 0, True), ("ask {} Hello >&-", 141, False), ("chat <&-", 0, False)],
)
def test_a_closed_stream_is_no_failure_of_an_answer(tiny, picture, words, code, said):
    line = f"{sys.executable} -m galago {words.format(picture)}"
    done = subprocess.run(
        line,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GALAGO_MODEL": tiny},
    )
    assert (done.returncode, done.stderr, bool(done.stdout)) == (code, "", said)


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
