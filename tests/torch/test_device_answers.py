"""What a GPU would run, on torch tensors of the processor: answers are those of the compiled kernels.

In float32 both sum the same numbers in another order, as in tests/torch/test_parity.py: 1e-4 of the largest
logit is allowed. In bf16 every activation is rounded to 8 bits some 40 times on its way.
"""

import copy
import re

import numpy as np
import pytest
import torch

import galago
from asking import greedy_tokens, relative_error
from cases import CASES, picture
from checkpoints import FAMILIES
from doctored import edited
from galago import FeaturesError, GarbageError, Model, kernels, nn, packing
from galago.engine import engine, pages
from galago.engine.checkpoint import open_checkpoint
from galago.engine.engine import Engine
from galago.engine.load import load_checkpoint
from reference import reference

SMALL, WIDE = picture(90, 130, 6), picture(59, 413, 3)
PAIRS = [(SMALL, "What is it?"), (WIDE, "What is it?"), (SMALL, "How many?"), ([], "Say something.")]
HELLO = [{"role": "user", "content": "hello"}]
TOLERANCE = 1e-4
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module", params=FAMILIES)
def hub(request, checkpoint):
    return checkpoint(request.param)


@pytest.fixture(scope="module")
def host(hub):
    return galago.load(hub, cache=False)


def load(hub, weights="f32", **options):
    return galago.load(hub, device="torch-cpu", weights=weights, cache=False, **options)


@pytest.fixture
def model(hub):
    return load(hub)


@each_case
def test_every_prompt_logit_is_the_hosts(host, model, case):
    assert relative_error(model.logits(case.messages), host.logits(case.messages)) <= TOLERANCE


@each_case
def test_greedy_tokens_are_the_hosts(host, model, case):
    assert greedy_tokens(model, case.messages, 24) == greedy_tokens(host, case.messages, 24)


@pytest.mark.parametrize("weights", ["q8", "q4"])
def test_packed_weights_are_multiplied_as_the_numbers_they_mean(hub, weights, monkeypatch):
    monkeypatch.setattr(engine, "ROUNDED", frozenset())
    exact = kernels.open_device("torch-cpu", exact=True)
    packed = Model(Engine(load_checkpoint(open_checkpoint(hub), device=exact, weights=weights)))
    dense = Model(Engine(load_checkpoint(open_checkpoint(hub), weights=weights)))
    for _, owner, attribute, weight in list(nn.parameters(dense.engine.model.network.module)):
        setattr(owner, attribute, packing.to_dense(weight))
    messages = CASES[-1].messages
    assert relative_error(packed.logits(messages), dense.logits(messages)) <= TOLERANCE
    assert greedy_tokens(packed, messages, 16) == greedy_tokens(dense, messages, 16)


def test_bf16_errs_no_more_than_the_references_does(hub):
    theirs, case = reference(hub), CASES[-1]
    want, given = theirs.logits(case), theirs.prompt(case).tensors
    halved = {key: value.bfloat16() if value.is_floating_point() else value for key, value in given.items()}
    with torch.no_grad():
        bf16 = copy.deepcopy(theirs.model).bfloat16()(**halved).logits[0].float().numpy()
    error = np.abs(load(hub, "bf16").logits(case.messages) - want).mean()
    assert error <= 1.3 * np.abs(bf16 - want).mean()


def test_f32_weights_become_bf16_where_nothing_is_said(hub):
    info = galago.load(hub, device="torch-cpu", cache=False).info()
    assert (info["device"], info["weights"]) == ("torch-cpu", "bf16")
    assert info["weights_bytes"] == 2 * info["parameters"]


def test_prompts_in_chunks_are_prompts_as_a_whole(model):
    whole = model.logits(CASES[-1].messages)
    chunked = Model(Engine(model.engine.model, chunk=7))
    assert relative_error(chunked.logits(CASES[-1].messages), whole) <= TOLERANCE


def test_questions_together_get_the_answers_they_get_alone(hub, host):
    want = [host.ask(*pair, max_tokens=12).text for pair in PAIRS]
    assert [answer.text for answer in load(hub).ask_many(PAIRS, max_tokens=12)] == want


def test_more_questions_than_places_are_all_answered(model, host):
    few = Model(Engine(model.engine.model, together=2, chunk=40))
    want = [host.ask(*pair, max_tokens=6).text for pair in PAIRS]
    assert [answer.text for answer in few.ask_many(PAIRS, max_tokens=6)] == want


def test_a_second_question_pays_for_its_own_tokens_alone(model, host):
    first = model.ask(SMALL, "What is it?", max_tokens=8)
    second = model.ask(SMALL, "How many?", max_tokens=8)
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens > second.usage.image_tokens
    assert second.timings.encode_s == 0
    assert second.text == host.ask(SMALL, "How many?", max_tokens=8).text


def test_an_answer_longer_than_the_pool_moves_it_and_goes_on(model, host, monkeypatch):
    monkeypatch.setattr(pages, "FIRST_PAGES", 1)
    monkeypatch.setattr(pages.PagePool, "expect", lambda *_: None)
    model = Model(Engine(model.engine.model))
    assert greedy_tokens(model, HELLO, 200) == greedy_tokens(host, HELLO, 200)


def test_pages_of_answers_go_back(model):
    pool = model.engine._pages
    for _ in range(3):
        model.ask_many(PAIRS, max_tokens=40)
        model.close()
    worker = model.engine._scheduler._worker._thread
    if worker is not None:  # it lets go of its last step when it ends
        worker.join()
    assert sorted(pool._free) == list(range(1, pool.store.shape[2]))


def test_drawn_tokens_are_the_hosts(model, host):
    options = {"max_tokens": 16, "temperature": 0.8, "top_p": 0.9, "seed": 4}
    assert model.ask(SMALL, "Tell.", **options).text == host.ask(SMALL, "Tell.", **options).text


def test_a_grammar_holds(model):
    assert re.fullmatch(r"\d{3} [a-z]{2,9}!", model.ask(SMALL, "How?", regex=r"\d{3} [a-z]{2,9}!").text)
    assert model.ask(SMALL, "Is it?", choices=["yes", "no"]).text in ("yes", "no")


def test_a_stream_that_is_closed_gives_its_pages_back(model):
    stream = model.stream(HELLO, max_tokens=100, min_tokens=100)
    next(stream)
    stream.close()
    assert stream.answer.finish_reason == "cancelled"
    assert model.engine._batch.jobs == []


def test_numbers_that_are_not_finite_are_garbage_and_spoil_nothing(checkpoint, tmp_path):
    hub = checkpoint("qwen2_5_vl")

    def spoil(tensors):
        tensors["visual.blocks.3.mlp.up_proj.weight"].flat[7] = np.nan

    model = load(edited(hub, tmp_path / "nan", spoil))
    assert model.ask(SMALL, "What?").finish_reason == "garbage"
    with pytest.raises(GarbageError):
        model.encode(SMALL)
    assert greedy_tokens(model, HELLO, 8) == greedy_tokens(load(hub), HELLO, 8)  # on pages used before


def test_features_of_one_arithmetic_are_not_taken_by_another(hub, host, model):
    assert model.ask(host.encode(SMALL), "What is it?", max_tokens=8).text
    with pytest.raises(FeaturesError, match="bf16"):
        load(hub, "bf16").ask(galago.load(hub, weights="bf16", cache=False).encode(SMALL), "What?")


def test_a_record_says_what_there_was(model):
    record = model.ask(SMALL, "What is it?", max_tokens=4).to_dict()
    assert all(seconds is not None and seconds >= 0 for seconds in record["timings"].values())
    assert record["memory"]["gpu_peak_bytes"] is None
    assert record["memory"]["weights_bytes"] == 4 * model.info()["parameters"]
    assert record["memory"]["kv_bytes"] > 0
    assert record["notes"] == ()
