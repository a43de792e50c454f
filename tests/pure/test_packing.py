"""The meaning and layout of bf16, q8 and q4 weights."""

from dataclasses import replace

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


@pytest.mark.parametrize("group", [32, 64, 128])
def test_q4_follows_every_32_columns_whatever_the_group(group):
    dense = random(64, 512) * np.repeat(np.geomspace(0.2, 1, 16).astype(np.float32), 32)
    error = (packing.unpack(packing.pack(dense, 4, group)) - dense).reshape(64, 16, 32)
    relative = np.square(error).sum(axis=(0, 2)) / np.square(dense.reshape(64, 16, 32)).sum(axis=(0, 2))
    assert (relative < 0.011).all()


@pytest.mark.parametrize(("bits", "largest"), [(8, 0.03), (4, 0.06)])
def test_a_column_a_hundred_times_larger_spoils_its_32_columns_at_most(bits, largest):
    dense = random(64, 512)
    dense[:, ::128] *= 100
    error = packing.unpack(packing.pack(dense, bits, 128)) - dense
    assert np.linalg.norm(error) < largest * np.linalg.norm(dense)
    beside = np.delete(np.arange(512).reshape(4, 4, 32), 0, axis=1).ravel()  # the other 96 of each group
    step = 2.7 * 100 / 127 if bits == 8 else 3 * 100 / 127  # of the group: the largest of 64 rows is 2.7
    assert np.abs(error[:, beside]).max() < step / 2


def test_q4_is_refined_beyond_the_plain_range():
    dense = random(64, 256)
    low, high = (f(dense.reshape(64, 8, 32), axis=-1, keepdims=True) for f in (np.min, np.max))
    step = (high - low) / 15
    zero = np.rint(-low / step)
    plain = (np.clip(np.rint(dense.reshape(64, 8, 32) / step) + zero, 0, 15) - zero) * step
    refined = packing.unpack(packing.pack(dense, 4, 128))
    assert np.square(refined - dense).sum() < 0.97 * np.square(plain.reshape(dense.shape) - dense).sum()


@pytest.mark.parametrize("zero", [0, 5, 8, 15])
def test_integers_of_other_tools_are_kept_exactly(zero):
    nibbles = np.random.default_rng(1).integers(0, 16, (1, 4, 16, 4), np.uint8)
    codes = nibbles | (nibbles[:, :, ::-1] << 4)
    scales = random(1, 1, 16).astype(np.float16)
    weight = packing.PackedWeight(4, 32, 16, 32, codes, scales, np.full((1, 1, 16), zero, np.uint8))
    integers = np.stack((nibbles, nibbles[:, :, ::-1]), axis=2)[0].transpose(2, 0, 1, 3).reshape(16, 32)
    want = scales.astype(np.float32).reshape(16, 1) * (integers.astype(np.float32) - zero)
    np.testing.assert_array_equal(packing.unpack(weight), want)


@pytest.mark.parametrize(("bits", "error"), [(8, 1e-3), (4, 1 / 15)])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_a_constant_group_is_kept(bits, error, value):
    dense = np.full((2, 32), value, np.float32)
    np.testing.assert_allclose(packing.unpack(packing.pack(dense, bits)), dense, rtol=error)


@pytest.mark.parametrize("bits", [4, 8])
def test_padding_is_zero(bits):
    values, scales, offsets = packing.unpack_parts(packing.pack(np.ones((1, 40), np.float32), bits))
    assert values.shape == (16, 2, 32)
    assert not values[1:].any()
    assert not values[0, 1, 8:].any()
    assert not scales[1:].any()
    assert offsets is None


def test_codes_lie_in_panels_of_sixteen_rows_and_quads_of_columns():
    dense = np.zeros((17, 64), np.float32)
    dense[:, 31] = dense[:, 63] = 127  # the scale is 1, and a code its value plus 128
    dense[3, 6] = 77
    dense[16, 33] = -99
    codes = packing.pack(dense, 8).codes
    assert codes[0, 1, 3, 2] == 128 + 77
    assert codes[1, 8, 0, 1] == 128 - 99


def test_the_low_nibble_is_the_even_quad_and_steps_hold_multiplier_and_zero():
    dense = np.zeros((1, 32), np.float32)
    dense[0, 31], dense[0, 30] = 7, -8
    dense[0, 2], dense[0, 6] = 5, -3
    weight = packing.pack(dense / 16, 4)
    assert weight.codes[0, 0, 0, 2] == 8 + 5 | 8 - 3 << 4
    assert weight.steps[0, 0, 0] == 15 << 4 | 8
    np.testing.assert_allclose(packing.unpack(weight), dense / 16, rtol=0.01)


def test_offsets_of_other_tools_are_added():
    weight = packing.pack(random(20, 64), 4)
    offsets = np.broadcast_to(np.float16(0.5), weight.scales.shape)
    moved = replace(weight, offsets=offsets)
    np.testing.assert_allclose(packing.unpack(moved), packing.unpack(weight) + 0.5, atol=1e-6)
    assert moved.nbytes == weight.nbytes + offsets.nbytes


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_are_refused_by_place(bad):
    dense = np.zeros((4, 32), np.float32)
    dense[2, 5] = bad
    with pytest.raises(WeightError, match=r"\[2, 5\]"):
        packing.pack(dense, 4)


def test_weights_beyond_float16_are_refused():
    with pytest.raises(WeightError, match="float16"):
        packing.pack(np.full((1, 32), 1e7, np.float32), 8)


@pytest.mark.parametrize(("bits", "group"), [(5, 32), (4, 16), (8, 48), (8, 0)])
def test_unknown_bits_and_groups_are_misuse(bits, group):
    with pytest.raises(UsageError):
        packing.pack(np.zeros((1, 32), np.float32), bits, group)


def test_parts_that_do_not_fit_together_are_refused():
    weight = packing.pack(random(16, 64), 8)
    with pytest.raises(WeightError, match="scales"):
        replace(weight, scales=weight.scales[:, :1])
    with pytest.raises(WeightError, match=r"steps of a q4 weight .* not missing"):
        replace(packing.pack(random(16, 64), 4), steps=None)
    with pytest.raises(WeightError, match="no steps"):
        replace(weight, steps=np.zeros((1, 2, 16), np.uint8))


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
