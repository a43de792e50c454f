"""How answers end: stop strings, streams that are closed, constraints, garbage."""

import json
import re

import jsonschema
import numpy as np
import pytest

import galago
from asking import greedy_tokens
from cases import picture
from doctored import edited, saying
from galago import GalagoWarning, GarbageError, SchemaError
from galago.engine.guard import SAME_TOKEN_LIMIT

SMALL = picture(90, 130, 6)
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False)


@pytest.fixture
def model(loaded):
    loaded.close()
    return loaded


def pieces(model, **options):
    with model.stream(HELLO, **options) as stream:
        return list(stream), stream.answer


def test_pieces_join_to_the_answer(model):
    texts, answer = pieces(model, max_tokens=30)
    assert all(texts)
    assert "".join(texts) == answer.text == model.chat(HELLO, max_tokens=30).text


def test_characters_of_several_tokens_come_whole(model):
    text = "caf\u00e9 \u4e2d\u6587 \U0001f600!"
    texts, answer = pieces(saying(model, text))
    assert "".join(texts) == answer.text == text
    assert not any("\ufffd" in piece for piece in texts)


def test_a_character_that_is_never_completed_is_shown_as_such(model):
    tokens = model.engine.model.tokenizer.encode("ab\U0001f600")[:-1]
    assert saying(model, tokens).chat(HELLO).text == "ab\ufffd"


def test_a_stop_string_ends_the_answer_before_it(model):
    answer = saying(model, "one two three").chat(HELLO, stop=" three")
    assert (answer.text, answer.finish_reason) == ("one two", "stop")


def test_a_stop_string_across_pieces_is_never_shown(model):
    texts, answer = pieces(saying(model, "value: 12 END of it"), stop=["END", "nothing"])
    assert "".join(texts) == answer.text == "value: 12 "


def test_what_only_began_as_a_stop_string_is_shown(model):
    texts, answer = pieces(saying(model, "an EN"), stop="END")
    assert "".join(texts) == answer.text == "an EN"


def test_no_end_token_before_min_tokens(model):
    end = model.engine.model.end_ids[0]
    short = saying(model, [end] * 50)
    assert short.chat(HELLO).usage.completion_tokens == 0
    assert saying(model, [end] * 50).chat(HELLO, min_tokens=5, max_tokens=5).usage.completion_tokens == 5


def test_a_constraint_counts_more_than_min_tokens(model):
    answer = model.chat(HELLO, choices=["yes", "yes or no"], min_tokens=30, max_tokens=50)
    assert answer.text == "yes or no"
    assert model.chat(HELLO, regex="a+", min_tokens=5, max_tokens=9).usage.completion_tokens >= 5


def test_a_paused_stream_does_not_keep_others_waiting(model):
    want = model.chat(HELLO, max_tokens=20).text
    with model.stream(HELLO, max_tokens=20) as stream:
        first = next(stream)
        assert model.chat(HELLO, max_tokens=20).text == want
        assert first + "".join(stream) == want


SCHEMA = {
    "type": "object",
    "properties": {
        "display": {"type": "string", "maxLength": 8},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "alarm": {"type": "boolean"},
        "kinds": {"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["display", "count", "alarm", "kinds"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(6))
def test_an_answer_under_a_schema_always_validates(model, seed):
    answer = model.ask(SMALL, "Fields?", schema=SCHEMA, temperature=2.0, seed=seed)
    assert answer.finish_reason == "stop"
    jsonschema.validate(json.loads(answer.text), SCHEMA)


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_under_a_regex_always_matches(model, seed):
    pattern = "[0-9]{2}[.][0-9] (bar|psi)"
    assert re.fullmatch(pattern, model.ask(SMALL, "Value?", regex=pattern, temperature=2.0, seed=seed).text)


@pytest.mark.parametrize("choices", [["yes", "no"], ["only this"], ["a", "ab", "abc"]])
def test_an_answer_is_one_of_the_choices(model, choices):
    assert model.ask(SMALL, "Which?", choices=choices).text in choices


def test_forced_tokens_need_no_step_each(model, monkeypatch):
    network, steps = model.engine.model.network, []
    compute = network.decode
    monkeypatch.setattr(
        network, "decode", lambda *rows: steps.append(len(rows[0])) or compute(*rows), raising=False
    )
    schema = {
        "type": "object",
        "properties": {"temperature": {"type": "boolean"}},
        "required": ["temperature"],
    }
    answer = model.ask(SMALL, "Is it?", schema={**schema, "additionalProperties": False})
    assert answer.text in ('{"temperature": true}', '{"temperature": false}')
    assert answer.usage.completion_tokens > 5
    assert len(steps) == 1


def test_constrained_answers_of_a_batch_keep_to_themselves(model):
    answers = model.ask_many(
        [(SMALL, "a?"), (picture(60, 60, 2), "b?"), (SMALL, "c?")], choices=["yes", "no, never"]
    )
    assert all(answer.text in ("yes", "no, never") for answer in answers)


def test_a_schema_cut_by_max_tokens_says_length(model):
    answer = model.ask(SMALL, "Fields?", schema=SCHEMA, max_tokens=6)
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 6)


def test_an_invalid_schema_is_refused_before_anything_is_computed(model):
    with pytest.raises(SchemaError):
        model.ask("no such file", "Fields?", schema={"type": "nonsense"})


def spoil(name):
    def change(tensors):
        tensors[name].flat[7] = np.nan

    return change


def test_numbers_that_are_not_finite_end_as_garbage(checkpoint, tmp_path):
    folder = edited(checkpoint("qwen2_5_vl"), tmp_path / "nan", spoil("model.layers.2.mlp.down_proj.weight"))
    model = galago.load(folder, cache=False)
    answer = model.ask(SMALL, "What?")
    assert (answer.text, answer.finish_reason) == ("", "garbage")
    assert "not finite" in answer.notes[-1]
    assert len(model.engine.prefixes) == 0
    with pytest.raises(GarbageError, match="not finite"):
        model.caption(SMALL)


def test_features_that_are_not_finite_are_garbage_and_not_kept(checkpoint, tmp_path):
    folder = edited(checkpoint("qwen2_5_vl"), tmp_path / "nan", spoil("visual.blocks.3.mlp.up_proj.weight"))
    model = galago.load(folder, cache=tmp_path / "cache")
    assert model.ask(SMALL, "What?").finish_reason == "garbage"
    with pytest.raises(GarbageError):
        model.encode(SMALL)
    assert model.engine.features.nbytes == 0
    assert not (tmp_path / "cache").exists()


def silence(tensors):
    tensors["model.norm.weight"][:] = 0  # every logit is 0: the first token for ever


def test_a_model_made_to_loop_ends_as_garbage(checkpoint, tmp_path):
    model = galago.load(edited(checkpoint("qwen2_5_vl"), tmp_path / "loop", silence), cache=False)
    answer = model.ask(SMALL, "What?")
    assert answer.finish_reason == "garbage"
    assert answer.usage.completion_tokens == SAME_TOKEN_LIMIT
    assert "repeats itself" in answer.notes[-1]
    with pytest.raises(GarbageError, match="repeats itself") as caught:
        model.find(SMALL, "it")
    assert caught.value.hint


def test_who_asks_for_many_tokens_gets_them_from_a_looping_model(checkpoint, tmp_path):
    model = galago.load(edited(checkpoint("qwen2_5_vl"), tmp_path / "loop", silence), cache=False)
    assert len(greedy_tokens(model, HELLO, SAME_TOKEN_LIMIT + 20)) == SAME_TOKEN_LIMIT + 20


def test_an_unwritable_cache_is_a_warning_and_the_answer_comes(checkpoint, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    model = galago.load(checkpoint("qwen2_5_vl"), cache=tmp_path / "file" / "cache")
    with pytest.warns(GalagoWarning, match="not kept on disk"):
        answer = model.ask(SMALL, "What?", max_tokens=3)
    assert answer.finish_reason == "length"
    assert "not kept on disk" in answer.notes[-1]
