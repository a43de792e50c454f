import numpy as np
import pytest

from galago import kernels
from galago.engine.kv import ROUND, BatchCache, KVCache

LAYERS, HEADS, KV_HEADS, SIZE = 2, 4, 2, 6


@pytest.fixture(autouse=True)
def _numpy_kernels():
    with kernels.using(backend="numpy"):
        yield


def rows(tokens, seed=0):
    """Queries, keys and values of every layer: a list of (q, k, v)."""
    rng = np.random.default_rng(seed)
    heads = (HEADS, KV_HEADS, KV_HEADS)
    return [tuple(rng.standard_normal((tokens, n, SIZE), np.float32) for n in heads) for _ in range(LAYERS)]


def feed(cache, layers, start, end):
    """Hand over a range of tokens; what attention gives in each layer, [L, T, H, d]."""
    return np.stack(
        [cache.attend(n, q[start:end], k[start:end], v[start:end]) for n, (q, k, v) in enumerate(layers)]
    )


def test_tokens_in_pieces_see_what_they_see_as_a_whole():
    layers = rows(9)
    whole = feed(KVCache(LAYERS), layers, 0, 9)
    cache = KVCache(LAYERS)
    pieces = [feed(cache, layers, a, b) for a, b in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-5, atol=1e-6)
    assert len(cache) == 9


def test_a_cache_attends_as_the_kernel_over_all_rows():
    layers = rows(6)
    want = np.stack([kernels.attention(*layer, causal=True) for layer in layers])
    np.testing.assert_array_equal(feed(KVCache(LAYERS), layers, 0, 6), want)


def test_growing_past_what_was_reserved_keeps_the_past():
    count = 3 * ROUND + 5
    layers = rows(count)
    cache = KVCache(LAYERS)
    pieces = [feed(cache, layers, t, t + 1) for t in range(count)]
    whole = feed(KVCache(LAYERS), layers, 0, count)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-4, atol=1e-5)


def test_a_fork_goes_its_own_way():
    layers, others = rows(8), rows(8, seed=1)
    cache = KVCache(LAYERS)
    feed(cache, layers, 0, 5)
    fork = cache.fork(3)
    feed(fork, others, 3, 8)
    want = feed(KVCache(LAYERS), layers, 0, 8)[:, 5:]
    np.testing.assert_allclose(feed(cache, layers, 5, 8), want, rtol=1e-5, atol=1e-6)
    assert (len(cache), len(fork)) == (8, 8)


def test_a_fork_sees_the_shared_past():
    layers = rows(8)
    cache = KVCache(LAYERS)
    feed(cache, layers, 0, 5)
    whole = feed(KVCache(LAYERS), layers, 0, 8)
    np.testing.assert_allclose(feed(cache.fork(3), layers, 3, 8), whole[:, 3:], rtol=1e-5, atol=1e-6)


def test_truncating_forgets_the_end():
    layers = rows(8)
    cache = KVCache(LAYERS)
    feed(cache, rows(8, seed=1), 0, 8)
    cache.truncate(0)
    np.testing.assert_array_equal(feed(cache, layers, 0, 8), feed(KVCache(LAYERS), layers, 0, 8))


def test_bytes_are_those_of_the_tokens_kept():
    cache = KVCache(LAYERS)
    feed(cache, rows(5), 0, 5)
    assert cache.nbytes == LAYERS * 2 * 5 * KV_HEADS * SIZE * 4
    cache.truncate(2)
    assert cache.nbytes == LAYERS * 2 * 2 * KV_HEADS * SIZE * 4


def test_sequences_side_by_side_meet_only_their_own_past():
    first, second = rows(7), rows(4, seed=1)
    both = [
        tuple(np.concatenate([a[5:7], b[3:4]]) for a, b in zip(x, y, strict=True))
        for x, y in zip(first, second, strict=True)
    ]
    alone = [
        feed(cache, layers, start, end)
        for cache, layers, start, end in (
            (started(first, 5), first, 5, 7),
            (started(second, 3), second, 3, 4),
        )
    ]
    batch = BatchCache([(started(first, 5), 2), (started(second, 3), 1)])
    got = np.stack([batch.attend(n, *layer) for n, layer in enumerate(both)])
    np.testing.assert_allclose(got, np.concatenate(alone, axis=1), rtol=1e-6)


def started(layers, tokens):
    cache = KVCache(LAYERS)
    feed(cache, layers, 0, tokens)
    return cache
