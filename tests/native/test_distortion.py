"""The distortion report measures what it says: divergence, first choices, features, layers."""

import json
import math

import numpy as np
import pytest

import galago
from asking import greedy_tokens
from cases import picture
from checkpoints import make_tensors, write_checkpoint, write_safetensors
from galago.compress import convert, measure_distortion
from galago.compress.distortion import _compare
from galago.compress.layers import layer_of
from galago.compress.probe import Probe, probe
from galago.drawing import fonts
from galago.errors import GarbageError, UsageError
from galago.evals.nano import TASKS, cases

PICTURES = [picture(60, 90, 1), picture(90, 60, 2)]
QUESTION = "What is it?"


def changed(folder, name, change):
    """A checkpoint whose one tensor was changed."""
    folder.mkdir()
    write_checkpoint(folder, "qwen2_vl")
    tensors = make_tensors("qwen2_vl", tied=False)
    tensors[name] = change(tensors[name])
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def test_a_model_beside_itself_has_no_distortion(checkpoint, tmp_path):
    convert(checkpoint("qwen2_vl"), tmp_path / "same", weights="f32")
    report = measure_distortion(checkpoint("qwen2_vl"), tmp_path / "same", PICTURES, questions=[QUESTION])
    assert (report.kl, report.kl_worst, report.top1, report.features) == (0, 0, 1, 0)
    assert set(report.attention) == {0}
    assert {layer.error for layer in report.layers} == {0}
    assert report.tokens == 2 * (32 + 1)  # what was chosen, and the token after it


def test_the_error_of_packed_weights_is_that_of_rounding(checkpoint, tmp_path):
    # Of 32 normal values the largest has 2.33 deviations, which 127 steps reach; in q4 15 steps go from the
    # least to the largest, which are 4.1 apart. Uniform rounding errs by a step / sqrt(12).
    for weights, step, least in (("q8", 2.33 / 127, 0.9), ("q4", 4.1 / 15, 0.85)):  # q4 has its grid searched
        convert(checkpoint("qwen2_5_vl"), tmp_path / weights, weights=weights)
        report = measure_distortion(
            checkpoint("qwen2_5_vl"), tmp_path / weights, PICTURES[:1], questions=[QUESTION], max_tokens=2
        )
        expected = step / math.sqrt(12)
        errors = [layer.error for layer in report.layers if layer.name.startswith("language.blocks")]
        assert len(errors) == 4
        assert all(least * expected < error < 1.1 * expected for error in errors)
        assert 0 < report.features < 1


@pytest.mark.skipif(bool(fonts.missing_packages()), reason="scripts/fonts was not run")
@pytest.mark.parametrize(("weights", "least"), [("q8", 0.995), ("q4", 0.97)])
def test_nano_in_fewer_bits_chooses_as_before(tmp_path, weights, least):
    packed = convert("nano", tmp_path / "nano", weights=weights).folder
    asked = [case for task in TASKS for case in cases(task, 3)]
    report = measure_distortion(
        "nano",
        packed,
        [case.pixels for case in asked],
        questions=[case.question for case in asked],
        apart=True,
    )
    assert report.top1 >= least


def test_a_layer_that_was_changed_is_named_and_felt_from_there_on(checkpoint, tmp_path):
    other = changed(tmp_path / "other", "model.layers.2.mlp.up_proj.weight", lambda tensor: 1.5 * tensor)
    report = measure_distortion(checkpoint("qwen2_vl"), other, PICTURES[:1], questions=[QUESTION])
    assert report.worst_layer.name == "language.blocks.2"
    assert [layer.name for layer in report.layers if layer.error] == ["language.blocks.2"]
    assert report.features == 0
    assert report.attention[:3] == (0, 0, 0)
    assert report.attention[3] > 0
    assert report.kl > 0


def test_divergence_and_first_choices_are_those_of_the_definition():
    p, q = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[0.25, 0.75], [0.2, 0.8]])
    probes = [Probe(np.log(one), np.zeros((0, 1), np.float32), []) for one in (p, q)]
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert _compare(*probes) == pytest.approx((2, first / 2, first, 0.5))


def test_a_told_answer_is_read_as_if_it_had_been_given(checkpoint):
    with galago.load(checkpoint("qwen2_5_vl"), cache=False) as model:
        content = [{"type": "image", "image": PICTURES[0]}, {"type": "text", "text": QUESTION}]
        messages = [{"role": "user", "content": content}]
        tokens = greedy_tokens(model, messages, 32)
        seen = probe(model.engine, PICTURES[0], QUESTION, tokens)
        assert seen.log_probabilities.argmax(axis=1)[:-1].tolist() == tokens
        np.testing.assert_allclose(np.exp(seen.log_probabilities).sum(axis=1), 1)
        assert len(seen.attention) == 4
        assert seen.attention[0].shape == (len(model.logits(messages)) + 32, 120)


def test_every_answer_is_in_the_report_and_progress_counts_them(checkpoint, tmp_path):
    convert(checkpoint("qwen2_vl"), tmp_path / "q8", weights="q8")
    seen = []
    report = measure_distortion(
        checkpoint("qwen2_vl"), tmp_path / "q8", PICTURES, max_tokens=3, progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [one.picture for one in report.answers] == ["picture 1", "picture 1", "picture 2", "picture 2"]
    assert report.tokens == sum(one.tokens for one in report.answers)
    assert min(one.kl for one in report.answers) <= report.kl <= report.kl_worst
    assert report.kl_worst == max(one.kl_worst for one in report.answers)
    assert 0 <= report.top1 <= 1


def test_the_report_is_one_json_object_and_a_table(checkpoint, tmp_path):
    convert(checkpoint("qwen2_vl"), tmp_path / "small", weights="q4")
    report = measure_distortion(
        checkpoint("qwen2_vl"), tmp_path / "small", PICTURES[:1], questions=[QUESTION], max_tokens=2
    )
    values = json.loads(report.to_json())
    assert values["worst_layer"] == report.worst_layer.name
    assert values["kl"] == report.kl
    assert len(values["layers"]) == 15
    table = report.table()
    assert f"{report.top1:8.2%}" in table
    assert all(layer.name in table for layer in report.layers)


def test_each_picture_may_have_a_question_of_its_own(checkpoint):
    one = checkpoint("qwen2_vl")
    asked = ["What is it?", "Where?"]
    report = measure_distortion(one, one, PICTURES[:2], questions=asked, apart=True, max_tokens=2)
    assert [answer.question for answer in report.answers] == asked
    with pytest.raises(UsageError, match="1 pictures cannot each have one of 2 questions"):
        measure_distortion(one, one, PICTURES[:1], questions=asked, apart=True)


def test_what_cannot_be_compared_is_refused(checkpoint):
    one, other = checkpoint("qwen2_vl"), checkpoint("qwen2_5_vl")
    with pytest.raises(UsageError, match="not two forms of one model"):
        measure_distortion(one, other, PICTURES)
    for options in ({"pictures": []}, {"pictures": PICTURES, "questions": []}):
        with pytest.raises(UsageError, match="at least one picture and one question"):
            measure_distortion(one, one, **options)


def test_a_model_of_nans_is_garbage_not_a_number_in_a_report(checkpoint, tmp_path):
    broken = changed(tmp_path / "nan", "model.norm.weight", lambda tensor: tensor * np.nan)
    with pytest.raises(GarbageError, match="nan computed numbers that are not finite"):
        measure_distortion(checkpoint("qwen2_vl"), broken, PICTURES[:1], max_tokens=2)


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("language.blocks.12.mlp.up.weight", "language.blocks.12"),
        ("vision.merger.mlp.up.weight", "vision.merger"),
        ("vision.patch_embedding.weight", "vision.patch_embedding"),
    ],
)
def test_a_layer_is_what_has_a_number(parameter, layer):
    assert layer_of(parameter) == layer
