"""Notices garbage: numbers that are not finite, and an answer that repeats itself without end.

The limits are chosen so that what people write is never taken for garbage: a rule of dashes across a page,
the dots of a table of contents, the empty rows of a table. They are counted in tokens, so they hold for
vocabularies of single characters too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST_CYCLE = 32
"""A cycle of more tokens than this is not looked for: a list of equal rows is a list."""
SAME_TOKEN_LIMIT = 192
"""One token this often in a row: twice the width of a page of dashes."""
CYCLE_LIMIT = 320
"""A cycle of 2 to `LONGEST_CYCLE` tokens that has covered this many: at least ten times the longest cycle."""

GARBAGE_HINT = "ask in another way, or load other weights, such as bf16"
"""What may help against garbage."""


def is_finite(numbers: NDArray[np.float32]) -> bool:
    """Whether every number of an array is finite."""
    return bool(np.isfinite(numbers).all())


def is_sound(logits: NDArray[np.float32]) -> bool:
    """Whether the best token can be told: no logit is NaN or infinite, but for -inf where one cannot come."""
    return bool(np.isfinite(logits.max()))


class LoopGuard:
    """Watches the tokens of one answer for an endless repetition."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._runs = [0] * (
            LONGEST_CYCLE + 1
        )  # by cycle length: how many tokens equal the one a cycle earlier

    def push(self, token: int) -> None:
        """Take the next token of the answer."""
        tokens, runs = self._tokens, self._runs
        for length in range(1, min(LONGEST_CYCLE, len(tokens)) + 1):
            runs[length] = runs[length] + 1 if tokens[-length] == token else 0
        tokens.append(token)
        del tokens[:-LONGEST_CYCLE]

    @property
    def looping(self) -> bool:
        """Whether the answer ends in one token or one short cycle repeated past its limit."""
        if self._runs[1] + 1 >= SAME_TOKEN_LIMIT:
            return True
        return any(run + length >= CYCLE_LIMIT for length, run in enumerate(self._runs) if length > 1)
