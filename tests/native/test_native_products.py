"""Products and embeddings: every weight, instruction set and awkward shape against the numpy definition."""

from dataclasses import replace

import numpy as np
import pytest

from galago import kernels, packing
from galago.errors import WeightError

pytestmark = pytest.mark.usefixtures("isa")

TOKENS = [0, 1, 3, 9, 17, 70]
SHAPES = [(1, 1), (5, 31), (16, 64), (19, 100), (50, 300)]  # rows, columns


def dense(weight, kind):
    return packing.to_bf16(weight) if kind == "bf16" else weight


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_dense_products(random, agrees, kind, shape, tokens):
    weight, x, bias = dense(random(*shape), kind), random(tokens, shape[1]), random(shape[0])
    agrees(lambda: kernels.linear(x, weight, bias), terms=shape[1])


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", [(bits, group) for bits in (4, 8) for group in (32, 64, 128)])
def test_packed_products(random, agrees, form, shape, tokens):
    weight, x, bias = packing.pack(random(*shape), *form), random(tokens, shape[1]), random(shape[0])
    agrees(lambda: kernels.linear(x, weight, bias), terms=shape[1])


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["f32", "bf16", 4, 8])
def test_a_residual_is_added(random, agrees, kind, shape, tokens):
    weight = packing.pack(random(*shape), kind) if kind in {4, 8} else dense(random(*shape), kind)
    x, bias, residual = random(tokens, shape[1]), random(shape[0]), random(tokens, shape[0])
    agrees(lambda: kernels.linear(x, weight, bias, residual), terms=shape[1])


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("bits", [4, 8])
def test_offsets_are_added(random, agrees, bits, tokens):
    weight, x = packing.pack(random(50, 300), bits), random(tokens, 300) + 1
    moved = replace(weight, offsets=random(*weight.scales.shape).astype(np.float16))
    agrees(lambda: kernels.linear(x, moved), terms=300)


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 30])
def test_every_step_within_the_range_of_int8_is_exact(random, agrees, tokens):
    weight = packing.pack(random(128, 128), 4)
    steps = np.arange(weight.steps.size, dtype=np.uint8).reshape(weight.steps.shape)
    multiplier, zero = (steps >> 4) + np.int16(1), (steps & 15).astype(np.int16)
    least = np.maximum(zero - 128 // multiplier, 0)[:, :, None, :, None]
    most = np.minimum(zero + 127 // multiplier, 15)[:, :, None, :, None]
    nibbles = np.random.default_rng(5).integers(0, 16, (*steps.shape[:2], 8, packing.PANEL, 4))
    within = np.clip(nibbles, least, most).astype(np.uint8)
    codes = (within[:, :, 0::2] | within[:, :, 1::2] << np.uint8(4)).reshape(weight.codes.shape)
    x = random(tokens, 128)
    agrees(lambda: kernels.linear(x, replace(weight, codes=codes, steps=steps)), terms=128)


@pytest.mark.parametrize("bits", [4, 8])
def test_many_tokens_with_wide_rows_are_cut_into_chunks(random, agrees, bits):
    weight, x = packing.pack(random(17, 9000), bits), random(130, 9000)
    agrees(lambda: kernels.linear(x, weight), terms=9000)


@pytest.mark.parametrize("bits", [4, 8])
def test_the_largest_codes_and_activations_do_not_saturate(agrees, bits):
    weight = packing.pack(np.tile(np.array([0, 255], np.float32), (16, 64)), bits)
    x = np.tile(np.array([[-1, 1], [1, -1], [1, 1], [-1, -1]], np.float32), (1, 64))
    agrees(lambda: kernels.linear(x, weight), terms=128)


@pytest.mark.parametrize("bits", [4, 8])
def test_every_code_meets_every_sign(random, agrees, bits):
    rows = np.arange(256, dtype=np.float32).repeat(32).reshape(64, 128) % 2**bits
    rows[:, 0], rows[:, 1] = 0, 2**bits - 1
    x = np.sign(random(7, 128)) * np.array([[1.0, 0.5] * 64], np.float32)
    agrees(lambda: kernels.linear(x, packing.pack(rows, bits, 128)), terms=128)


@pytest.mark.parametrize("bits", [4, 8])
def test_zero_groups_of_weights_and_activations_give_zero(random, bits):
    weight, x = random(18, 96), random(3, 96)
    weight[:, 32:64] = 0
    x[:, :32] = x[:, 64:] = 0
    np.testing.assert_array_equal(kernels.linear(x, packing.pack(weight, bits)), 0)


@pytest.mark.parametrize("kind", ["f32", "bf16", "q4", "q8"])
def test_a_nan_spoils_its_token_and_no_other(random, kind):
    weight, x = random(18, 96), random(12, 96)
    x[4, 40] = np.nan
    packed = packing.pack(weight, int(kind[1])) if kind[0] == "q" else dense(weight, kind)
    got = kernels.linear(x, packed)
    assert np.isnan(got[4]).all()
    assert np.isfinite(np.delete(got, 4, axis=0)).all()


@pytest.mark.parametrize(("bits", "group", "tolerance"), [(8, 32, 0.02), (8, 128, 0.035), (4, 128, 0.12)])
@pytest.mark.parametrize("where", ["weights", "activations"])
def test_packed_products_stay_close_when_some_channels_are_outliers(random, bits, group, tolerance, where):
    weight, x = random(64, 512), random(9, 512)
    {"weights": weight, "activations": x}[where][:, ::97] *= 100
    want = x.astype(np.float64) @ weight.T
    got = kernels.linear(x, packing.pack(weight, bits, group))
    assert np.linalg.norm(got - want) < tolerance * np.linalg.norm(want)


@pytest.mark.parametrize("tokens", [0, 1, 5, 40])
@pytest.mark.parametrize("kinds", [("q4", "q8", "q4"), ("q8", "f32", "bf16"), ("q4",)])
def test_several_products_of_one_array_are_those_one_by_one(random, kinds, tokens):
    x, weights, biases = random(tokens, 150), [], []
    for rows, kind in zip((70, 5, 33), kinds, strict=False):
        weight = random(rows, 150)
        weights.append(packing.pack(weight, int(kind[1]), 64) if kind[0] == "q" else dense(weight, kind))
        biases.append(random(rows) if rows > 5 else None)
    got = kernels.linears(x, weights, biases)
    for y, weight, bias in zip(got, weights, biases, strict=True):
        np.testing.assert_array_equal(y, kernels.linear(x, weight, bias))


@pytest.mark.parametrize("tokens", [0, 1, 5, 40, 130])
@pytest.mark.parametrize("kind", ["f32", "bf16", "q8", "q4"])
def test_a_gated_product_is_silu_of_one_times_the_other(random, kind, tokens):
    x, weights = random(tokens, 300), [random(83, 300) for _ in range(2)]
    held = [packing.pack(w, int(kind[1])) if kind[0] == "q" else dense(w, kind) for w in weights]
    biases = [random(83), None]
    got = kernels.gated(x, held, biases)
    want = kernels.silu_mul(*(kernels.linear(x, w, b) for w, b in zip(held, biases, strict=True)))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, 64, 96, 128, 256])
@pytest.mark.parametrize("offsets", [False, True])
def test_the_number_of_tokens_changes_no_bit(random, bits, group, offsets):
    weight, x = packing.pack(random(227, 1100), bits, group), random(75, 1100)
    if offsets:
        weight = replace(weight, offsets=random(*weight.scales.shape).astype(np.float16))
    bias = random(227)
    whole = kernels.linear(x, weight, bias)
    for count in (1, 5, 9, 16, 31, 48, 64):
        np.testing.assert_array_equal(kernels.linear(x[:count], weight, bias), whole[:count])


@pytest.mark.parametrize("kind", ["f32", "q8"])
def test_rows_of_a_wider_array_are_read_in_place(random, agrees, kind):
    weight, wide = random(20, 64), random(11, 200)
    packed = packing.pack(weight, 8) if kind == "q8" else weight
    agrees(lambda: kernels.linear(wide[:, 64:128], packed), terms=64)


@pytest.mark.parametrize("kind", ["f32", "bf16", "q4", "q8"])
@pytest.mark.parametrize("ids", [[], [0], [39, 0, 17, 17, 5]])
def test_embedding_takes_rows_exactly(random, kind, ids):
    weight = random(40, 72)
    packed = packing.pack(weight, int(kind[1])) if kind[0] == "q" else dense(weight, kind)
    got = kernels.embed(packed, np.array(ids, np.int32))
    np.testing.assert_allclose(got, packing.to_dense(packed)[np.array(ids, int)], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["f32", "bf16", "q4", "q8"])
def test_the_number_of_threads_changes_no_bit(random, kind):
    weight, x = random(150, 700), random(33, 700)
    packed = packing.pack(weight, int(kind[1])) if kind[0] == "q" else dense(weight, kind)
    results = []
    for threads in (1, 2, 3):
        with kernels.using(threads=threads):
            results.append(kernels.linear(x, packed))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("bits", [4, 8])
def test_dividing_many_tokens_between_threads_changes_no_bit(random, bits):
    x, residual = random(1400, 100), random(1400, 40)
    weights = [packing.pack(random(40, 100), bits) for _ in range(2)]
    results = []
    for threads in (1, 2, 3, 5):
        with kernels.using(threads=threads):
            added = kernels.linear(x, weights[0], None, residual)
            results.append(np.concatenate([added, kernels.gated(x, weights, [None, None])]))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_results_begin_at_a_cache_line(random):
    weight = random(24, 33)
    held = [weight, packing.to_bf16(weight), packing.pack(weight, 4)]
    for tokens in (1, 2, 3, 100):
        x = random(tokens, 33)
        for y in (
            *(kernels.linear(x, one) for one in held),
            kernels.silu(x),
            kernels.rms_norm(x, x[0], 1e-6),
        ):
            assert y.ctypes.data % 64 == 0


@pytest.mark.parametrize("shape", [*SHAPES, (0, 64), (33, 256)])
@pytest.mark.parametrize("form", [(bits, group) for bits in (4, 8) for group in (32, 128, None)])
def test_packing_is_that_of_the_definition(random, form, shape):
    weight = random(*shape)
    weight[:, ::29] *= 100
    weight[:1, :32] = 0
    got, want = kernels.pack(weight, *form), packing.pack(weight, *form)
    np.testing.assert_array_equal(got.scales, want.scales)
    if form[0] == 8:
        np.testing.assert_array_equal(got.codes, want.codes)
    else:  # sums of squares may be so close that their rounding decides between two grids
        errors = [np.linalg.norm(packing.unpack(one) - weight) for one in (got, want)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1e3, 8e6])
def test_scales_of_every_size_are_packed(random, bits, scale):
    weight = (random(16, 64).clip(-1, 1) * np.float32(scale)).astype(np.float32)
    got, want = kernels.pack(weight, bits), packing.pack(weight, bits)
    np.testing.assert_array_equal(got.scales, want.scales)


@pytest.mark.parametrize(("bad", "match"), [(np.nan, r"\[2, 5\]"), (1e7, "float16")])
def test_what_cannot_be_packed_is_refused(random, bad, match):
    weight = random(20, 64)
    weight[2, 5] = bad
    with pytest.raises(WeightError, match=match):
        kernels.pack(weight, 4)
