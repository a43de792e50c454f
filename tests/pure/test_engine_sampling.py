import numpy as np
import pytest

from galago.engine.sampling import Sampler, candidates, draw, penalise
from galago.types import SamplingParams


def row(*values):
    return np.array(values, np.float32)


def frequencies(logits, **rules):
    params = SamplingParams(temperature=1.0, **rules)
    rng = np.random.default_rng(0)
    drawn = [draw(logits, params, rng) for _ in range(2000)]
    return np.bincount(drawn, minlength=len(logits)) / len(drawn)


def test_temperature_zero_takes_the_best_token():
    assert Sampler(SamplingParams(), []).choose(row(0, 3, 1)) == 1


def test_temperature_zero_takes_the_first_of_equals():
    assert Sampler(SamplingParams(), []).choose(row(0, 3, 3)) == 1


def test_a_mask_excludes_the_best_token():
    assert Sampler(SamplingParams(), []).choose(row(0, 3, 1), np.array([True, False, True])) == 2


def test_choosing_leaves_the_logits_as_they_were():
    logits = row(2, 3, 1)
    Sampler(SamplingParams(repetition_penalty=2.0), [1]).choose(logits, np.array([True, False, True]))
    np.testing.assert_array_equal(logits, row(2, 3, 1))


def test_the_penalty_lowers_what_prompt_and_answer_hold():
    sampler = Sampler(SamplingParams(repetition_penalty=4.0), [1])
    assert sampler.choose(row(2, 3, 1)) == 0
    sampler.note(0)
    assert sampler.choose(row(2, 3, 1)) == 2


def test_the_penalty_lowers_negative_logits_too():
    np.testing.assert_array_equal(penalise(row(-2, 4, -2), [0, 1], 2.0), row(-4, 2, -2))


def test_the_same_seed_draws_the_same_tokens():
    logits = np.random.default_rng(1).standard_normal((50, 100)).astype(np.float32)
    first, second, other = (Sampler(SamplingParams(temperature=1.0, seed=s), []) for s in (7, 7, 8))
    tokens = [first.choose(x) for x in logits]
    assert tokens == [second.choose(x) for x in logits]
    assert tokens != [other.choose(x) for x in logits]


def test_tokens_are_drawn_as_often_as_their_probability_says():
    np.testing.assert_allclose(frequencies(np.log(row(0.1, 0.6, 0.3))), [0.1, 0.6, 0.3], atol=0.04)


def test_a_low_temperature_sharpens():
    params = SamplingParams(temperature=0.05)
    rng = np.random.default_rng(0)
    assert {draw(row(0, 2, 1), params, rng) for _ in range(200)} == {1}


def test_top_k_leaves_the_k_best():
    assert np.flatnonzero(frequencies(row(1, 4, 3, 2), top_k=2)).tolist() == [1, 2]


def test_top_k_of_equal_scores_leaves_exactly_k():
    assert np.flatnonzero(frequencies(row(1, 1, 1, 1), top_k=2)).tolist() == [0, 1]


def test_top_p_leaves_the_smallest_set_that_reaches_it():
    assert np.flatnonzero(frequencies(np.log(row(0.1, 0.6, 0.3)), top_p=0.7)).tolist() == [1, 2]


def test_top_p_counts_what_top_k_left():
    ids, _ = candidates(np.log([0.4, 0.3, 0.2, 0.1]), top_k=2, top_p=0.55)
    assert ids.tolist() == [0]


def test_min_p_drops_what_is_far_below_the_best():
    assert np.flatnonzero(frequencies(np.log(row(0.05, 0.6, 0.35)), min_p=0.2)).tolist() == [1, 2]


@pytest.mark.parametrize("spread", [0.01, 5.0])
def test_top_p_over_a_large_vocabulary_equals_the_full_sort(spread):
    scores = np.random.default_rng(3).standard_normal(5000) * spread
    ids, probabilities = candidates(scores, None, 0.9)
    full = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    order = np.argsort(-full, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(full[order]), 0.9) + 1]
    np.testing.assert_array_equal(ids, kept)
    np.testing.assert_allclose(probabilities, full[kept] / full[kept].sum(), rtol=1e-9)


def test_forbidden_tokens_are_never_drawn():
    allowed = np.zeros(100, bool)
    allowed[[3, 50]] = True
    sampler = Sampler(SamplingParams(temperature=5.0, top_k=10), [])
    assert {sampler.choose(np.zeros(100, np.float32), allowed) for _ in range(50)} == {3, 50}
