"""Under a budget of memory one request at a time has its pictures in memory, whoever asks."""

from __future__ import annotations

import threading
import weakref

from galago.engine.worker import LOOK_UP_S


class Turn:
    """A request's right to hold pictures, until it gives that back or nobody holds the turn any more."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self.is_over = False

    def give_back(self) -> None:
        """Let the next one go; any thread may, as often as it likes."""
        with self._changed:
            self.is_over = True
            self._changed.notify()


class Turns:
    """Gives turns: one at a time where they are `single`, else at once."""

    def __init__(self, *, single: bool) -> None:
        self._single = single
        self._changed = threading.Condition()
        self._last: weakref.ref[Turn] | None = None

    def take(self) -> Turn:
        """Wait for a turn. One that an interrupt has lost is noticed after `LOOK_UP_S`."""
        turn = Turn(self._changed)
        if self._single:
            with self._changed:
                while self._is_taken():
                    self._changed.wait(LOOK_UP_S)
                self._last = weakref.ref(turn)
        return turn

    def _is_taken(self) -> bool:
        last = None if self._last is None else self._last()
        return last is not None and not last.is_over
