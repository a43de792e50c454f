"""`galago bench`: what its record holds, what shares are made of, what is refused. No time is judged."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from galago import bench, device, kernels
from galago.bench import facts, measurement, pictures
from galago.bench.ceilings import measure_here
from galago.bench.record import Spread, share_of_peak, share_of_reading
from galago.bench.work import Operations
from galago.errors import GalagoError, GarbageError, UsageError
from galago.types import Answer, DeviceState

__all__ = ["run"]

SMALL = bench.Plan(tokens=3, runs=2, together=3, size=60)
WORDS = ("--tokens", "3", "--runs", "2", "--together", "2", "--size", "60")
MEGA = 1 << 20
SHOWN = (
    "nano (bf16)", "90x60", "load", "vision", "prefill", "first token", "tokens/s", "second question",
    "2 questions, one picture", "2 pictures, one question", "peak memory", "weights on disk",
    "share of the machine: vision", "ceiling: int8", "GB/s", "temperature", "throttled",
)  # fmt: skip


def at_most(**rates):
    known = {
        "read_bytes_per_second": 4e12,
        "int8_operations_per_second": 8e12,
        "bf16_operations_per_second": 4e12,
        "f32_operations_per_second": 2e12,
    }
    one = bench.Rates(**{**known, **rates})
    return bench.Ceilings("some", 2, 1, one, one)


@pytest.fixture
def known_ceilings(monkeypatch):
    monkeypatch.setattr(measurement, "ceilings", lambda _threads: at_most())


def unknown(value):
    """Names of what is None in a record, nested names joined by dots."""
    for name, part in value.items():
        if part is None:
            yield name
        elif isinstance(part, dict):
            yield from (f"{name}.{below}" for below in unknown(part))


def test_a_record_holds_everything_and_null_where_nothing_can_be_read(known_ceilings, monkeypatch):
    monkeypatch.setattr(device, "state", DeviceState)
    monkeypatch.setattr(measurement.device, "process_memory", lambda: device.ProcessMemory(None, None))
    record = bench.measure("nano", None, SMALL, command="galago bench nano")
    values = json.loads(record.to_json())
    assert set(values) == {field.name for field in dataclasses.fields(bench.Record)}
    assert set(values["answer"]) == set(Answer("", "", "stop").to_dict())
    assert set(values["ceilings"]) == set(values["device"]) == {"before", "after"}
    assert values["memory"] == dict.fromkeys(values["memory"])  # all unknown here
    assert values["device"]["before"] == dict.fromkeys(("temperature_c", "throttled", "clock_hz"))
    for part in ("load_s", "single", "second", "questions_together", "pictures_together", "work", "shares"):
        assert list(unknown({part: values[part]})) == []
    assert values["plan"]["tokens"] == values["answer"]["usage"]["completion_tokens"] == 3
    assert values["picture"] == {
        "width": 60,
        "height": 60,
        "tokens": values["answer"]["usage"]["image_tokens"],
    }
    assert values["software"]["command"] == "galago bench nano"
    assert values["model"]["disk_bytes"] > values["model"]["parameters"]


def test_single_answers_look_anew_and_the_second_question_does_not(known_ceilings):
    answers = []
    measured = measurement._Measurement(SMALL, pictures.draw(60), lambda *_: None)
    model, _ = measured._load("nano")
    singles, seconds = measured._singles(model, measured._ask(model, 0))
    answers += [(one.timings.encode_s > 0, one.usage.cached_tokens) for one in singles]
    assert answers == [(True, 0)] * 2
    for one in seconds:
        assert one.timings.encode_s == 0
        assert one.usage.cached_tokens > one.usage.image_tokens


def test_shares_are_counted_work_at_the_ceilings_over_time_taken(known_ceilings):
    record = bench.measure("nano", None, dataclasses.replace(SMALL, weights="q8"))
    work, single = record.work, record.single
    assert min(work.vision.int8, work.prefill.int8, work.token.int8) > 0
    assert work.vision.rounded > 0 == work.vision.attention
    needed = 2 * work.vision.int8 / 8e12 + 2 * work.vision.f32 / 2e12 + 2 * work.vision.rounded / 4e12
    assert math.isclose(record.shares.vision, needed / single.vision_s.median)
    rate = single.decode_tokens_per_second.median
    assert math.isclose(record.shares.decode, work.token_bytes * rate / 4e12)
    assert all(0 < share < 1 for share in dataclasses.astuple(record.shares))


def test_a_share_is_unknown_where_its_ceiling_or_its_time_is():
    both, second = Operations(10, 10, 0), Spread(2.0, 1.0, 3.0)
    no_bf16, rounded = at_most(bf16_operations_per_second=None), Operations(0, 0, 0, rounded=10)
    assert share_of_peak(rounded, second, (at_most(), no_bf16)) == 20 / 4e12 / 2
    assert share_of_peak(rounded, second, (no_bf16, no_bf16)) == 20 / 2e12 / 2
    no_int8, nothing = at_most(int8_operations_per_second=None), at_most(f32_operations_per_second=None)
    assert share_of_peak(both, second, (no_int8, no_int8)) is None
    assert share_of_peak(Operations(0, 10, 0), second, (no_int8, no_int8)) == 20 / 2e12 / 2
    assert share_of_peak(both, second, (nothing, nothing)) is None
    assert share_of_peak(both, None, (at_most(), at_most())) is None
    assert share_of_reading(10, second, (nothing, at_most(read_bytes_per_second=40.0))) == 10 * 2 / 4e12
    assert share_of_reading(10, None, (nothing, nothing)) is None


def test_one_token_has_no_rate_of_decoding(known_ceilings):
    plan = dataclasses.replace(SMALL, tokens=1, runs=1, together=0)
    record = bench.measure("nano", None, plan)
    assert record.single.decode_tokens_per_second is None
    assert record.shares.decode is None
    assert record.questions_together is record.pictures_together is None


def test_garbage_is_an_error(known_ceilings, monkeypatch):
    garbage = Answer("", "nano", "garbage", notes=("not finite",))
    monkeypatch.setattr("galago.Model.ask_many", lambda *_, **__: [garbage])
    with pytest.raises(GarbageError, match="nano: not finite"):
        bench.measure("nano", None, SMALL)


@pytest.mark.parametrize("isa", kernels.available())
def test_ceilings_are_rates_or_unknown(isa):
    with kernels.using(isa=isa):
        found = measure_here(2, 32 * MEGA)
    assert (found.instruction_set, found.threads, found.memory_bytes) == (isa, 2, 32 * MEGA)
    for rates in (found.one, found.all):
        assert rates.read_bytes_per_second > 0
        peaks = (rates.int8_operations_per_second, rates.f32_operations_per_second)
        assert all(peak is None if isa == "generic" else peak > 1e6 for peak in peaks)
        rounding = rates.bf16_operations_per_second
        assert (rounding is not None) == (isa in ("avx512_bf16", "amx")), isa
        assert rounding is None or rounding > 1e6


def test_ceilings_leave_the_memory_of_the_caller_alone():
    before = device.process_memory().peak_bytes
    found = bench.ceilings(1, memory_bytes=256 * MEGA)
    assert found.memory_bytes == 256 * MEGA
    assert device.process_memory().peak_bytes - before < 128 * MEGA


def test_memory_that_cannot_be_had_is_an_unknown_rate():
    found = measure_here(1, 1 << 46)
    assert found.one.read_bytes_per_second is None


def test_a_measuring_process_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(GalagoError, match="exit code 1"):
        bench.ceilings(1)


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"runs": 0}, {"together": 9}, {"size": 20}])
def test_a_plan_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        bench.Plan(**wrong)


def test_pictures_are_drawn_the_same_and_their_variants_differ():
    np.testing.assert_array_equal(pictures.draw(60), pictures.draw(60))
    drawn = pictures.draw(60)
    assert drawn.shape == (60, 60, 3)
    different = {one.tobytes() for one in pictures.variants(drawn, 8)}
    assert len(different) == 8
    assert len(set(pictures.QUESTIONS)) == bench.Plan().together


def test_the_commit_is_told_of_a_source_tree_and_of_nothing_else(tmp_path):
    assert facts.commit(tmp_path) is None
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert facts.commit(tmp_path) is None
    (tmp_path / ".git").unlink()
    for words in ("init -q", "-c user.name=a -c user.email=a@b.c commit -q --allow-empty -m one"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    clean = facts.commit(tmp_path)
    assert len(clean) >= 7
    (tmp_path / "benchmarks/records").mkdir(parents=True)
    (tmp_path / "benchmarks/records/new.json").write_text("{}")
    assert facts.commit(tmp_path) == clean
    (tmp_path / "changed.py").write_text("")
    assert facts.commit(tmp_path) == clean + "-dirty"


def test_json_is_exactly_one_object_and_the_file_holds_the_same(known_ceilings, run, tmp_path):
    code, out, err = run("bench", "nano", *WORDS, "--json", "--out", str(tmp_path / "record.json"))
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record == json.loads((tmp_path / "record.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    words = record["software"]["command"].split()
    assert words[:3] == ["galago", "bench", "nano"]
    assert {"--tokens", "3", "--json"} <= set(words)


def test_the_table_is_the_answer(known_ceilings, run, tmp_path):
    Image.new("RGB", (90, 60)).save(tmp_path / "x.png")
    code, out, err = run("bench", "nano", "--picture", str(tmp_path / "x.png"), *WORDS[:6])
    assert (code, err) == (0, "")
    for words in SHOWN:
        assert words in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("bench no-such-model", 1),
        ("bench nano --picture no-such-picture.png", 1),
        ("bench nano --picture README.md", 1),
        ("bench nano --out no-such-folder/record.json", 2),
        ("bench nano --out tests", 2),
        ("bench nano --tokens 0", 2),
        ("bench nano --threads 0", 2),
        ("bench nano --memory lots", 2),
        ("bench nano --picture x.png --size 60", 2),
        ("bench", 2),
    ],
)
def test_what_cannot_be_measured_is_one_line(known_ceilings, run, monkeypatch, words, code):
    monkeypatch.chdir(Path(__file__).parents[2])
    got, out, err = run(*words.split())
    assert (got, out) == (code, "")
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_record_that_cannot_be_written_is_one_line_after_the_answer(
    known_ceilings, run, tmp_path, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("galago.files.replacing", full)
    code, out, err = run("bench", "nano", *WORDS, "--json", "--out", str(tmp_path / "record.json"))
    assert code == 1
    assert json.loads(out)["runs"] == 2
    assert err == f"error: {tmp_path / 'record.json'} cannot be written: No space left on device\n"


def test_an_interruption_ends_with_130_and_leaves_nothing(run, tmp_path, monkeypatch):
    def interrupted(_threads):
        raise KeyboardInterrupt

    monkeypatch.setattr(measurement, "ceilings", interrupted)
    code, out, err = run("bench", "nano", *WORDS, "--out", str(tmp_path / "record.json"))
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
