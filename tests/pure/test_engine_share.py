"""Which rows a step computes: the bound on waiting, the order, and that nobody starves."""

from hypothesis import given
from hypothesis import strategies as st

from galago.engine.share import Pending, share

anything = st.lists(st.builds(Pending, rows=st.integers(0, 900), is_writing=st.booleans()), max_size=9)
sizes = st.integers(1, 600)


def prompts(*rows):
    return [Pending(count, is_writing=False) for count in rows]


@given(anything, sizes, sizes)
def test_no_step_is_larger_than_its_bound(pending, chunk, beside):
    writing = sum(one.is_writing and one.rows > 0 for one in pending)
    most = writing + min(beside, chunk) if writing else chunk
    granted = share(pending, chunk, beside)
    assert sum(granted) == min(most, sum(one.rows for one in pending), sum(granted) if writing else most)
    assert sum(granted) <= most
    assert all(0 <= count <= one.rows for count, one in zip(granted, pending, strict=True))


@given(anything, sizes, sizes)
def test_every_answer_that_is_written_gets_its_row(pending, chunk, beside):
    granted = share(pending, chunk, beside)
    assert all(count for count, one in zip(granted, pending, strict=True) if one.is_writing and one.rows)


@given(anything, sizes, sizes)
def test_a_step_does_something_while_there_is_something_to_do(pending, chunk, beside):
    assert any(share(pending, chunk, beside)) == any(one.rows for one in pending)


def test_a_short_prompt_overtakes_a_long_one():
    assert share(prompts(900, 40), chunk=100) == [60, 40]


def test_the_oldest_prompt_has_half_however_many_short_ones_come():
    assert share(prompts(900, 30, 20, 40), chunk=100) == [50, 30, 20, 0]
    left, steps = 900, 0
    while left:
        left -= share(prompts(left, *[99] * 7), chunk=100)[0]
        steps += 1
    assert steps == 2 * 900 / 100


def test_prompts_have_fewer_rows_beside_answers_that_are_written():
    writing = Pending(1, is_writing=True)
    assert share([writing, *prompts(900), writing], chunk=512, beside=64) == [1, 64, 1]


def test_forced_runs_and_drafts_leave_half_of_the_rows_to_prompts():
    run = Pending(41, is_writing=True)
    assert share([run, *prompts(900)], chunk=512, beside=64) == [33, 32]
    assert share([Pending(33, is_writing=True)] * 2 + prompts(900), chunk=512, beside=64) == [33, 1, 32]
    assert share([Pending(900, is_writing=True), *prompts(9)], chunk=512, beside=64) == [56, 9]
    assert share([run], chunk=512, beside=64) == [41]


@given(anything, sizes, sizes)
def test_the_oldest_prompt_goes_on_whatever_is_written(pending, chunk, beside):
    granted = share(pending, chunk, beside)
    feeding = [index for index, one in enumerate(pending) if one.rows and not one.is_writing]
    assert not feeding or granted[feeding[0]] > 0
