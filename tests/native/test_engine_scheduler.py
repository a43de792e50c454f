"""Requests of several threads: they join, share, end and fail without harm to each other.

A gate lets the decoder or the vision tower go one step at a time, so that what happens meanwhile is certain.
"""

import signal
import threading

import numpy as np
import pytest

import galago
from cases import picture
from galago import OutOfMemoryError, SchemaError
from galago.engine.grammar import Constraint
from galago.engine.kv import held_bytes
from galago.kernels.context import current, using
from gated import HELLO, PATIENCE_S, asking, exactly, fresh, gated, in_thread

SMALL, WIDE = picture(90, 130, 6), picture(59, 413, 3)
LONG = [{"role": "user", "content": "Is it? " * 150}]


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False)


def test_a_request_joins_while_another_is_written(loaded):
    model, network = gated(loaded, steps=True)
    first = model.stream(HELLO, **exactly(10))
    network.steps.wait()
    network.steps.let()  # the prompt is fed, the first token written
    second = model.stream(asking(WIDE, "What?"), **exactly(3))
    network.looks.wait()
    model.engine._pictures.wait(second._job.sights[0])
    network.steps.let()
    joining = len(second._job.prompt) - second._job.generation.cached_tokens
    assert network.steps.passed[1:] == [1, 1 + joining]
    network.steps.open()
    assert first.answer.text == fresh(loaded).chat(HELLO, **exactly(10)).text
    assert second.answer.text == fresh(loaded).ask(WIDE, "What?", **exactly(3)).text


def test_a_running_answer_never_waits_for_more_than_the_bound(loaded):
    model, network = gated(loaded, steps=True, beside=20)
    running = model.stream(HELLO, **exactly(40))
    network.steps.wait()
    network.steps.let()
    long = model.stream(LONG, **exactly(1))
    network.steps.open()
    assert long.answer.usage.prompt_tokens > 300
    beside = network.steps.passed[2 : 2 + -(-len(long._job.prompt) // 20)]
    assert beside[:-1] == [1 + 20] * (len(beside) - 1)
    assert running.answer.usage.completion_tokens == 40
    assert len(network.steps.passed) == 40


def test_closing_a_stream_frees_its_work_within_a_step(loaded):
    model, network = gated(loaded, steps=True)
    stream = model.stream(HELLO, **exactly(100))
    network.steps.wait()
    network.steps.let()
    stream.close()
    network.steps.open()
    answer = stream.answer
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("cancelled", 2)
    assert list(stream) == []
    assert len(network.steps.passed) == 2
    assert model.engine._batch.jobs == []
    assert model.engine._batch.caches == []


def test_a_stream_that_nobody_holds_is_cancelled(loaded):
    model, network = gated(loaded, steps=True)
    stream = model.stream(HELLO, **exactly(100))
    network.steps.wait()
    job = stream._job
    network.steps.let()
    del stream
    network.steps.open()
    assert model.engine._scheduler.wait(job).generation.finish_reason == "cancelled"
    assert len(network.steps.passed) == 2


def test_others_are_unharmed_when_a_stream_is_closed(loaded):
    model, network = gated(loaded, steps=True)
    kept, closed = (model.stream(asking(SMALL, question), **exactly(12)) for question in ("What?", "Why?"))
    network.steps.wait()
    network.steps.let()
    closed.close()
    network.steps.open()
    assert kept.answer.text == fresh(loaded).ask(SMALL, "What?", **exactly(12)).text
    assert closed.answer.finish_reason == "cancelled"


def test_an_answer_is_written_while_a_picture_is_encoded(loaded):
    model, network = gated(loaded, looks=True)
    waiting = model.stream(asking(SMALL, "What?"), **exactly(2))
    network.looks.wait()
    assert model.chat(HELLO, **exactly(20)).usage.completion_tokens == 20
    assert waiting._job.generation is None
    network.looks.open()
    assert waiting.answer.usage.completion_tokens == 2


def test_a_picture_that_several_requests_wait_for_is_encoded_once(loaded):
    model, network = gated(loaded, looks=True)
    streams = [model.stream(asking(SMALL.copy(), f"Question {n}?"), **exactly(2)) for n in range(4)]
    network.looks.wait()
    network.looks.open()
    times = [stream.answer.timings.encode_s for stream in streams]
    assert network.looks.passed == [1]
    assert times[0] > 0
    assert times[1:] == [0, 0, 0]


def test_the_prompt_of_a_picture_is_fed_once_for_questions_that_come_together(loaded):
    model, network = gated(loaded, looks=True)
    streams = [model.stream(asking(SMALL, f"Question {n}?"), **exactly(2)) for n in range(8)]
    network.looks.open()
    usages = [stream.answer.usage for stream in streams]
    computed = [usage.prompt_tokens - usage.cached_tokens for usage in usages]
    assert computed[0] == usages[0].prompt_tokens
    assert all(count < 16 + usages[0].prompt_tokens - usages[0].image_tokens for count in computed[1:])
    shared = usages[1].cached_tokens
    # to where the first question parts from the second, the rest of all, the second token of each
    assert network.steps.passed == [shared, sum(computed) - shared, 8]


def test_questions_about_a_large_picture_share_its_keys_and_answer_as_alone(loaded):
    image, questions = picture(500, 500, 3), [f"Question {n}?" for n in range(4)]
    model, network = gated(loaded, steps=True)
    streams = [model.stream(asking(image, question), **exactly(12)) for question in questions]
    network.steps.wait()
    while len(model.engine._batch.caches) < 4:
        network.steps.let()
    caches = model.engine._batch.caches
    assert caches[0].trunk is not None
    assert {id(cache.trunk) for cache in caches} == {id(caches[0].trunk)}
    assert held_bytes(caches) < 2 * caches[0].trunk.nbytes
    network.steps.open()
    for question, stream in zip(questions, streams, strict=True):
        assert stream.answer.text == fresh(loaded).ask(image, question, **exactly(12)).text


def test_small_pictures_that_wait_are_encoded_together_and_alike(loaded):
    model, network = gated(loaded, looks=True)
    pictures = [picture(60, 60 + 28 * n, n) for n in range(4)]
    streams = [model.stream(asking(pictures[0], "What?"), **exactly(8))]
    network.looks.wait()
    streams += [model.stream(asking(image, "What?"), **exactly(8)) for image in pictures[1:]]
    network.looks.open()
    answers = [stream.answer for stream in streams]
    assert network.looks.passed == [1, 3]
    assert all(answer.timings.encode_s > 0 for answer in answers)
    for image, answer in zip(pictures, answers, strict=True):
        alone = fresh(loaded)
        assert answer.text == alone.ask(image, "What?", **exactly(8)).text
        want = alone.encode(image).features
        np.testing.assert_allclose(model.encode(image).features, want, rtol=0, atol=1e-5 * abs(want).max())


def test_large_pictures_are_encoded_one_by_one(loaded):
    model, network = gated(loaded, looks=True)
    streams = [model.stream(asking(picture(500, 500 + n, n), "?"), **exactly(1)) for n in range(3)]
    network.looks.open()
    assert all(stream.answer.usage.image_tokens > 300 for stream in streams)
    assert network.looks.passed == [1, 1, 1]


def test_a_picture_nobody_waits_for_any_more_is_not_encoded(loaded):
    model, network = gated(loaded, looks=True)
    first = model.stream(asking(SMALL, "What?"), **exactly(1))
    network.looks.wait()
    second = model.stream(asking(WIDE, "What?"), **exactly(1))
    second.close()
    assert second.answer.finish_reason == "cancelled"
    network.looks.open()
    assert first.answer.finish_reason == "length"
    assert network.looks.passed == [1]


def test_a_picture_that_cannot_be_encoded_fails_its_own_request_only(loaded, monkeypatch):
    model, network = gated(loaded, looks=True)
    encode = network._network.encode

    def fail(patches, grids):
        if any(grid == (1, 4, 30) for grid in grids):
            raise MemoryError("no room")
        return encode(patches, grids)

    monkeypatch.setattr(network._network, "encode", fail, raising=False)
    streams = [
        model.stream(asking(image, "What?"), **exactly(4)) for image in (picture(60, 60, 1), SMALL, WIDE)
    ]
    network.looks.wait()
    network.looks.open()
    assert [stream.answer.usage.completion_tokens for stream in streams[:2]] == [4, 4]
    with pytest.raises(OutOfMemoryError, match="no more memory"):
        next(streams[2])
    with pytest.raises(OutOfMemoryError, match="no more memory"):
        model.encode(WIDE)
    assert model.ask(SMALL, "What?", **exactly(4)).text == streams[1].answer.text


def test_a_step_that_fails_for_one_answer_fails_for_no_other(loaded, monkeypatch):
    model, network = gated(loaded, steps=True)
    decode = network._network.decode

    def fail(x, positions, cache, wanted):
        if positions.max() > 300:
            raise MemoryError("no room")
        return decode(x, positions, cache, wanted)

    monkeypatch.setattr(network._network, "decode", fail, raising=False)
    good = model.stream(asking(SMALL, "What?"), **exactly(30))
    network.steps.wait()
    bad = model.stream(LONG, **exactly(2))
    network.steps.open()
    with pytest.raises(OutOfMemoryError, match="no more memory"):
        bad.answer  # noqa: B018 - asking for the answer is what raises
    assert good.answer.text == fresh(loaded).ask(SMALL, "What?", **exactly(30)).text


def test_a_constraint_that_cannot_be_followed_fails_its_own_request_only(loaded, monkeypatch):
    model, network = gated(loaded, steps=True)
    allowed = Constraint.allowed

    def fail(self):
        if "regular" in self._what:
            raise SchemaError("too complex to follow")
        return allowed(self)

    monkeypatch.setattr(Constraint, "allowed", fail)
    good = model.stream(HELLO, choices=["yes", "no"])
    network.steps.wait()
    bad = model.stream(HELLO, regex="[a-z]+")
    network.steps.open()
    with pytest.raises(SchemaError, match="too complex"):
        list(bad)
    assert good.answer.text in ("yes", "no")


def test_what_cannot_be_prepared_ends_the_call_and_no_other(loaded):
    model, network = gated(loaded, steps=True)
    other = model.stream(HELLO, **exactly(6))
    network.steps.wait()
    with pytest.raises(galago.PictureError):
        model.ask_many([(SMALL, "What?"), ("no such file.png", "What?")], **exactly(50))
    network.steps.open()
    assert other.answer.usage.completion_tokens == 6
    assert len(network.steps.passed) <= 7


def test_a_mistake_of_ours_reaches_who_waits(loaded, monkeypatch):
    model = fresh(loaded)
    monkeypatch.setattr(model.engine._batch, "finish", lambda _step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.chat(HELLO)
    monkeypatch.undo()
    assert model.chat(HELLO, **exactly(3)).usage.completion_tokens == 3


def test_an_interrupt_ends_the_answer_and_leaves_others_alone(loaded, monkeypatch):
    model, network = gated(loaded, steps=True)
    want = fresh(loaded).ask(SMALL, "What?", **exactly(9)).text
    other = in_thread(lambda: model.ask(SMALL, "What?", **exactly(9)).text)
    network.steps.wait()
    wait, waiting = model.engine._scheduler.wait, threading.Event()
    main = threading.main_thread()
    tell = {main: waiting.set}
    monkeypatch.setattr(
        model.engine._scheduler,
        "wait",
        lambda job: tell.get(threading.current_thread(), bool)() or wait(job),
    )

    def interrupt():
        assert waiting.wait(PATIENCE_S)
        signal.pthread_kill(main.ident, signal.SIGINT)

    interrupting = in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.chat(HELLO, **exactly(4000))
    interrupting()
    network.steps.open()
    assert other() == want
    assert len(network.steps.passed) == 9


def test_threads_of_one_engine_get_what_they_would_get_alone(loaded):
    pairs = [(picture(60, 60 + 28 * (n % 5), n % 5), f"What is {n}?") for n in range(12)]
    options = {**exactly(10), "temperature": 1.2}
    want = [fresh(loaded).ask(*pair, seed=seed, **options).text for seed, pair in enumerate(pairs)]
    model = fresh(loaded, together=4)
    asked = [
        in_thread(lambda seed=seed, pair=pair: model.ask(*pair, seed=seed, **options).text)
        for seed, pair in enumerate(pairs)
    ]
    assert [join() for join in asked] == want


def test_more_pairs_than_are_prepared_ahead_are_all_answered(loaded):
    pairs = [(picture(60, 60, n % 3), f"Number {n}?") for n in range(40)]
    answers = fresh(loaded).ask_many(pairs, **exactly(2))
    assert [answer.usage.completion_tokens for answer in answers] == [2] * 40


def test_the_kernels_of_the_caller_are_the_kernels_of_the_loop(loaded, monkeypatch):
    model, used = fresh(loaded), []
    decode = loaded.engine.model.network.decode
    noting = lambda *given: used.append(current().backend) or decode(*given)  # noqa: E731
    monkeypatch.setattr(loaded.engine.model.network, "decode", noting, raising=False)
    with using(backend="numpy"):
        model.chat(HELLO, **exactly(2))
    model.chat(HELLO, **exactly(2))
    assert used == ["numpy", "numpy", "native", "native"]
