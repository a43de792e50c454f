"""A program that ends, a system without memory or threads: nobody waits for ever, nobody else is harmed."""

import os
import subprocess
import sys
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

import galago
from cases import picture
from galago import OutOfMemoryError
from galago.engine.checkpoint import open_checkpoint
from galago.engine.kv import KVCache
from galago.engine.planner import Planner
from gated import HELLO, asking, exactly, fresh, gated, in_thread

SMALL = picture(90, 130, 6)


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False)


LEAVING = """
import sys, galago
model = galago.load(sys.argv[1], cache=False)
stream = model.stream([{"role": "user", "content": "hello"}], max_tokens=4000, min_tokens=4000)
print(next(stream)[:0] + "left")
"""


def test_a_program_may_end_while_an_answer_is_written(checkpoint):
    ended = subprocess.run(
        [sys.executable, "-c", LEAVING, checkpoint("qwen2_5_vl")], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "left", "")


LOOKING = """
import atexit, sys, threading
atexit.register(lambda: print([one.name for one in threading.enumerate() if one.name.startswith("galago")]))
import galago
from cases import picture
model = galago.load(sys.argv[1], cache=False)
looks, ending, whole = threading.Event(), threading.Event(), model.engine._encoder.encode
def encode(sights):
    looks.set()
    ending.wait()
    return whole(sights)
model.engine._encoder.encode = encode
content = [{"type": "image", "image": picture(300, 300, 1)}]
stream = model.stream([{"role": "user", "content": content}], max_tokens=4000, min_tokens=4000)
looks.wait()
for one in threading.enumerate():
    if one.name == "galago-decode":  # which has nothing to do, until the picture is encoded
        one.join()
atexit.register(ending.set)
print("left")
"""


def test_a_program_may_end_while_a_picture_is_encoded(checkpoint):
    ended = subprocess.run(
        [sys.executable, "-c", LOOKING, checkpoint("qwen2_5_vl")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, ["left", "[]"], "")


def test_an_ended_answer_holds_neither_keys_nor_features(loaded):
    model, network = gated(loaded, steps=True)
    stream = model.stream(asking(SMALL, "What?"), **exactly(2))
    network.steps.wait()
    job = stream._job
    large = [weakref.ref(job.generation.cache), weakref.ref(job.sights[0].image), weakref.ref(job.prompt)]
    assert all(one() is not None for one in large)
    network.steps.open()
    want = fresh(loaded).ask(SMALL, "What?", **exactly(2))
    assert stream.answer.usage == replace(want.usage, cached_tokens=0)
    assert stream.answer.text == want.text
    model.close()
    assert [one() for one in large] == [None] * 3


def no_memory(*_, **__):
    raise MemoryError


def test_who_finds_no_memory_to_begin_harms_no_other(loaded, monkeypatch):
    model, network = gated(loaded, steps=True)
    running = model.stream(asking(SMALL, "What?"), **exactly(8))
    network.steps.wait()
    network.steps.let()
    with monkeypatch.context() as patch:
        patch.setattr(KVCache, "fork", no_memory)
        second = in_thread(lambda: refused(lambda: model.ask(SMALL, "What then?", **exactly(2))))
        network.steps.open()
        assert "no more memory" in str(second())
    assert running.answer.text == fresh(loaded).ask(SMALL, "What?", **exactly(8)).text
    assert model.ask(SMALL, "What then?", **exactly(2)).usage.cached_tokens > 0


def test_an_answer_comes_where_there_is_no_memory_to_keep_its_keys(loaded, monkeypatch):
    model = fresh(loaded)
    monkeypatch.setattr(KVCache, "shrink", no_memory)
    assert model.chat(HELLO, **exactly(3)).usage.completion_tokens == 3
    assert len(model.engine.prefixes) == 0


def refused(ask):
    with pytest.raises(OutOfMemoryError) as caught:
        ask()
    return caught.value


@pytest.mark.parametrize("started", [0, 1])
def test_a_system_without_threads_is_an_error_and_no_wait(loaded, monkeypatch, started):
    model, start, left = fresh(loaded), threading.Thread.start, [started]

    def run_out(thread):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", run_out)
        assert "can't start new thread" in str(refused(lambda: model.ask(SMALL, "What?", **exactly(2))))
    assert model.ask(SMALL, "What?", **exactly(2)).usage.completion_tokens == 2


def test_under_a_budget_one_picture_at_a_time_is_read(loaded, monkeypatch):
    hub = loaded.engine.model.checkpoint.folder
    budget = galago.load(
        hub, memory=Planner(open_checkpoint(hub), None).least_bytes() + 4_000_000, cache=False
    )
    model, network = gated(budget, steps=True, plan=budget.engine.model.plan)
    read, prepare = [], model.engine._encoder.prepare
    noting = lambda *given: read.append(given) or prepare(*given)  # noqa: E731
    monkeypatch.setattr(model.engine._encoder, "prepare", noting)
    asked = [
        in_thread(lambda n=n: model.ask(picture(60, 60, n), "What?", **exactly(1)).text) for n in range(3)
    ]
    for number in range(1, 4):
        network.steps.wait()
        assert len(read) == number
        network.steps.release()
    for join in asked:
        join()
