"""Devices: which there are, how their absence and their full memory are told, and how steps are recorded."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import galago
from asking import greedy_tokens
from cases import picture
from galago import (
    DeviceError,
    GalagoWarning,
    MissingDependencyError,
    Model,
    OutOfMemoryError,
    UsageError,
    kernels,
    packing,
)
from galago.engine.engine import Engine
from galago.kernels import torch_device, torch_packed

SMALL = picture(90, 130, 6)
HELLO = [{"role": "user", "content": "hello"}]
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture(scope="module")
def hub(checkpoint):
    return checkpoint("qwen2_5_vl")


@pytest.fixture
def model(hub):
    return galago.load(hub, device="torch-cpu", weights="f32", cache=False)


def random(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_a_device_that_does_not_exist_is_refused_with_those_that_do(hub):
    with pytest.raises(UsageError, match="'gpu'; one of cpu, cuda, torch-cpu is needed"):
        galago.load(hub, device="gpu")


def test_without_torch_the_extra_is_named(hub, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match="torch is not installed") as caught:
        galago.load(hub, device="cuda")
    assert caught.value.hint == "pip install 'galago[cuda]'"


@without_gpu
def test_without_a_gpu_there_is_a_way_out(hub):
    with pytest.raises(DeviceError, match=r"CUDA|GPU") as caught:
        galago.load(hub, device="cuda")
    assert "device='cpu'" in caught.value.hint


def test_a_gpu_that_is_not_there_is_told_from_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"no cuda:3: 1 GPU\(s\) are here"):
        kernels.open_device("cuda:3")


def test_full_memory_names_what_would_fit_and_the_model_goes_on(model, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(model.engine.model.network.language, "run", full)
        with pytest.raises(OutOfMemoryError, match="memory of torch-cpu is full") as caught:
            model.ask(SMALL, "What is it?")
    assert "q4 0.0 GB" in caught.value.hint
    assert model.ask(SMALL, "What is it?", max_tokens=4).usage.completion_tokens <= 4


def test_what_is_larger_than_the_budget_is_refused_before_it_is_loaded(hub):
    with pytest.raises(OutOfMemoryError, match=r"needs 0\.01 GB, and 0\.00 GB are there") as caught:
        galago.load(hub, device="torch-cpu", memory="1MB")
    assert "q4" in caught.value.hint


def test_a_step_is_a_recording_that_holds_for_every_token(model, monkeypatch):
    """A trace replays operators alone, as a CUDA graph does: what Python would decide anew is frozen."""
    taken = []

    def capture(_device, step, buffers):
        taken.append(step)
        traced = make_fx(step)(*buffers)
        return lambda: traced(*buffers)

    want = greedy_tokens(model, HELLO, 100)
    monkeypatch.setattr(torch_device.TorchDevice, "capture", capture)
    recorded = Model(Engine(model.engine.model))
    monkeypatch.setattr(recorded.engine._pages.recorder, "_records", True)
    assert greedy_tokens(recorded, HELLO, 100) == want
    assert len(taken) == 1


def test_a_step_that_cannot_be_recorded_runs_all_the_same_and_says_so(model, monkeypatch):
    def capture(*_):
        raise RuntimeError("operation not permitted\nin a capture")

    want = greedy_tokens(model, HELLO, 8)
    monkeypatch.setattr(torch_device.TorchDevice, "capture", capture)
    monkeypatch.setattr(model.engine._pages.recorder, "_records", True)
    model.engine._pages.recorder.clear()
    with pytest.warns(GalagoWarning, match="no CUDA graph can be made: operation not permitted"):
        assert greedy_tokens(model, HELLO, 8) == want
    answer = model.chat(HELLO, max_tokens=2)
    assert any("no CUDA graph" in note for note in answer.notes)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("rows", "cols", "group"), [(37, 70, 32), (16, 200, 96), (130, 256, 64)])
def test_a_packed_weight_means_on_torch_what_it_means_in_numpy(bits, rows, cols, group):
    weight = packing.pack(random(rows, cols), bits, group)
    held = torch_packed.upload(weight, torch.device("cpu"), torch.float32)
    dense = packing.unpack(weight)
    ids = torch.tensor([rows - 1, 0, 3])
    np.testing.assert_allclose(kernels.embed(held, ids).numpy(), dense[ids.numpy()], rtol=1e-6, atol=1e-7)
    x, bias = random(5, cols), random(rows, seed=9)
    got = kernels.linear(torch.from_numpy(x), held, torch.from_numpy(bias)).numpy()
    np.testing.assert_allclose(got, x @ dense.T + bias, rtol=1e-4, atol=1e-5 * np.sqrt(cols))
    assert held.nbytes <= weight.nbytes


@pytest.mark.parametrize("bits", [4, 8])
def test_offsets_of_other_tools_weights_count(bits):
    plain = packing.pack(random(20, 128), bits, 64)
    offsets = random(*plain.scales.shape).astype(np.float16)
    weight = packing.PackedWeight.of(bits, 64, plain.shape, {**plain.parts, "offsets": offsets})
    held = torch_packed.upload(weight, torch.device("cpu"), torch.float32)
    x = torch.from_numpy(random(2, 128))
    want = x.numpy() @ packing.unpack(weight).T
    np.testing.assert_allclose(kernels.linear(x, held).numpy(), want, rtol=1e-4, atol=1e-4)


def test_a_packed_weight_is_unpacked_in_blocks(monkeypatch):
    weight = packing.pack(random(130, 64), 4)
    whole = torch_packed.upload(weight, torch.device("cpu"), torch.float32)
    x = torch.from_numpy(random(3, 64))
    want = kernels.linear(x, whole)
    monkeypatch.setattr(torch_packed, "_BLOCK_VALUES", 16 * 64)
    held = torch_packed.upload(weight, torch.device("cpu"), torch.float32)
    assert torch.equal(held.codes, whole.codes)
    np.testing.assert_allclose(kernels.linear(x, held).numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


def test_pages_are_attended_as_the_rows_they_hold():
    q, keys, values = random(2, 6, 8), random(5, 4, 3, 8), random(5, 4, 3, 8, seed=4)
    tables, lengths = np.array([[3, 1, 0], [2, 4, 1]]), np.array([6, 9])
    with kernels.using(backend="numpy"):
        want = kernels.attend_pages(q, keys, values, tables, lengths)
    got = kernels.attend_pages(*map(torch.from_numpy, (q, keys, values, tables, lengths)))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-4, atol=1e-5)


INTERPRETED = """
import numpy as np, torch
from galago import packing
from galago.kernels import torch_packed, torch_triton
for bits in (4, 8):
    for rows, cols, group, tokens in ((37, 70, 32, 1), (130, 992, 64, 17), (16, 600, 256, 3)):
        rng = np.random.default_rng(0)
        weight = packing.pack(rng.standard_normal((rows, cols), dtype=np.float32), bits, group)
        if tokens == 3:
            offsets = rng.standard_normal(weight.scales.shape).astype(np.float16)
            weight = packing.PackedWeight.of(bits, group, weight.shape, {**weight.parts, "offsets": offsets})
        held = torch_packed.upload(weight, torch.device("cpu"), torch.float32)
        x = rng.standard_normal((tokens, cols), dtype=np.float32)
        want = x @ packing.unpack(weight).T
        np.testing.assert_allclose(
            torch_triton.product(torch.from_numpy(x), held).numpy(), want, rtol=1e-4, atol=1e-5 * cols**0.5
        )
"""


def test_the_fused_product_is_the_unpacked_one():
    """In Triton's interpreter, which needs no GPU; its products of bf16 are wrong, so float32 is judged."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", INTERPRETED], check=True, env=environment)


UNBUILT = """
import sys
sys.modules["galago.kernels._native"] = None
import galago
model = galago.load("nano", device="torch-cpu", cache=False)
picture = model.encode(sys.argv[1])
print(model.ask(picture, "What colour is the ring?").text)
"""


def test_a_machine_without_a_compiler_answers_on_its_gpu(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    scene = tmp_path / "scene.png"
    from PIL import Image

    Image.fromarray(SMALL).save(scene)
    run = [sys.executable, "-c", UNBUILT, str(scene)]
    assert subprocess.run(run, check=True, env=environment, capture_output=True, text=True).stdout.strip()
