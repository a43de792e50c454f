"""A checkpoint's own rules of drawing: whose defaults they are, and what is refused."""

import json

import pytest

import galago
from cases import picture
from doctored import configured
from galago import ConfigError
from galago.engine.generation_config import OFF, UNUSED, read_generation_config

SMALL = picture(90, 130, 6)
FILE = "generation_config.json"
DRAWN = {"do_sample": True, "temperature": 1.6, "top_k": 40, "repetition_penalty": 1.3}


@pytest.fixture(scope="module")
def plain(checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False)


@pytest.fixture(scope="module")
def drawing(checkpoint, tmp_path_factory):
    folder = configured(checkpoint("qwen2_5_vl"), tmp_path_factory.mktemp("draws") / "model", FILE, **DRAWN)
    return galago.load(folder, cache=False)


def read(tmp_path, **values):
    (tmp_path / FILE).write_text(json.dumps({"eos_token_id": 5, **values}))
    return read_generation_config(tmp_path, 600)


def test_ask_chat_stream_and_ask_many_draw_as_the_checkpoint_says(plain, drawing):
    options = {"max_tokens": 12, "min_tokens": 12}
    rules = {key: value for key, value in DRAWN.items() if key != "do_sample"}
    want = plain.ask(SMALL, "Tell.", **options, **rules).text
    assert want != plain.ask(SMALL, "Tell.", **options).text
    messages = [
        {"role": "user", "content": [{"type": "image", "image": SMALL}, {"type": "text", "text": "Tell."}]}
    ]
    assert drawing.ask(SMALL, "Tell.", **options).text == want
    assert drawing.chat(messages, **options).text == want
    assert drawing.stream(messages, **options).answer.text == want
    assert drawing.ask_many([(SMALL, "Tell.")], **options)[0].text == want


def test_the_other_verbs_take_the_likeliest_token(plain, drawing):
    options = {"max_tokens": 20, "min_tokens": 20}
    assert drawing.read(SMALL, **options) == plain.read(SMALL, **options)
    assert drawing.caption(SMALL, **options) == plain.caption(SMALL, **options)


def test_a_temperature_puts_the_checkpoints_draw_aside_and_not_its_penalty(plain, drawing):
    options = {"max_tokens": 12, "min_tokens": 12}
    got = drawing.ask(SMALL, "Tell.", temperature=2.0, **options).text
    assert got == plain.ask(SMALL, "Tell.", temperature=2.0, repetition_penalty=1.3, **options).text
    greedy = drawing.ask(SMALL, "Tell.", temperature=0, repetition_penalty=None, **options).text
    assert greedy == plain.ask(SMALL, "Tell.", **options).text


def test_rules_of_the_draw_narrow_a_checkpoints_own(plain, drawing):
    options = {"max_tokens": 12, "min_tokens": 12}
    rules = {"temperature": 1.6, "top_k": 2, "repetition_penalty": 1.3}
    want = plain.ask(SMALL, "Tell.", **rules, **options).text
    assert drawing.ask(SMALL, "Tell.", top_k=2, **options).text == want


def test_without_do_sample_only_the_penalty_counts(tmp_path):
    found = read(tmp_path, temperature=0.7, top_k=50, repetition_penalty=1.05)
    assert found.sampling == {"repetition_penalty": 1.05}


def test_the_published_files_are_read(tmp_path):
    published = {"bos_token_id": 1, "pad_token_id": 1, "do_sample": True, "transformers_version": "4.49.0"}
    older = read(tmp_path, **published, temperature=0.01, top_p=0.001, top_k=1)
    assert older.sampling == {"temperature": 0.01, "top_p": 0.001, "top_k": 1}
    newer = read(tmp_path, **published, temperature=0.000001, repetition_penalty=1.05)
    assert newer.sampling == {"temperature": 0.000001, "repetition_penalty": 1.05}


def test_sampling_without_numbers_is_sampling_at_temperature_1(tmp_path):
    assert read(tmp_path, do_sample=True, top_k=0).sampling == {"temperature": 1.0}


@pytest.mark.parametrize("key", [*UNUSED, *OFF])
def test_keys_that_change_nothing_are_read_past(tmp_path, key):
    assert read(tmp_path, **{key: OFF.get(key)}).sampling == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_beams": 4}, "num_beams is 4, and Galago has no such rule"),
        ({"temprature": 0.5}, "the key 'temprature' is not known"),
        ({"do_sample": "yes"}, "do_sample is 'yes'"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_k": 2.5}, "top_k is 2.5; a whole number"),
        ({"temperature": "warm"}, "temperature is 'warm'; a finite number"),
        ({"temperature": 10**400}, "temperature is 1000"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty is nan"),
        ({"eos_token_id": True}, "eos_token_id is True"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **values)
