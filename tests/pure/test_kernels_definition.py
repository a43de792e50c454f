"""The numpy definition of the kernels, against formulas written a second way, and the choice of back end."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from galago import kernels, packing
from galago.errors import UsageError
from galago.kernels import reference


@pytest.fixture(autouse=True)
def numpy_definition():
    with kernels.using(backend="numpy"):
        yield


def random(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def plain_attention(q, k, v, seen):
    """One head and one query at a time."""
    out = np.zeros_like(q)
    for t, h in np.ndindex(q.shape[:2]):
        g = h * k.shape[1] // q.shape[1]
        keys = [s for s in range(len(k)) if seen(t, s)]
        weights = np.exp([float(q[t, h] @ k[s, g]) / math.sqrt(q.shape[2]) for s in keys])
        out[t, h] = sum(w * v[s, g] for w, s in zip(weights / weights.sum(), keys, strict=True))
    return out


def test_grouped_heads_attend_to_their_own_key_head():
    q, k, v = random(3, 6, 8), random(5, 2, 8, seed=4), random(5, 2, 8, seed=5)
    got = kernels.attention(q, k, v, causal=False)
    np.testing.assert_allclose(got, plain_attention(q, k, v, lambda _t, _s: True), rtol=1e-5, atol=1e-6)


def test_causal_queries_are_the_last_tokens():
    q, k, v = random(3, 2, 4), random(7, 2, 4, seed=4), random(7, 2, 4, seed=5)
    got = kernels.attention(q, k, v, causal=True)
    np.testing.assert_allclose(got, plain_attention(q, k, v, lambda t, s: s <= 4 + t), rtol=1e-5, atol=1e-6)


def test_bounds_part_the_tokens_into_segments():
    q, k, v = (random(7, 2, 4, seed=seed) for seed in (1, 2, 3))
    segment = [0, 0, 0, 1, 2, 2, 2]
    got = kernels.attention(q, k, v, causal=False, bounds=np.array([0, 3, 4, 4, 7], np.int32))
    want = plain_attention(q, k, v, lambda t, s: segment[t] == segment[s])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_rotation_turns_pairs_half_a_head_apart():
    x, angle = random(2, 1, 4), np.array([[0.3, 1.2], [2.0, -1.0]], np.float32)
    got = kernels.rotate(x, np.cos(angle), np.sin(angle))
    turned = (x[:, 0, :2] + 1j * x[:, 0, 2:]) * np.exp(1j * angle)
    np.testing.assert_allclose(got[:, 0], np.concatenate((turned.real, turned.imag), axis=1), rtol=1e-6)


def test_packed_products_round_the_activations_by_token_and_group():
    weight = packing.pack(random(5, 70), 8)
    x = random(3, 70)
    integers, scales = reference.quantise(x, 32)
    rounded = (integers * scales[..., None]).reshape(3, -1)[:, :70]
    bias = random(5, seed=9)
    got = kernels.linear(x, weight, bias)
    np.testing.assert_allclose(got, rounded @ packing.unpack(weight).T + bias, rtol=1e-5, atol=1e-5)


def test_groups_of_activations_that_are_zero_tiny_or_not_finite():
    x = np.zeros((4, 64), np.float32)
    x[1, 3], x[2, 40], x[3, 1] = 1e-38, np.nan, np.inf
    integers, scales = reference.quantise(x, 32)
    assert not integers.any()
    np.testing.assert_array_equal(scales, [[0, 0], [0, 0], [0, np.nan], [np.nan, 0]])


@pytest.mark.parametrize(
    ("function", "value"),
    [(kernels.silu, 1 / (1 + math.exp(-1))), (kernels.gelu, 0.5 * (1 + math.erf(math.sqrt(0.5))))],
)
def test_activations_at_one(function, value):
    np.testing.assert_allclose(function(np.ones(3, np.float32)), value, rtol=1e-6)


def test_tanh_gelu_is_the_tanh_formula():
    x = random(50)
    want = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(kernels.gelu_tanh(x), want, rtol=1e-4, atol=1e-6)


def test_norms():
    x, weight, bias = random(4, 6), random(6), random(6, seed=8)
    got = kernels.layer_norm(x, weight, bias, 1e-6)
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6) * weight + bias
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    got = kernels.rms_norm(x, weight, 1e-6)
    np.testing.assert_allclose(got, x / np.sqrt((x**2).mean(1, keepdims=True)) * weight, rtol=1e-4)


@pytest.mark.parametrize("ids", [[-1], [40]])
def test_ids_outside_the_table_are_misuse(ids):
    with pytest.raises(UsageError, match="40 rows"):
        kernels.embed(random(40, 8), np.array(ids))


def test_shapes_that_do_not_fit_are_misuse():
    with pytest.raises(UsageError, match="does not fit"):
        kernels.linear(random(2, 3), random(4, 5))


def test_other_kinds_of_arrays_are_misuse():
    with pytest.raises(UsageError, match=r"not builtins\.list"):
        kernels.silu([1.0])


def test_an_unknown_back_end_is_misuse():
    with pytest.raises(UsageError, match="there is no back end"), kernels.using(backend="fast"):
        pass


def test_the_context_ends_with_its_block():
    before = kernels.context.current()
    with kernels.using(threads=3):
        assert kernels.context.current().pool.threads == 3
    assert kernels.context.current() is before


def test_without_the_extension_numpy_arrays_are_refused_with_a_way_out():
    program = """
import sys, numpy
sys.modules["galago.kernels._native"] = None
from galago import errors, kernels
try:
    kernels.silu(numpy.ones(3, numpy.float32))
except errors.MissingDependencyError as error:
    assert "pip install ." in error.hint, error.hint
    sys.exit(0)
sys.exit("numpy computed in silence")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_the_definition_needs_neither_torch_nor_the_extension():
    program = """
import sys, numpy
from galago import kernels
with kernels.using(backend="numpy"):
    kernels.silu(numpy.ones(3, numpy.float32))
assert not {"torch", "galago.kernels._native"} & set(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
