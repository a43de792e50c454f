"""The meaning and layout of bf16, q8 and q4 weights."""

import numpy as np
import pytest

from galago import packing
from galago.errors import UsageError, WeightError

SHAPES = [(1, 32), (3, 96), (17, 200), (48, 7)]


def random(*shape):
    return np.random.default_rng(7).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("shape", SHAPES)
def test_q8_errs_by_at_most_half_a_step(shape, group):
    dense = random(*shape)

    weight = packing.pack(dense, 8, group)

    step = packing.unpack_parts(weight)[1].max()
    assert np.abs(packing.unpack(weight) - dense).max() <= step * 0.51
    assert weight.shape == shape


@pytest.mark.parametrize("shape", SHAPES)
def test_q4_keeps_most_of_the_energy(shape):
    dense = random(*shape)
    error = packing.unpack(packing.pack(dense, 4)) - dense
    assert np.square(error).sum() < 0.01 * np.square(dense).sum()  # 15 steps over about 4 deviations: 0.6 %


def test_q4_is_refined_beyond_the_plain_range():
    dense = random(64, 256)
    low, high = (f(dense.reshape(64, 8, 32), axis=-1, keepdims=True) for f in (np.min, np.max))
    step = (high - low) / 15
    plain = np.rint((dense.reshape(64, 8, 32) - low) / step) * step + low
    refined = packing.unpack(packing.pack(dense, 4))
    assert np.square(refined - dense).sum() < 0.97 * np.square(plain.reshape(dense.shape) - dense).sum()


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_of_sixteen_levels_survive_exactly(bits):
    dense = np.random.default_rng(1).integers(0, 16, (16, 64)).astype(np.float32)
    dense[:, ::32], dense[:, 1::32] = 0, 15
    np.testing.assert_allclose(packing.unpack(packing.pack(dense, bits)), dense, atol=15 / 255 / 2 + 1e-3)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_a_constant_group_needs_no_scale(bits, value):
    dense = np.full((2, 32), value, np.float32)
    np.testing.assert_allclose(packing.unpack(packing.pack(dense, bits)), dense, rtol=1e-3)


@pytest.mark.parametrize("bits", [4, 8])
def test_padding_is_zero_in_codes_scales_and_offsets(bits):
    weight = packing.pack(np.ones((1, 40), np.float32), bits)
    codes, scales, offsets = packing.unpack_parts(weight)
    assert codes.shape == (16, 2, 32)
    assert not codes[1:].any()
    assert not scales[1:].any()
    assert not offsets[1:].any()


def test_codes_lie_in_panels_of_sixteen_rows_and_quads_of_columns():
    dense = np.zeros((17, 64), np.float32)
    dense[:, 31] = dense[:, 63] = 255  # every group spans 0 .. 255, so that codes of 8 bits are the values
    dense[3, 6] = 77
    dense[16, 33] = 99
    codes = packing.pack(dense, 8).codes
    assert codes[0, 1, 3, 2] == 77
    assert codes[1, 8, 0, 1] == 99


def test_the_low_nibble_is_the_even_quad():
    dense = np.zeros((1, 32), np.float32)
    dense[0, 31] = 15
    dense[0, 2], dense[0, 6] = 5, 9
    codes = packing.pack(dense, 4).codes
    assert codes[0, 0, 0, 2] == 5 | 9 << 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_are_refused_by_place(bad):
    dense = np.zeros((4, 32), np.float32)
    dense[2, 5] = bad
    with pytest.raises(WeightError, match=r"\[2, 5\]"):
        packing.pack(dense, 4)


def test_weights_beyond_float16_are_refused():
    with pytest.raises(WeightError, match="float16"):
        packing.pack(np.full((1, 32), 1e6, np.float32), 8)


@pytest.mark.parametrize(("bits", "group"), [(5, 32), (4, 16), (8, 48), (8, 0)])
def test_unknown_bits_and_groups_are_misuse(bits, group):
    with pytest.raises(UsageError):
        packing.pack(np.zeros((1, 32), np.float32), bits, group)


def test_parts_that_do_not_fit_together_are_refused():
    weight = packing.pack(random(16, 64), 8)
    with pytest.raises(WeightError, match="scales"):
        packing.PackedWeight(8, 32, 16, 64, weight.codes, weight.scales[:, :1], weight.offsets)


@pytest.mark.parametrize("shape", [(0, 32), (16, 0)])
def test_empty_weights_pack_to_empty(shape):
    assert packing.unpack(packing.pack(np.zeros(shape, np.float32), 4)).shape == shape


def test_bf16_rounds_to_nearest_even():
    dense = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -2.5]], np.float32)
    back = packing.from_bf16(packing.to_bf16(dense).bits)
    np.testing.assert_array_equal(back, [[1.0, 1.0, 1 + 2**-6, 1 + 2**-7, -2.5]])


@pytest.mark.parametrize("kind", ["f32", "bf16", "q8", "q4"])
def test_taken_rows_equal_rows_of_the_whole(kind):
    dense = random(40, 72)
    pack = {"f32": lambda w: w, "bf16": packing.to_bf16}.get(kind)
    weight = pack(dense) if pack else packing.pack(dense, int(kind[1]))
    ids = np.array([39, 0, 17, 17, 5])
    np.testing.assert_array_equal(packing.take_rows(weight, ids), packing.to_dense(weight)[ids])
    assert packing.take_rows(weight, ids[:0]).shape == (0, 72)
