"""`galago fit`: the plan without loading, the same as loading makes."""

import json

import numpy as np
import pytest

import galago
from galago import bench
from galago.bench import expectation, work
from galago.cli import main
from galago.engine.checkpoint import Checkpoint, open_checkpoint
from galago.engine.planner import Planner, plan_memory

RATES = bench.Rates(2e10, 1e12, 4e11, 2e11)


def peaks(rates):
    return bench.Ceilings("some", 2, 1, rates, rates)


@pytest.fixture(autouse=True)
def known_ceilings(monkeypatch):
    monkeypatch.setattr(bench, "ceilings", lambda _threads: peaks(RATES))


def expected(folder, *, weights=None, memory=None, rates=RATES):
    checkpoint = open_checkpoint(folder)
    plan = plan_memory(checkpoint, weights, memory)
    tokens, counted = expectation.expected_work(checkpoint, weights, plan, new_tokens=8)
    return counted, expectation.expect(tokens, counted, peaks(rates), new_tokens=8)


def fit(capsys, *arguments):
    code = main(["fit", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_fit_tells_the_plan_that_loading_makes(checkpoint, capsys):
    folder = checkpoint("qwen2_5_vl")
    code, out, _ = fit(capsys, folder, "--memory", "200MB", "--json")
    plan = galago.load(folder, memory="200MB", cache=False).engine.model.plan
    told = json.loads(out)["plan"]
    assert code == 0
    assert told["resident_bytes"] == plan.resident_bytes <= 200_000_000
    assert told["image_tokens"] == plan.image_tokens


@pytest.mark.parametrize("memory", [None, "200MB"])
def test_fit_says_for_what_lengths_the_peak_is(checkpoint, capsys, memory):
    budget = () if memory is None else ("--memory", memory)
    told = json.loads(fit(capsys, checkpoint("qwen2_5_vl"), *budget, "--json")[1])["plan"]
    lengths = ("peak_context", "context"), ("peak_image_tokens", "image_tokens")
    assert all(told[peak] == told[most] for peak, most in lengths) is (memory is not None)
    assert all(told[peak] <= told[most] for peak, most in lengths)
    line = f"with {told['peak_context']} tokens and a picture of {told['peak_image_tokens']}"
    assert line in fit(capsys, checkpoint("qwen2_5_vl"), *budget)[1]


def test_fit_loads_no_weights(checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(Checkpoint, "weight", None)
    code, out, _ = fit(capsys, checkpoint("qwen2_vl"), "--memory", "100MB")
    assert code == 0
    for part in ("budget", "peak", "keys and values", "given up", "multiply-adds", "read", "estimate"):
        assert part in out


def test_fit_says_what_would_fit(checkpoint, capsys):
    folder = checkpoint("qwen2_5_vl")
    code, out, err = fit(capsys, folder, "--memory", "50MB")
    assert (code, out) == (1, "")
    assert "needs at least" in err
    enough = err.split("memory='")[1].split("'")[0]
    assert fit(capsys, folder, "--memory", enough)[0] == 0


@pytest.mark.parametrize("weights", ["q4", "bf16"])
def test_fit_counts_weights_that_would_be_converted(checkpoint, capsys, weights):
    out = fit(capsys, checkpoint("qwen2_5_vl"), "--weights", weights, "--json")[1]
    plan = json.loads(out)["plan"]
    assert plan["mapped_bytes"] < plan["weights_bytes"]


@pytest.mark.parametrize("weights", [None, "q8"])
def test_what_fit_counts_is_what_is_counted_on_the_loaded_model(checkpoint, weights):
    folder = checkpoint("qwen2_5_vl")
    model = galago.load(folder, cache=False, weights=weights)
    loaded, picture = model.engine.model, expectation.SIDE
    counted, told = expected(folder, weights=weights)
    assert counted == work.count(
        loaded.network,
        loaded.processor,
        loaded.processor.image(np.zeros((picture, picture, 3), np.uint8)),
        prompt_tokens=told.prompt_tokens,
        new_tokens=8,
        kv_bytes_per_token=model.info()["kv_bytes_per_token"],
    )
    assert counted.vision.int8 == 0 if weights is None else counted.vision.int8 > 0


def test_the_speed_of_a_machine_twice_as_fast_is_expected_to_be_higher(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    twice = bench.Rates(*(2 * rate for rate in vars(RATES).values()))
    _, slow = expected(folder)
    _, fast = expected(folder, rates=twice)
    assert slow.vision_s > fast.vision_s > slow.vision_s / 2  # calls cost what they cost
    assert slow.tokens_per_second < fast.tokens_per_second < 2 * slow.tokens_per_second
    assert slow.first_token_s == slow.vision_s + slow.prefill_s < slow.answer_s


def test_a_budget_that_reduces_pictures_reduces_what_is_expected(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    counted, told = expected(folder, memory=Planner(open_checkpoint(folder), None).least_bytes())
    assert told.image_tokens <= 256 < expected(folder)[1].image_tokens
    assert counted.vision.total < expected(folder)[0].vision.total


def test_without_a_ceiling_the_expectation_is_unknown_and_said_so(checkpoint, capsys, monkeypatch):
    unknown = peaks(bench.Rates(None, None, None, None))
    monkeypatch.setattr(bench, "ceilings", lambda _threads: unknown)
    code, out, _ = fit(capsys, checkpoint("qwen2_vl"))
    assert code == 0
    assert out.count("unknown") == 5
    told = json.loads(fit(capsys, checkpoint("qwen2_vl"), "--json")[1])["estimate"]
    assert (told["vision_s"], told["prefill_s"], told["tokens_per_second"]) == (None, None, None)


def test_json_has_the_work_and_the_estimate(checkpoint, capsys):
    told = json.loads(fit(capsys, checkpoint("qwen2_5_vl"), "--json")[1])
    assert told["estimate"]["image_tokens"] == 324
    assert told["work"]["vision"]["f32"] > 0
    assert (
        told["work"]["token_bytes"]
        < galago.load(checkpoint("qwen2_5_vl"), cache=False).info()["weights_bytes"] * 2
    )
