"""A value computed meanwhile comes as it is, and so does an error."""

from threading import Event, current_thread

import pytest

from galago.engine.later import Later


def test_the_value_is_computed_in_another_thread_while_the_caller_goes_on():
    gone_on = Event()

    def compute():
        assert gone_on.wait(10)
        return current_thread()

    later = Later(compute)
    gone_on.set()
    assert later.value() is not current_thread()
    assert later.value() is later.value()


def test_an_error_is_raised_where_the_value_is_wanted():
    later = Later(lambda: {}["missing"])
    for _ in range(2):
        with pytest.raises(KeyError, match="missing"):
            later.value()


def test_what_is_no_exception_is_raised_too():  # a panic of compiled code, for example
    class Panic(BaseException):
        pass

    def panic():
        raise Panic

    with pytest.raises(Panic):
        Later(panic).value()
