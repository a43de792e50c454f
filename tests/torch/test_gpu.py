"""On a real GPU: the answers of the CPU and of the reference, recorded steps, the fused product, the record.

These run where torch sees a GPU and nowhere else. Products in float32 are exact there (no TF32 unless asked
for), so the bounds are those of tests/torch/test_parity.py.
"""

import numpy as np
import pytest
import torch

import galago
from asking import greedy_tokens, relative_error
from cases import CASES, picture
from checkpoints import FAMILIES
from galago import kernels, packing
from galago.kernels import torch_packed
from reference import reference

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

SMALL = picture(90, 130, 6)
TOLERANCE = 1e-4
PAIRS = [(SMALL, "What is it?"), (picture(59, 413, 3), "What is it?"), (SMALL, "How many?"), ([], "Say it.")]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module", params=FAMILIES)
def hub(request, checkpoint):
    return checkpoint(request.param)


@pytest.fixture(scope="module")
def model(hub):
    return galago.load(hub, device="cuda", weights="f32", cache=False)


@each_case
def test_every_prompt_logit_is_the_references(hub, model, case):
    assert relative_error(model.logits(case.messages), reference(hub).logits(case)) <= TOLERANCE


@each_case
def test_32_greedy_tokens_are_the_references(hub, model, case):
    assert greedy_tokens(model, case.messages, 32) == reference(hub).greedy(case, 32)[0]


def test_questions_together_get_the_answers_of_the_cpu(hub, model):
    host = galago.load(hub, cache=False)
    want = [host.ask(*pair, max_tokens=24).text for pair in PAIRS]
    assert [answer.text for answer in model.ask_many(PAIRS, max_tokens=24)] == want


@pytest.mark.parametrize("weights", ["f32", "bf16", "q8", "q4"])
def test_steps_are_recorded_and_replayed(hub, weights):
    model = galago.load(hub, device="cuda", weights=weights, cache=False)
    recorded = greedy_tokens(model, CASES[1].messages, 100)
    assert model.engine.model.device.trouble is None
    plain = galago.load(hub, device="cuda", weights=weights, cache=False)
    plain.engine._pages.recorder._records = False
    assert greedy_tokens(plain, CASES[1].messages, 100) == recorded


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("tokens", [1, 5, 64])
@pytest.mark.parametrize(
    ("rows", "cols", "group"), [(37, 70, 32), (2048, 2048, 32), (130, 992, 64), (64, 600, 256)]
)
def test_the_fused_product_is_the_unpacked_one(bits, tokens, rows, cols, group):
    pytest.importorskip("triton")
    rng = np.random.default_rng(0)
    weight = packing.pack(rng.standard_normal((rows, cols), dtype=np.float32), bits, group)
    held = torch_packed.upload(weight, torch.device("cuda"), torch.bfloat16)
    x = torch.from_numpy(rng.standard_normal((tokens, cols), dtype=np.float32)).cuda().bfloat16()
    want = x.float().cpu().numpy() @ packing.unpack(weight).T
    got = kernels.to_numpy(kernels.linear(x, held))
    assert torch_packed._fused_product() is not None
    assert relative_error(got, want) <= 2**-7  # weights and sums are each rounded to 8 bits


def test_a_record_tells_the_peak_of_the_gpu(model):
    answer = model.ask(SMALL, "What is it?", max_tokens=4)
    assert answer.memory.gpu_peak_bytes > answer.memory.weights_bytes


def test_a_gpu_that_is_too_small_is_refused_before_loading(hub):
    with pytest.raises(galago.OutOfMemoryError, match="needs"):
        galago.load(hub, device="cuda", memory="1MB")


def test_the_gpu_is_described():
    found = kernels.gpu()
    assert found.name == torch.cuda.get_device_name(0)
    assert found.total_bytes > 0
