"""`galago fit`: the plan without loading, the same as loading makes."""

import json

import pytest

import galago
from galago.cli import main
from galago.engine.checkpoint import Checkpoint


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


def test_fit_loads_no_weights(checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(Checkpoint, "weight", None)
    code, out, _ = fit(capsys, checkpoint("qwen2_vl"), "--memory", "100MB")
    assert code == 0
    for part in ("budget", "peak", "keys and values", "given up", "multiply-adds", "read"):
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


def test_the_work_of_an_answer_is_counted(checkpoint, capsys):
    folder = checkpoint("qwen2_5_vl")
    work = json.loads(fit(capsys, folder, "--json")[1])["work"]
    info = galago.load(folder, cache=False).info()
    assert work["image_tokens"] == 324
    assert work["token_bytes"] < info["weights_bytes"]
    assert work["encode_operations"] > 1296 * work["prompt_token_operations"] / 10
