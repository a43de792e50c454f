"""A value that a thread of its own computes while the caller goes on."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Later(Generic[Value]):
    """Computes at once; `value` waits for the end. Pays where the computation lets go of Python's lock."""

    def __init__(self, compute: Callable[[], Value]) -> None:
        self._compute = compute
        self._error: BaseException | None = None
        # Not a daemon: nothing native may be running when the interpreter goes.
        self._thread = Thread(target=self._run, name="galago-later")
        self._thread.start()

    def value(self) -> Value:
        """What was computed; raises what the computation raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._compute()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: raised where it is wanted
            self._error = error
