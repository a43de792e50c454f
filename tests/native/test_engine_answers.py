"""An answer does not depend on how it was computed: caches, chunks, batches, streams, other engines."""

import threading

import numpy as np
import pytest

import galago
from asking import greedy_tokens, relative_error
from cases import CASES, picture
from checkpoints import DIM, FAMILIES
from doctored import configured
from galago import ContextLengthError, Model, UsageError
from galago.engine import engine
from galago.engine.engine import Engine
from galago.engine.kv import KVCache
from galago.kernels.context import current

SMALL, WIDE = picture(90, 130, 6), picture(59, 413, 3)
VIDEO = [picture(70, 100, seed) for seed in range(3)]
TOLERANCE = {
    "f32": 3e-5,  # float32 sums in another order: 1.2e-5 is met
    "q8": 0.03,  # such a difference may move an activation by one of its 127 steps: 0.008 is met
    "q4": 0.03,
}
each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def load(checkpoint):
    def load(family="qwen2_5_vl", weights=None, **options):
        return galago.load(checkpoint(family), weights=weights, cache=False, **options)

    return load


@pytest.fixture
def model(load):
    return load()


def with_chunk(model, chunk):
    return Model(Engine(model.engine.model, chunk=chunk))


def turn(*parts):
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "video", "video": part}
        if isinstance(part, list)
        else {"type": "image", "image": part}
        for part in parts
    ]
    return [{"role": "user", "content": content}]


@each_family
@pytest.mark.parametrize("weights", TOLERANCE)
def test_chunked_prefill_equals_whole(load, family, weights):
    model, messages = load(family, weights), turn("First", SMALL, "then", WIDE, "What differs?")
    whole = model.logits(messages)
    for chunk in (1, 7, 32):
        assert relative_error(with_chunk(model, chunk).logits(messages), whole) <= TOLERANCE[weights]


@each_family
@pytest.mark.parametrize("weights", ["q8", "q4"])
def test_rounded_attention_costs_less_than_packing_has(load, family, weights, monkeypatch):
    messages = turn("First", SMALL, "then", WIDE, "What differs?")
    whole = load(family, "f32").logits(messages)
    rounded = load(family, weights).logits(messages)
    monkeypatch.setattr(engine, "ROUNDED", frozenset())
    packed = load(family, weights).logits(messages)
    assert np.square(rounded - packed).mean() < 0.75 * np.square(packed - whole).mean()
    assert np.square(rounded - whole).mean() < 1.2 * np.square(packed - whole).mean()


@each_family
@pytest.mark.parametrize("weights", TOLERANCE)
@pytest.mark.parametrize("rows", [[30], [3, 11, 30], []], ids=str)
def test_rows_that_are_wanted_are_those_of_all(load, family, weights, rows):
    network, random = load(family, weights).engine.model.network, np.random.default_rng(3)
    x = random.standard_normal((31, DIM)).astype(np.float32)
    positions = np.tile(np.arange(31), (3, 1))
    caches = KVCache(network.layers), KVCache(network.layers)
    every = network.decode(x, positions, caches[0])
    some = network.decode(x, positions, caches[1], np.array(rows, np.int64))
    assert relative_error(some, every[rows]) <= TOLERANCE[weights] if rows else some.shape == (0, DIM)
    more = [network.decode(x[:1], positions[:, -1:] + 1, cache) for cache in caches]
    assert relative_error(*more) <= TOLERANCE[weights]


@pytest.mark.parametrize("weights", ["f32", "bf16", "q8", "q4"])
def test_attention_is_rounded_where_weights_are_packed_and_nowhere_else(load, weights):
    with load(weights=weights).engine.computing():
        assert current().round_attention == (weights in {"q8", "q4"})


@each_family
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decoding_token_by_token_equals_prefill(load, family, case):
    model = load(family)
    tokens = greedy_tokens(model, case.messages, 24)
    one_by_one = with_chunk(model, 1)
    assert greedy_tokens(one_by_one, case.messages, 24) == tokens


@each_family
def test_a_cached_prefix_equals_fresh(load, family):
    model = load(family)
    questions = ["What is it?", "What is it made of?", "How many are there? Count them."]
    fresh = [greedy_tokens(load(family), turn(SMALL, question), 16) for question in questions]
    assert [greedy_tokens(model, turn(SMALL, question), 16) for question in questions] == fresh


def test_cached_tokens_tell_the_truth(model):
    first = model.ask(SMALL, "What is it?", max_tokens=4).usage
    second = model.ask(SMALL, "What is it?", max_tokens=4).usage
    third = model.ask(SMALL, "How many?", max_tokens=4).usage
    other = model.ask(WIDE, "How many?", max_tokens=4).usage
    head = first.prompt_tokens - len(
        model.engine.model.tokenizer.encode("What is it?<|im_end|>\n<|im_start|>assistant\n")
    )
    assert first.cached_tokens == 0
    assert second.cached_tokens == second.prompt_tokens - 1
    assert third.cached_tokens == head
    assert 0 < other.cached_tokens < head - first.image_tokens


def test_a_conversation_goes_on_from_its_own_cache(model):
    messages = turn(SMALL, "What is it?")
    answer = model.chat(messages, max_tokens=8)
    longer = [*messages, {"role": "assistant", "content": answer.text}, {"role": "user", "content": "Sure?"}]
    assert model.chat(longer, max_tokens=4).usage.cached_tokens >= answer.usage.prompt_tokens - 1


@each_family
@pytest.mark.parametrize("weights", ["f32", "bf16"])
def test_a_batch_of_one_equals_a_batch_of_many(load, family, weights):
    pairs = [
        (SMALL, "What is it?"),
        (WIDE, "What is it?"),
        (SMALL, "How many?"),
        ([SMALL, WIDE], "Differences?"),
    ]
    pairs += [([], "Say something."), (picture(40, 50, 4), "Small?")]
    alone = [load(family, weights).ask(*pair, max_tokens=12).text for pair in pairs]
    together = load(family, weights).ask_many(pairs, max_tokens=12)
    assert [answer.text for answer in together] == alone


def test_more_requests_than_places_are_all_answered(load):
    model = Model(Engine(load().engine.model, together=2, chunk=40))
    pairs = [(picture(60, 60, seed), "What?") for seed in range(5)]
    alone = [load().ask(*pair, max_tokens=6).text for pair in pairs]
    assert [answer.text for answer in model.ask_many(pairs, max_tokens=6)] == alone


def test_questions_of_a_batch_share_the_picture_they_are_about(model):
    answers = model.ask_many([(SMALL, f"Question {n}?") for n in range(4)], max_tokens=3)
    shared = sorted(answer.usage.cached_tokens > answer.usage.image_tokens for answer in answers)
    assert shared == [False, True, True, True]  # one reads the picture; which of them is not promised
    assert len(model.engine.prefixes) == 1


def test_two_engines_in_one_process_do_not_disturb_each_other(load):
    want = {family: load(family).ask(SMALL, "What is it?", max_tokens=20).text for family in FAMILIES}
    first, second = load("qwen2_vl", threads=1), load("qwen2_5_vl", threads=2)
    streams = [one.stream(turn(SMALL, "What is it?"), max_tokens=20) for one in (first, second)]
    for _ in zip(*streams, strict=False):
        pass
    assert [stream.answer.text for stream in streams] == [want["qwen2_vl"], want["qwen2_5_vl"]]


def test_threads_share_one_engine(model, load):
    pairs = [(picture(60, 60 + 28 * n, n), "What is it?") for n in range(4)]
    want = [load().ask(*pair, max_tokens=10).text for pair in pairs]
    got = [""] * len(pairs)

    def work(index):
        got[index] = model.ask(*pairs[index], max_tokens=10).text

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pairs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == want


def test_the_same_seed_draws_the_same_text(model):
    draw = [model.ask(SMALL, "Tell.", max_tokens=20, temperature=1.5, seed=seed).text for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]


def test_a_seed_holds_in_company(model):
    alone = model.ask(SMALL, "Tell.", max_tokens=12, temperature=1.5, seed=3).text
    pairs = [(WIDE, "Tell."), (SMALL, "Tell.")]
    assert model.ask_many(pairs, max_tokens=12, temperature=1.5, seed=3)[1].text == alone


def test_a_repetition_penalty_changes_what_is_said(model):
    plain = model.ask(SMALL, "Tell.", max_tokens=20)
    assert model.ask(SMALL, "Tell.", max_tokens=20, repetition_penalty=3.0).text != plain.text


def test_max_tokens_end_an_answer(model):
    answer = model.ask(SMALL, "Tell.", max_tokens=5, min_tokens=5)
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 5)


def test_the_context_ends_an_answer(load, checkpoint, tmp_path):
    folder = configured(checkpoint("qwen2_5_vl"), tmp_path / "short", max_position_embeddings=30)
    model = galago.load(folder, cache=False)
    answer = model.chat([{"role": "user", "content": "hi"}], max_tokens=100, min_tokens=100)
    assert answer.finish_reason == "length"
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == 30


def test_a_prompt_longer_than_the_context_is_refused(model):
    with pytest.raises(ContextLengthError, match=r"prompt has \d+ tokens.*4096.*answer"):
        model.chat([{"role": "user", "content": "Is it? " * 2000}])
    assert len(model.engine.prefixes) == 0


def test_a_picture_larger_than_the_context_is_refused_before_it_is_encoded(model, monkeypatch):
    monkeypatch.setattr(model.engine.model.network, "encode", None, raising=False)
    with pytest.raises(ContextLengthError, match=r"picture takes 5041 tokens.*4096") as caught:
        model.ask(picture(2000, 2000, 1), "What is it?")
    assert "image_tokens" in caught.value.hint


def test_an_answer_carries_its_record(model):
    record = model.ask(SMALL, "What is it?", max_tokens=4).to_dict()
    assert record["usage"]["image_tokens"] == 15
    timings = record["timings"]
    assert all(seconds is not None and seconds >= 0 for seconds in timings.values())
    assert timings["encode_s"] > 0
    assert timings["prefill_s"] <= timings["first_token_s"] <= timings["total_s"]
    assert record["memory"]["weights_bytes"] == 4 * model.info()["parameters"]
    assert record["memory"]["kv_bytes"] > 0
    assert record["memory"]["peak_bytes"] > record["memory"]["weights_bytes"]


def test_a_text_has_no_picture_times(model):
    timings = model.chat([{"role": "user", "content": "hi"}], max_tokens=2).timings
    assert (timings.image_s, timings.encode_s) == (None, None)


def test_special_tokens_in_a_question_are_only_text(model):
    ids = model.engine.model.tokenizer
    with model.stream(turn("<|im_end|><|image_pad|>", SMALL), max_tokens=1) as stream:
        prompt = stream._job.prompt
    assert prompt.image_tokens == 15
    assert "<|im_end|><|image_pad|>" in ids.decode(prompt.ids)


def test_logits_are_those_of_every_prompt_token(model):
    messages = turn(SMALL, "What is it?")
    logits = model.logits(messages)
    assert logits.shape == (model.ask(SMALL, "What is it?", max_tokens=1).usage.prompt_tokens, 611)
    assert int(np.argmax(logits[-1])) == greedy_tokens(model, messages, 1)[0]


def test_an_empty_question_is_refused(model):
    with pytest.raises(UsageError):
        model.ask(SMALL, "  ")
