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


def filled(network, tokens, random):
    cache = KVCache(len(network.blocks))
    network(random(tokens, network.config.dim), np.arange(tokens)[None].repeat(3, 0), cache)
    return cache


@pytest.mark.parametrize("sizes", [SMALL, SHARED])
@pytest.mark.parametrize("bits", [4, 8])
def test_whole_layers_equal_the_blocks_one_by_one(isa, random, sizes, bits):
    network = decoder(sizes, bits)
    cache = filled(network, 5, random)
    other, positions = cache.fork(5), np.full((3, 1), 5)
    x = random(1, sizes["dim"])

    got = network(x, positions, BatchCache([(cache, 1)]))

    want = network(x, positions, LayerByLayer(other))
    tolerance = 1e-4 if isa == "generic" else 0  # one rounding less where sums are double
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
    assert len(cache) == len(other) == 6
    for mine, theirs in zip(cache._parts, other._parts, strict=True):
        np.testing.assert_allclose(mine.array[:6], theirs.array[:6], rtol=0, atol=10 * tolerance)


def test_sequences_that_share_a_beginning_take_turns(random):
    network = decoder(SMALL, 4)
    cache = filled(network, 130, random)
    guests = [cache.fork(130, head=128), cache.fork(130, head=128)]
    assert guests[0].trunk is not None
    plain = [LayerByLayer(guest.fork(130)) for guest in guests]
    for step in range(3):
        for guest, other in zip(guests, plain, strict=True):
            x, positions = random(1, 64), np.full((3, 1), 130 + step)
            got, want = network(x, positions, guest), network(x, positions, other)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())


def test_a_weight_that_is_replaced_counts(random):
    network = decoder(SMALL, 4)
    cache, x = filled(network, 5, random), random(1, 64)
    first = network(x, np.full((3, 1), 5), cache.fork(5))
    network.blocks[1].o.weight = pack(random(64, 64), 4)
    second = network(x, np.full((3, 1), 5), cache.fork(5))
    assert np.abs(first - second).max() > 1e-3


def test_weights_that_are_not_packed_go_block_by_block(random):
    network = decoder(SMALL, None)
    cache, x = filled(network, 5, random), random(1, 64)
    got = network(x, np.full((3, 1), 5), cache.fork(5))
    want = network(x, np.full((3, 1), 5), LayerByLayer(cache.fork(5)))
    np.testing.assert_array_equal(got, want)
    assert kernels.layers(x, [block.weights for block in network.blocks]) is None
