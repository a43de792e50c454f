"""Attention in tiles against the numpy definition."""

import numpy as np
import pytest

from galago import kernels

pytestmark = pytest.mark.usefixtures("isa")


@pytest.mark.parametrize(
    "sizes",  # tokens, keys, heads, key heads, head size
    [
        (0, 0, 2, 2, 16),
        (0, 5, 2, 2, 16),
        (1, 1, 1, 1, 8),
        (1, 70, 8, 2, 32),  # one token of a decoder, grouped heads
        (1, 197, 7, 1, 80),
        (1, 130, 22, 2, 96),
        (1, 65, 3, 3, 17),
        (3, 130, 6, 3, 17),  # a head size that is no multiple of anything
        (17, 64, 4, 4, 40),
        (70, 200, 8, 1, 80),
        (65, 65, 3, 3, 128),
    ],
)
@pytest.mark.parametrize("causal", [False, True])
def test_attention(random, agrees, sizes, causal):
    tokens, keys, heads, kv_heads, size = sizes
    q, k, v = random(tokens, heads, size), random(keys, kv_heads, size), random(keys, kv_heads, size)
    agrees(lambda: kernels.attention(q, k, v, causal=causal), terms=size + 16)


@pytest.mark.parametrize("bounds", [[0, 81], [0, 1, 2, 81], [0, 0, 64, 64, 80, 81, 81]])
def test_segments(random, agrees, bounds):
    q, k, v = (random(81, 4, 24) for _ in range(3))
    borders = np.array(bounds, np.int32)
    agrees(lambda: kernels.attention(q, k, v, causal=False, bounds=borders), terms=40)


def test_scores_that_rise_from_block_to_block(random, agrees):
    q = np.ones((5, 1, 8), np.float32)
    k = np.linspace(-40, 40, 300, dtype=np.float32)[:, None, None] * np.ones((1, 1, 8), np.float32)
    v = random(300, 1, 8)
    agrees(lambda: kernels.attention(q, k, v, causal=False), terms=5000)  # scores up to 113: their ulp counts
    agrees(lambda: kernels.attention(q, k[::-1].copy(), v, causal=False), terms=5000)


def test_parts_of_a_fused_projection_are_read_in_place(random, agrees):
    qkv = random(33, 3, 4, 16)
    agrees(lambda: kernels.attention(qkv[:, 0], qkv[:, 1], qkv[:, 2], causal=False), terms=32)


def test_keys_by_head_are_read_in_place(random, agrees):
    k, v = random(2, 50, 16).transpose(1, 0, 2), random(2, 50, 16).transpose(1, 0, 2)
    q = random(3, 4, 16)
    agrees(lambda: kernels.attention(q, k, v, causal=True), terms=32)


@pytest.mark.parametrize(
    "sizes", [(3, 130, 6, 3, 17), (17, 63, 4, 4, 40), (70, 201, 8, 1, 80), (65, 65, 3, 3, 128)]
)
def test_rounded_factors_err_as_bfloat16_does(random, isa, sizes):
    tokens, keys, heads, kv_heads, size = sizes
    q, k, v = random(tokens, heads, size), random(keys, 2, kv_heads, size)[:, 1], random(keys, kv_heads, size)
    exact, causal = (kernels.attention(q, k, v, causal=causal) for causal in (False, True))
    with kernels.using(round_attention=True):
        rounded = kernels.attention(q, k, v, causal=False)
        np.testing.assert_array_equal(kernels.attention(q, k, v, causal=True), causal)
    # scores are sums of |q k| up to 0.64 size / sqrt(size), each factor within 2^-9; then weights and values
    bound = (2**-8 * 0.64 * size**0.5 + 2**-8) * np.abs(v).max()
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=bound)
    rounds = "avx512_bf16" in kernels.available() and isa in {"avx512_bf16", "amx"}
    assert (rounded != exact).any() == rounds
    assert np.sqrt(np.square(rounded - exact).mean()) < bound / 20  # errors of many factors cancel


def test_segments_are_rounded_as_they_would_be_alone(random):
    q, k, v = (random(81, 4, 24) for _ in range(3))
    with kernels.using(round_attention=True):
        together = kernels.attention(q, k, v, causal=False, bounds=np.array([0, 64, 81], np.int32))
        apart = [kernels.attention(q[s], k[s], v[s], causal=False) for s in (slice(64), slice(64, 81))]
    np.testing.assert_array_equal(together, np.concatenate(apart))


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_nan_is_not_lost(random, which, rounded):
    parts = [random(70, 2, 16) for _ in range(3)]
    parts[which][3, 1, 5] = np.nan
    with kernels.using(round_attention=rounded):
        got = kernels.attention(*parts, causal=False)
    assert np.isnan(got[3, 1]).any()
    assert np.isfinite(got[:, 0]).all()


def test_the_number_of_threads_changes_no_bit(random):
    q, k, v = (random(200, 4, 40) for _ in range(3))
    results = []
    for threads in (1, 2, 3):
        with kernels.using(threads=threads):
            results.append(kernels.attention(q, k, v, causal=True))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
