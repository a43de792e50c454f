"""The benchmark: its checkpoints are of official form, its records add up, its tables say who is faster."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from benchmarks.checkpoints import named_config, random_bits, shards, special_base, to_bits, write_checkpoint
from benchmarks.drivers.common import Driver, Job, forget_files, measure, remember_files
from benchmarks.drivers.llamacpp import vision_seconds
from benchmarks.engines import ROOT, engines
from benchmarks.process import ProcessFailedError, await_rest, busy_seconds, whole_process
from benchmarks.record import Record, Sample, Spread
from benchmarks.run import turns
from benchmarks.table import ROWS, markdown, ratio, shares
from benchmarks.tokenizer import SPECIAL_TOKENS, WORDS, vocabulary_and_merges, write_tokenizer
from benchmarks.workloads import QUESTIONS, WORKLOADS, pictures
from galago import models
from galago.errors import ConfigError, UsageError
from galago.formats.safetensors import open_folder

ABOUT = {"processor": "a processor", "threads": 2}


def sample(engine, number=1, part="answers", **values):
    return Sample("w1", part, engine, number, "2026-01-01T00:00:00Z", "a command", values)


def record(*samples):
    told = {"version": "1", "weights": "4 bits", "bytes_on_disk": {"w1": 3_000_000}}
    return Record(dict(ABOUT), {name: dict(told) for name in ("galago", "slow", "quick")}, list(samples))


@pytest.fixture
def small():
    config = named_config("w2")
    return config | {"num_hidden_layers": 2, "max_window_layers": 2}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_named_configuration_is_one_that_galago_reads(name):
    config = named_config(name)
    assert models.family(config["model_type"]).parse_config(config).image_token == config["image_token_id"]


@pytest.mark.parametrize(("name", "base"), [("w1", 151643), ("qwen2-vl-2b", 151643), ("w2", 4074)])
def test_special_tokens_begin_where_the_configuration_says(name, base):
    assert special_base(named_config(name)) == base


def test_special_tokens_in_another_order_are_refused(small):
    with pytest.raises(UsageError, match="not in the official order"):
        special_base(small | {"image_token_id": small["video_token_id"]})


def test_an_unknown_configuration_names_the_known_ones(tmp_path):
    with pytest.raises(ConfigError) as caught:
        named_config(str(tmp_path / "none"))
    assert "qwen2-vl-2b, w1, w2" in caught.value.hint


def test_a_checkpoint_has_every_tensor_of_its_configuration_in_shards_with_an_index(small, tmp_path):
    parameters = write_checkpoint(small, tmp_path / "model", shard_bytes=3_000_000)
    family = models.family(small["model_type"])
    shapes = {one.spellings[0]: one.shape for one in family.tensors(family.parse_config(small))}
    found = open_folder(tmp_path / "model")
    assert {name: tensor.shape for name, tensor in found.items()} == shapes
    assert {tensor.dtype for tensor in found.values()} == {"BF16"}
    assert parameters == sum(tensor.array.size for tensor in found.values())
    assert len(list((tmp_path / "model").glob("model-*.safetensors"))) > 2


def test_a_seed_makes_one_checkpoint_and_another_seed_another(small, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        write_checkpoint(small, tmp_path / name, seed=seed)
    one, same, other = ((tmp_path / name / "model-00001-of-00001.safetensors").read_bytes()
                        for name in ("one", "same", "other"))  # fmt: skip
    assert one == same != other


def test_a_folder_that_exists_is_not_written_to(small, tmp_path):
    with pytest.raises(UsageError, match="exists"):
        write_checkpoint(small, tmp_path)


def test_numbers_are_normal_with_a_few_loud_channels(small, tmp_path):
    write_checkpoint(small, tmp_path / "model")
    tensors = open_folder(tmp_path / "model")
    rows = [
        (tensors[f"model.layers.{layer}.mlp.down_proj.weight"].array.astype(np.uint32) << 16)
        .view(np.float32)
        .std(axis=1)
        for layer in range(2)
    ]
    loud = [set(np.flatnonzero(deviation > 0.1)) for deviation in rows]
    assert loud[0] == loud[1]
    assert 1 <= len(loud[0]) <= 4
    assert np.median(rows[0]) == pytest.approx(0.02, rel=0.1)


def test_random_numbers_are_a_pools_with_other_signs_and_order():
    random = np.random.default_rng(0)
    pool = to_bits(random.standard_normal(64, dtype=np.float32))
    taken = random_bits(random, pool, 200)
    assert len(taken) == 200
    assert set(taken & 0x7FFF) <= set(pool & 0x7FFF)


def test_a_tensor_larger_than_a_shard_has_one_of_its_own(small):
    family = models.family(small["model_type"])
    tensors = family.tensors(family.parse_config(small))
    parts = list(shards(tensors, 1_000_000))
    assert [one for part in parts for one in part] == tensors
    assert all(len(part) == 1 or sum(2 * np.prod(one.shape) for one in part) <= 1_000_000 for part in parts)


@pytest.mark.parametrize("size", [300, 4074, 151643])
def test_a_vocabulary_has_the_size_that_was_asked_for_and_a_merge_for_every_token(size):
    vocabulary, merges = vocabulary_and_merges(size)
    assert sorted(vocabulary.values()) == list(range(size))
    assert len(merges) == size - 256
    assert all(merge.replace(" ", "") in vocabulary for merge in merges)


def test_a_tokenizer_reads_its_questions_and_gives_them_back(tmp_path):
    write_tokenizer(tmp_path, 4074, context=4096)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = f"<|im_start|>{QUESTIONS[0]}<|im_end|>"
    encoded = tokenizer.encode(text)
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text
    assert len(encoded.ids) < 2 + 2 * len(QUESTIONS[0].split())
    assert tokenizer.token_to_id("<|image_pad|>") == named_config("w2")["image_token_id"]
    assert tokenizer.get_vocab_size() == 4074 + len(SPECIAL_TOKENS)
    assert all(tokenizer.encode(word).ids for word in WORDS)


def test_pictures_are_drawn_once(tmp_path):
    first = pictures(WORKLOADS["w2"], tmp_path)
    held = [path.read_bytes() for path in first]
    assert len(set(held)) == len(held) == 10
    assert pictures(WORKLOADS["w2"], tmp_path) == first
    assert [path.read_bytes() for path in first] == held


def test_engines_take_turns_within_a_round_and_in_being_first():
    order = [(turn.engine, turn.round) for turn in turns(["answers"], ["a", "b"], 2)]
    assert order == [("machine", 1), ("a", 1), ("b", 1), ("machine", 2), ("b", 2), ("a", 2), ("machine", 3)]


def test_a_record_comes_back_from_its_file_and_goes_on(tmp_path):
    path = tmp_path / "records/one.json"
    record(sample("galago", total_s=5.0)).write(path)
    held = Record.read(path)
    held.add(sample("galago", 2, total_s=7.0))
    held.write(path)
    assert Record.read(path) == held
    assert json.loads(path.read_text())["summary"]["w1"]["galago"]["total_s"] == {
        "least": 5.0, "median": 6.0, "most": 7.0, "count": 2,
    }  # fmt: skip


def test_a_sample_is_taken_once():
    held = record(sample("galago", total_s=5.0))
    assert held.has("w1", "answers", "galago", 1)
    with pytest.raises(UsageError, match="already"):
        held.add(sample("galago", total_s=6.0))


def test_a_record_is_of_one_version_until_its_samples_are_forgotten():
    held = record(sample("galago", total_s=5.0), sample("quick", total_s=5.0))
    other = {"version": "2", "weights": "4 bits", "workload": "w1", "size": 5}
    with pytest.raises(UsageError, match="holds galago 1, this is 2"):
        held.introduce("galago", **other)
    held.forget("galago")
    held.introduce("galago", **other)
    assert [one.engine for one in held.samples] == ["quick"]


def test_a_record_is_of_one_machine():
    with pytest.raises(UsageError, match="processor 'a processor', this is 'another'"):
        record().tell({"processor": "another"})


def test_seconds_of_all_parts_count_and_memory_of_the_part_that_needs_most():
    held = record(
        sample("galago", load_s=1.0, peak_bytes=10),
        sample("galago", part="eight-pictures", load_s=3.0, peak_bytes=30),
    )
    assert held.spreads("w1")["galago"] == {
        "load_s": Spread(1.0, 2.0, 3.0, 2), "peak_bytes": Spread(30, 30, 30, 1),
    }  # fmt: skip


@pytest.mark.parametrize(("key", "want"), [("total_s", 0.5), ("decode_tokens_per_s", 1.5)])
def test_a_ratio_is_to_the_best_of_the_others(key, want):
    values = {"total_s": {"galago": 2, "slow": 9, "quick": 4},
              "decode_tokens_per_s": {"galago": 30, "slow": 10, "quick": 20}}  # fmt: skip
    held = record(*(sample(name, **{key: value}) for name, value in values[key].items()))
    row = next(row for row in ROWS if row.key == key)
    assert ratio(held.spreads("w1"), ["slow", "quick"], row) == want


def test_a_ratio_needs_both():
    row = next(row for row in ROWS if row.key == "total_s")
    assert ratio(record(sample("galago", total_s=2.0)).spreads("w1"), ["slow"], row) is None


def test_a_table_shows_what_was_measured_and_nothing_else():
    held = record(
        sample("galago", total_s=2.0),
        sample("galago", 2, total_s=3.0),
        sample("quick", total_s=5.0),
        sample("machine", part="ceilings", read_bytes_per_s=30e9),
    )
    text = markdown(held, "w1")
    assert "| answer, s | 2.50 (2.00 to 3.00) | 5.00 | 0.50 |" in text
    assert "| files, MB | 3 | 3 |  |" in text
    assert "30 to 30 GB/s read" in text
    assert "slow" not in text.splitlines()[2]
    assert "prefill" not in text


def test_a_table_shows_two_digits_of_the_smallest_times():
    held = record(
        sample("galago", vision_s=0.00631),
        sample("galago", 2, vision_s=0.00649),
        sample("galago", prefill_s=0.0),
    )
    text = markdown(held, "w1")
    assert "| vision, s | 0.0064 (0.0063 to 0.0065) |" in text
    assert "| prefill, s | 0.00 |" in text


def test_a_share_is_of_the_best_ceiling_met_and_needs_all_its_parts():
    told = {"read_bytes_per_s": 30.0, "int8_operations_per_s": 100.0, "f32_operations_per_s": 10.0,
            "bf16_operations_per_s": 20.0}  # fmt: skip
    held = record(
        sample("machine", part="ceilings", **told),
        sample("machine", 2, part="ceilings", **{name: value / 2 for name, value in told.items()}),
        sample("galago", vision_s=4.0, vision_int8_operations=200.0, vision_f32_operations=5.0,
               vision_bf16_operations=10.0, decode_tokens_per_s=5.0, token_bytes=3.0, prefill_s=1.0),
    )  # fmt: skip
    spreads = held.spreads("w1")
    assert shares(spreads["galago"], spreads["machine"]) == {"vision": 0.75, "decode": 0.5}
    assert "vision 75%, decode 50%" in markdown(held, "w1")
    held.add(sample("galago", 2, decode_read_share=0.75))  # of reading measured beside it
    spreads = held.spreads("w1")
    assert shares(spreads["galago"], spreads["machine"])["decode"] == 0.75


class Told(Driver):
    """An engine that only notes what it is asked."""

    def __init__(self):
        super().__init__(job("answers"))
        self.asked = []

    def ask(self, picture, question):
        self.asked.append((picture, question))
        return {"vision_s": 1.0}

    def ask_many(self, pairs):
        self.asked.append(pairs)


def job(part):
    return Job(part, "model", list("0123456789"), list("abcdefgh"), 4, 2, 0.0, {})


def test_the_second_question_is_about_the_picture_just_asked_about():
    engine = Told()
    values = measure(engine, job("answers"))
    assert engine.asked == [("0", "a"), ("1", "a"), ("1", "b")]
    assert values.keys() == {"first_in_process_s", "vision_s", "total_s", "second_question_s"}


@pytest.mark.parametrize(
    ("part", "want"),
    [
        ("eight-questions", [("1", question) for question in "abcdefgh"]),
        ("eight-pictures", [(picture, "a") for picture in "23456789"]),
    ],
)
def test_eight_are_asked_together_of_pictures_not_seen_before(part, want):
    engine = Told()
    values = measure(engine, job(part))
    assert engine.asked == [("0", "a"), want]
    assert f"{part.replace('-', '_')}_s" in values


def test_a_models_files_are_read_whole_and_stay_when_they_are_forgotten(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part/one").write_bytes(b"123")
    (tmp_path / "two").write_bytes(b"4567")
    forget_files(tmp_path)
    assert remember_files(tmp_path) == 7


def test_what_others_take_of_the_machine_is_told(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 9000 500 1 2 3 50 0\ncpu0 0 0 0 0\n")
    assert busy_seconds(stat) == 156 / os.sysconf("SC_CLK_TCK")
    done = whole_process([sys.executable, "-c", "print(input())"], lambda: "a job")
    assert done.said == "a job\n"
    assert 0 <= done.others_share <= 1
    assert "took at most 20% of the machine" in markdown(record(sample("galago", others_share=0.2)), "w1")


@pytest.mark.parametrize(
    ("burdens", "waits"), [([0, 0], 2), ([9, 0, 9, 0, 0], 5), ([9] * 200, 92)], ids=["calm", "bursts", "busy"]
)
def test_a_measurement_waits_until_the_machine_rests(burdens, waits):
    spent, rests = [0.0], []

    def sleep(seconds):
        spent[0] += burdens[len(rests)]
        rests.append(seconds)

    await_rest(lambda: spent[0], sleep)
    assert len(rests) == waits


def test_a_process_that_fails_tells_the_end_of_its_words():
    with pytest.raises(ProcessFailedError, match="exit code 3: sorry"):
        whole_process([sys.executable, "-c", "import sys; sys.stderr.write('sorry'); sys.exit(3)"])


def test_the_vision_time_of_a_log_is_between_its_two_lines():
    log = "0.02.500.000 I encoding mtmd batch\n0.02.600.000 I other\n0.05.750.500 I decoding image batch 1/1"
    assert vision_seconds(log) == pytest.approx(3.2505)
    assert vision_seconds("0.02.500.000 I nothing of the kind") == 0


def test_galago_needs_nothing_installed_and_says_what_is_missing(tmp_path):
    ours = engines()["galago"]
    assert ours.missing("w1", tmp_path) == f"{tmp_path / 'w1-q4'} is missing: benchmarks/prepare w1"
    (tmp_path / "w1-q4").mkdir()
    assert ours.missing("w1", tmp_path) is None


class OneByOne(Driver):
    def ask(self, picture, question):
        self.asked = [*getattr(self, "asked", []), (picture, question)]
        return {}


def test_an_engine_that_takes_one_prompt_at_a_time_is_asked_one_after_the_other():
    engine = OneByOne(job("eight-questions"))
    measure(engine, job("eight-questions"))
    assert engine.asked == [("0", "a"), *(("1", question) for question in "abcdefgh")]
    assert engine.work("1") == {}
    engine.close()


def test_a_whole_answer_is_counted_in_what_the_engine_tells():
    every = engines()
    told = '{"usage": {"completion_tokens": 31}}'
    assert every["galago"].tokens_written(told, "") == 31
    log = (
        "prompt eval time = 40.92 ms / 75 tokens\n        eval time =    2215.83 ms /    31 runs   (71 ms)\n"
    )
    assert every["llama.cpp"].tokens_written("", log) == 32
    assert every["llama.cpp"].tokens_written("", "nothing of it") == 0


def test_an_interrupt_leaves_no_process_behind(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        whole_process([sys.executable, "-c", code], interrupted)
    pid = mark.read_text() if mark.exists() else None
    assert pid is None or not Path(f"/proc/{pid}").exists()


def test_who_asks_to_end_with_its_parent_does(tmp_path):
    code = (
        "import subprocess, os;"
        "from benchmarks.drivers.common import end_with_parent;"
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=end_with_parent);"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    status = Path(f"/proc/{int(done.stdout)}/status")
    for _ in range(100):
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.02)
    pytest.fail("it still runs")
