"""Activations, norms and rotation against the numpy definition."""

import numpy as np
import pytest

from galago import kernels

pytestmark = pytest.mark.usefixtures("isa")

ACTIVATIONS = [kernels.silu, kernels.gelu, kernels.gelu_tanh, kernels.quick_gelu]


@pytest.mark.parametrize(
    ("function", "rtol"),
    [(kernels.silu, 8e-7), (kernels.quick_gelu, 8e-7), (kernels.gelu, 4e-6), (kernels.gelu_tanh, 4e-6)],
)
def test_activations_to_some_ulps(function, rtol):
    x = np.linspace(-9, 40, 20_011, dtype=np.float32)
    with kernels.using(backend="numpy"):
        want = function(x)
    # The tails of gelu are exponentials of -x^2/2, and half an ulp of 40 is 2e-6.
    np.testing.assert_allclose(function(x), want, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations_far_out(function):
    np.testing.assert_array_equal(function(np.float32([0, 200, 1e10])), np.float32([0, 200, 1e10]))
    np.testing.assert_allclose(function(np.float32([-1e10, -200])), 0, atol=1e-30)
    assert np.isnan(function(np.float32([np.nan] * 3))).all()


@pytest.mark.parametrize("shape", [(0,), (1,), (7, 3), (2, 3, 33), (100_000,)])
def test_any_shape(random, agrees, shape):
    gate, up = random(*shape), random(*shape)
    agrees(lambda: kernels.gelu(gate))
    agrees(lambda: kernels.silu_mul(gate, up), terms=16)


@pytest.mark.parametrize("tokens", [0, 1, 17])
@pytest.mark.parametrize("width", [1, 8, 33, 96])
def test_norms(random, agrees, tokens, width):
    x, weight, bias = random(tokens, width) + 3, random(width), random(width)
    agrees(lambda: kernels.rms_norm(x, weight, 1e-6), terms=width)
    agrees(lambda: kernels.layer_norm(x, weight, bias, 1e-5), terms=32 + width)


def test_a_layer_norm_of_equal_values_is_its_bias(random):
    bias = random(33)
    got = kernels.layer_norm(np.full((2, 33), 0.75, np.float32), random(33), bias, 1e-6)
    np.testing.assert_allclose(got, np.stack((bias, bias)), atol=1e-4)


@pytest.mark.parametrize("size", [2, 16, 34, 80])
@pytest.mark.parametrize("tokens", [0, 1, 9])
def test_rotation(random, agrees, tokens, size):
    x, angle = random(tokens, 3, size), random(tokens, size // 2) * 9
    cos, sin = np.cos(angle), np.sin(angle)
    agrees(lambda: kernels.rotate(x, cos, sin))
    wide = random(tokens, 5, size)
    agrees(lambda: kernels.rotate(wide[:, 1:4], cos, sin))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 30, 32])
def test_one_bad_element_is_noticed(random, bad, place):
    x = random(33)
    assert kernels.is_finite(x)
    x[place] = bad
    assert not kernels.is_finite(x)


def test_nothing_is_finite():
    assert kernels.is_finite(np.empty((0, 4), np.float32))
