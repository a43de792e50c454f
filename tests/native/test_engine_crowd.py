"""Answers that are given back together: pictures first, then prompts, then all are written at once."""

import pytest

import galago
from cases import picture
from galago import Model, OutOfMemoryError
from galago.engine.engine import Engine
from gated import gated, in_thread

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False)


def exactly(count):
    return {"max_tokens": count, "min_tokens": count}


def alone(loaded, image):
    return Model(Engine(loaded.engine.model)).ask(image, "?", **exactly(5)).text


def test_answers_of_one_call_are_written_together_after_all_pictures_and_prompts(loaded):
    model, network = gated(loaded, looks=True, steps=True)
    pictures = [picture(500, 500 + n, n) for n in range(3)]
    answers = in_thread(lambda: model.ask_many([(image, "?") for image in pictures], **exactly(5)))
    network.looks.wait()
    network.looks.let()  # the second picture is being encoded
    with model.engine._lock:
        assert model.engine._batch.begin() is None
    network.looks.open()
    network.steps.open()
    assert [answer.text for answer in answers()] == [alone(loaded, image) for image in pictures]
    assert network.steps.passed[-4:] == [3] * 4


def test_answers_of_one_call_do_not_wait_while_a_stream_is_written(loaded):
    model, network = gated(loaded, looks=True, steps=True)
    stream = model.stream(HELLO, **exactly(60))
    network.steps.wait()
    network.steps.let()
    pictures = [picture(500, 500 + n, n) for n in range(2)]
    answers = in_thread(lambda: model.ask_many([(image, "?") for image in pictures], **exactly(3)))
    network.looks.wait()
    network.looks.let()
    while 2 not in network.steps.passed:  # the first answer goes on beside the stream
        network.steps.let()
    network.looks.open()
    network.steps.open()
    assert stream.answer.usage.completion_tokens == 60
    assert [answer.usage.completion_tokens for answer in answers()] == [3, 3]


def test_answers_of_one_call_do_not_wait_for_one_that_fails(loaded, monkeypatch):
    model, network = gated(loaded, looks=True)
    encode = model.engine._encoder.encode
    pictures = [picture(500, 500 + n, n) for n in range(2)]
    calls = []

    def failing(group):
        calls.append(group)
        if len(calls) == 2:
            raise OutOfMemoryError("no memory for this picture")
        return encode(group)

    monkeypatch.setattr(model.engine._encoder, "encode", failing)
    network.looks.open()
    with pytest.raises(OutOfMemoryError, match="this picture"):
        model.ask_many([(image, "?") for image in pictures], **exactly(3))
    assert model.ask(pictures[0], "?", **exactly(3)).usage.completion_tokens == 3
