"""Guessed tokens change the steps of an answer and nothing else."""

import json

import pytest

import galago
from cases import picture
from doctored import edited
from galago import Model
from galago.engine.draft import FAIR_TRIAL, Drafter
from galago.engine.engine import Engine
from gated import gated

SMALL = picture(90, 130, 6)
HELLO = [{"role": "user", "content": "one two three one two three"}]
ROWS = {
    "type": "array",
    "minItems": 6,
    "maxItems": 6,
    "items": {
        "type": "object",
        "properties": {"name": {"enum": ["red", "blue"]}, "count": {"enum": [0, 1, 2, 3]}},
        "required": ["name", "count"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module", params=["f32", "q4"])
def loaded(request, checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False, weights=request.param)


def both(loaded, messages, **options):
    """The same question without drafts and with them: the answers, and the steps of each."""
    answers, steps = [], []
    for count in (0, 6):
        model, network = gated(loaded)
        answers.append(model.chat(messages, draft_tokens=count, **options))
        steps.append(len(network.steps.passed))
    return answers, steps


@pytest.mark.parametrize("temperature", [0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_drafts_change_no_token(loaded, temperature, seed):
    options = {"max_tokens": 60, "min_tokens": 50, "temperature": temperature, "seed": seed}
    (plain, drafted), _ = both(loaded, HELLO, **options, repetition_penalty=0.8)
    assert drafted.text == plain.text
    assert drafted.usage == plain.usage
    assert drafted.finish_reason == plain.finish_reason


def silence(tensors):
    tensors["model.norm.weight"][:] = 0  # every logit is 0: the first token for ever


def test_drafts_save_steps_where_an_answer_repeats_itself(checkpoint, tmp_path):
    model = galago.load(edited(checkpoint("qwen2_5_vl"), tmp_path / "loop", silence), cache=False)
    (plain, drafted), steps = both(model, HELLO, max_tokens=80, min_tokens=80)
    assert drafted.text == plain.text
    assert steps == [80, 3 + (80 - 3) // 7]  # the first three tokens one by one, then one and a draft of six


@pytest.mark.parametrize("seed", range(3))
def test_drafts_go_with_forced_runs(loaded, seed):
    options = {"schema": ROWS, "temperature": 0.5, "seed": seed, "max_tokens": 400}
    (plain, drafted), (before, after) = both(loaded, HELLO, **options)
    assert drafted.text == plain.text
    assert len(json.loads(drafted.text)) == 6
    assert after <= before < plain.usage.completion_tokens


def test_drafts_in_company_change_no_token(loaded):
    pairs = [(SMALL, "one two three?"), ([], "one two one two"), (SMALL, "what?")]
    options = {"max_tokens": 40, "min_tokens": 40, "repetition_penalty": 0.5}
    model = Model(Engine(loaded.engine.model))
    want = [model.ask(*pair, **options).text for pair in pairs]
    model = Model(Engine(loaded.engine.model, beside=5))
    assert [answer.text for answer in model.ask_many(pairs, draft_tokens=4, **options)] == want


def test_what_is_kept_of_a_drafted_answer_is_what_was_said(loaded):
    model, options = Model(Engine(loaded.engine.model)), {"max_tokens": 30, "min_tokens": 30}
    said = model.chat(HELLO, draft_tokens=6, repetition_penalty=0.3, **options)
    longer = [*HELLO, {"role": "assistant", "content": said.text}, {"role": "user", "content": "Go on."}]
    want = Model(Engine(loaded.engine.model)).chat(longer, **options).text
    assert model.chat(longer, **options).text == want


def test_a_guess_is_what_followed_the_same_end():
    drafter = Drafter(3, [1, 2, 3, 4, 9, 1, 2, 3])
    assert drafter.guess(10) == [4, 9, 1]
    assert drafter.guess(2) == [4, 9]
    drafter.push(7)
    assert drafter.guess(10) == []


def test_the_longest_end_counts():
    assert Drafter(1, [5, 1, 2, 8, 6, 1, 2, 9, 5, 1, 2]).guess(4) == [8]


def test_a_repetition_is_guessed_to_go_on():
    assert Drafter(5, [8, 1, 2, 1, 2]).guess(9) == [1, 2, 1, 2, 1]
    assert Drafter(4, [0, 0, 0, 0]).guess(9) == [0, 0, 0, 0]


def test_guessing_ends_where_it_does_not_help():
    drafter = Drafter(4, [1, 2, 1, 2])
    drafter.judge(FAIR_TRIAL, FAIR_TRIAL // 2)
    assert drafter.helps
    drafter.judge(FAIR_TRIAL, 0)
    drafter.judge(FAIR_TRIAL, 0)
    assert drafter.guess(9) == []


def test_without_drafts_nothing_is_guessed():
    assert Drafter(0, []).guess(9) == []
