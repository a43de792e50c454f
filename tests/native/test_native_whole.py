"""Whole layers as one kernel: the numbers of the blocks one after the other, and the same cache after."""

import numpy as np
import pytest

from galago import kernels, nn
from galago.engine.kv import BatchCache, KVCache
from galago.models.qwen2_vl.config import TextConfig
from galago.models.qwen2_vl.language import Decoder
from galago.packing import pack

pytestmark = pytest.mark.usefixtures("isa")

SMALL = {"dim": 64, "heads": 4, "kv_heads": 2, "mlp_dim": 96}
SHARED = {"dim": 512, "heads": 4, "kv_heads": 2, "mlp_dim": 1100}  # so large that threads share its products


class LayerByLayer:
    """A cache that lets every layer come by itself."""

    def __init__(self, cache):
        self.attend = cache.attend


def decoder(sizes, bits):
    config = TextConfig(
        **sizes, head_dim=16, layers=3, norm_eps=1e-6, vocabulary=40, context=512, tied=True,
        rope_sections=(2, 3, 3), rope_base=1e4,
    )  # fmt: skip
    network = Decoder(config)
    start = nn.initialise(3)
    nn.assign(network, lambda name, place: packed(start(name, place), bits))
    return network


def packed(array, bits):
    return pack(array, bits) if array.ndim == 2 and bits else array


def filled(network, x):
    cache = KVCache(len(network.blocks))
    feed(network, cache, x)
    return cache


def feed(network, cache, x):
    return network(x, np.arange(len(cache), len(cache) + len(x))[None].repeat(3, 0), cache)


@pytest.mark.parametrize("sizes", [SMALL, SHARED])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("lengths", [[5], [5, 1, 70], [*range(3, 16)]])  # more than fit a tile
def test_whole_layers_equal_the_blocks_one_by_one(isa, random, sizes, bits, lengths):
    network = decoder(sizes, bits)
    caches = [filled(network, random(tokens, sizes["dim"])) for tokens in lengths]
    others = [cache.fork(len(cache)) for cache in caches]
    positions = np.array([lengths] * 3)
    x = random(len(lengths), sizes["dim"])

    got = network(x, positions, BatchCache([(cache, 1) for cache in caches]))

    want = network(x, positions, LayerByLayer(BatchCache([(other, 1) for other in others])))
    tolerance = 1e-4 if isa == "generic" else 0  # one rounding less where sums are double
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
    for tokens, cache, other in zip(lengths, caches, others, strict=True):
        assert len(cache) == len(other) == tokens + 1
        kept = [one._rows.array[..., : tokens + 1, :] for one in (cache, other)]
        np.testing.assert_allclose(*kept, rtol=0, atol=10 * tolerance)


def test_sequences_that_share_a_beginning_are_computed_together(isa, random):
    network, prompt = decoder(SMALL, 4), random(130, 64)
    cache = filled(network, prompt)
    guests, plain = [cache.fork(130, head=128) for _ in range(3)], [filled(network, prompt) for _ in range(3)]
    assert guests[0].trunk is not None
    for step in range(3):
        x, positions = random(3, 64), np.full((3, 3), 130 + step)
        got = network(x, positions, BatchCache([(guest, 1) for guest in guests]))
        want = network(x, positions, LayerByLayer(BatchCache([(one, 1) for one in plain])))
        tolerance = 1e-4 if isa == "generic" else 0
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def test_rows_of_a_draft_that_was_wrong_are_written_again(random):
    network = decoder(SMALL, 4)
    cache = filled(network, random(130, 64))
    guest, other = cache.fork(130, head=128), cache.fork(130, head=128)
    draft, right, next_ones = random(4, 64), random(1, 64), random(2, 64)
    feed(network, guest, draft)  # layer by layer: kept beside the trunk too
    guest.truncate(131)
    feed(network, guest, right)  # whole layers: kept apart alone
    got = feed(network, guest, next_ones)
    for rows in (draft[:1], right, next_ones):
        want = feed(network, other, rows)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())


def test_a_weight_that_is_replaced_counts(random):
    network = decoder(SMALL, 4)
    cache, x = filled(network, random(5, 64)), random(1, 64)
    first = network(x, np.full((3, 1), 5), cache.fork(5))
    network.blocks[1].o.weight = pack(random(64, 64), 4)
    second = network(x, np.full((3, 1), 5), cache.fork(5))
    assert np.abs(first - second).max() > 1e-3


def test_weights_that_are_not_packed_go_block_by_block(random):
    network = decoder(SMALL, None)
    cache, x = filled(network, random(5, 64)), random(1, 64)
    got = network(x, np.full((3, 1), 5), cache.fork(5))
    want = network(x, np.full((3, 1), 5), LayerByLayer(cache.fork(5)))
    np.testing.assert_array_equal(got, want)
    assert kernels.layers(x, [block.weights for block in network.blocks]) is None
