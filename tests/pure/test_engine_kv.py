import numpy as np
import pytest

from galago import kernels
from galago.engine.kv import WORTH_SHARING, BatchCache, KVCache, held_bytes
from galago.engine.rows import ROUND, Rows

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


def test_the_rows_of_a_head_follow_each_other_in_memory():
    cache = KVCache(LAYERS)
    feed(cache, rows(3 * ROUND + 5), 0, ROUND + 1)  # grown once
    kept = [cache, cache.fork(ROUND)]
    for one in kept:
        one.shrink()
        keys, values = one._rows.layer(1)
        assert keys.swapaxes(0, 1).flags.c_contiguous
        assert values.swapaxes(0, 1).flags.c_contiguous


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize("tokens", [1, 7, ROUND - 1])
def test_what_is_not_used_is_given_back_and_the_rows_stay(tokens, is_seen):
    layers = rows(tokens + 1)
    cache = started(layers, tokens)
    view = cache._rows.array if is_seen else None  # as an error's traceback may hold one
    cache.shrink()
    assert is_seen or len(cache._rows._memory) == cache.nbytes
    want = feed(KVCache(LAYERS), layers, 0, tokens + 1)[:, tokens:]
    np.testing.assert_allclose(feed(cache, layers, tokens, tokens + 1), want, rtol=1e-4, atol=1e-5)
    del view


def test_a_sequence_goes_on_of_which_all_tokens_are_shared():
    layers = rows(HEAD + 2)
    cache = started(layers, HEAD)
    cache.fork(HEAD, head=HEAD)
    feed(cache, layers, HEAD, HEAD + 1)
    cache.truncate(HEAD)
    cache.shrink()
    want = feed(KVCache(LAYERS), layers, 0, HEAD + 2)[:, HEAD:]
    np.testing.assert_allclose(feed(cache, layers, HEAD, HEAD + 2), want, rtol=1e-4, atol=1e-5)


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


HEAD = WORTH_SHARING + 3


def test_sequences_share_a_long_beginning_and_go_their_own_ways():
    sequences = [[tuple(map(np.copy, layer)) for layer in rows(HEAD + 90, seed=0)] for _ in range(3)]
    for seed, layers in enumerate(sequences[1:], 1):
        for layer, other in zip(layers, rows(90, seed), strict=True):
            for part, rest in zip(layer, other, strict=True):
                part[HEAD:] = rest
    caches = [started(sequences[0], HEAD + 5)]
    caches += [caches[0].fork(HEAD, head=HEAD) for _ in range(2)]
    want = [feed(KVCache(LAYERS), layers, 0, HEAD + 90) for layers in sequences]
    for turn in range(HEAD, HEAD + 85):  # one token each in turn, the first five ahead
        for cache, layers, whole in zip(caches, sequences, want, strict=True):
            at = len(cache)
            assert at in (turn, turn + 5)
            got = feed(cache, layers, at, at + 1)
            np.testing.assert_allclose(got, whole[:, at : at + 1], rtol=1e-4, atol=1e-5)
            cache.truncate(at)  # a draft that was wrong: the row is written again
            again = feed(cache, layers, at, at + 1)
            np.testing.assert_array_equal(again, got)


def test_a_shared_beginning_is_kept_once():
    first = started(rows(HEAD + 5), HEAD + 5)
    whole = held_bytes([first])
    forks = [first.fork(HEAD, head=HEAD) for _ in range(3)]
    assert held_bytes([first, *forks]) <= whole + 2 * whole * 5 // HEAD
    assert all(fork.trunk is first.trunk for fork in forks)
    assert first.fork(HEAD - 4).trunk is None
    assert first.fork(10).trunk is None
    assert forks[0].fork(HEAD).trunk is first.trunk


def test_a_fork_inside_a_shared_beginning_sees_the_past():
    layers = rows(HEAD + 5)
    cache = started(layers, HEAD + 5)
    cache.fork(HEAD, head=HEAD)
    want = feed(KVCache(LAYERS), layers, 0, HEAD + 5)
    for tokens in (7, HEAD, HEAD + 2):
        got = feed(cache.fork(tokens), layers, tokens, HEAD + 5)
        np.testing.assert_allclose(got, want[:, tokens:], rtol=1e-4, atol=1e-5)


def running_out(monkeypatch, rooms):
    """Memory ends when room is made so many times from now, once."""
    whole, left = Rows.room, [rooms]

    def room(self, *given):
        left[0] -= 1
        if left[0] == 0:
            raise MemoryError
        return whole(self, *given)

    monkeypatch.setattr(Rows, "room", room)


@pytest.mark.parametrize("rooms", [1, 2])
def test_a_cache_is_whole_after_a_fork_for_which_there_was_no_memory(monkeypatch, rooms):
    layers = rows(HEAD + 9)
    cache = started(layers, HEAD + 5)
    running_out(monkeypatch, rooms)  # for what is not shared of this one, then of the fork
    with pytest.raises(MemoryError):
        cache.fork(HEAD + 2, head=HEAD)
    want = feed(KVCache(LAYERS), layers, 0, HEAD + 9)[:, HEAD:]
    np.testing.assert_allclose(
        feed(cache.fork(HEAD, head=HEAD), layers, HEAD, HEAD + 9), want, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(feed(cache, layers, HEAD + 5, HEAD + 9), want[:, 5:], rtol=1e-4, atol=1e-5)


def test_a_row_that_found_no_memory_behind_a_shared_beginning_is_fed_again(monkeypatch):
    layers, others = rows(HEAD + 6), rows(HEAD + 6)
    for layer, other in zip(others, rows(6, seed=1), strict=True):
        for part, rest in zip(layer, other, strict=True):
            part[HEAD:] = rest
    cache = started(layers, HEAD + 5)
    fork = cache.fork(HEAD, head=HEAD)
    feed(fork, others, HEAD, HEAD + 5)
    feed(cache, layers, HEAD + 5, HEAD + 6)  # now the rest behind the shared beginning is this one's
    running_out(monkeypatch, 2)  # its own rows, then those behind the shared ones
    with pytest.raises(MemoryError):
        feed(fork, others, HEAD + 5, HEAD + 6)
    fork.truncate(HEAD + 5)
    want = feed(KVCache(LAYERS), others, 0, HEAD + 6)[:, HEAD + 5 :]
    np.testing.assert_allclose(feed(fork, others, HEAD + 5, HEAD + 6), want, rtol=1e-4, atol=1e-5)


def test_rows_behind_a_shared_beginning_stay_when_it_found_no_memory_to_grow(monkeypatch):
    layers = rows(HEAD + 2 * ROUND)
    cache = started(layers, HEAD)
    fork = cache.fork(HEAD, head=HEAD)
    room = cache.trunk.rows.array.shape[3]
    feed(fork, layers, HEAD, room)  # till there is no room behind the shared rows
    running_out(monkeypatch, 2)  # its own rows, then those behind the shared ones: of the first layer alone
    with pytest.raises(MemoryError):
        feed(fork, layers, room, room + 1)
    fork.truncate(room)
    want = feed(KVCache(LAYERS), layers, 0, room + 1)[:, room:]
    np.testing.assert_allclose(feed(fork, layers, room, room + 1), want, rtol=1e-4, atol=1e-5)


def test_a_short_beginning_is_copied():
    cache = started(rows(HEAD), HEAD)
    cache.fork(HEAD, head=WORTH_SHARING - 1)
    assert cache.trunk is None


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
