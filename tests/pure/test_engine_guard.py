import numpy as np
import pytest

from galago.engine.guard import CYCLE_LIMIT, LONGEST_CYCLE, SAME_TOKEN_LIMIT, LoopGuard, is_finite, is_sound


def loops_after(tokens):
    guard = LoopGuard()
    for count, token in enumerate(tokens, 1):
        guard.push(token)
        if guard.looping:
            return count
    return None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_noticed(bad):
    logits = np.zeros(1000, np.float32)
    assert is_finite(logits)
    logits[777] = bad
    assert not is_finite(logits)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_without_a_best_token_are_noticed(bad):
    logits = np.zeros(1000, np.float32)
    logits[777] = bad
    assert not is_sound(logits)


def test_tokens_that_cannot_come_are_no_garbage_while_one_can():
    logits = np.full(1000, -np.inf, np.float32)
    assert not is_sound(logits)
    logits[777] = -3
    assert is_sound(logits)


def test_one_token_for_ever_is_noticed_at_its_limit():
    assert loops_after([1, 2, 3] + [9] * 1000) == 3 + SAME_TOKEN_LIMIT


@pytest.mark.parametrize("length", [2, 3, 7, LONGEST_CYCLE])
def test_a_short_cycle_for_ever_is_noticed_at_its_limit(length):
    assert loops_after([77, *range(length)] + [*range(length)] * 400) == 1 + CYCLE_LIMIT


def test_a_row_of_dashes_is_an_answer():
    assert loops_after([5] * 120 + [1] + [5] * 120) is None


def test_a_table_with_ten_equal_rows_is_an_answer():
    assert loops_after([*range(30)] * 10 + [99]) is None


def test_a_long_answer_that_only_nearly_repeats_is_an_answer():
    assert loops_after([token for n in range(200) for token in (1, 2, 3, 1000 + n)]) is None


def test_a_cycle_that_breaks_starts_counting_anew():
    assert loops_after([1, 2] * 150 + [3] + [1, 2] * 150) is None
