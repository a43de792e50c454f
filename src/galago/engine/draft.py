"""Guesses of the next tokens that cost no model: what followed when the sequence last had the same end.

A guess is computed in one step with the token before it and kept as far as the model says the same, so it
changes the steps of an answer and never its tokens (prompt lookup, Saxena 2023). Helps where an answer
repeats itself or its prompt: tables, lists of objects, forms.
"""

from __future__ import annotations

from collections.abc import Iterable

LONGEST, SHORTEST = 4, 2
"""Tokens of the end that must have been there before; the longest that was there counts."""
FAIR_TRIAL = 24
"""Tokens guessed before it is judged whether guessing helps this answer."""
WORTH = 0.25
"""Share of guessed tokens that must come true; below it this answer is guessed no further."""


class Drafter:
    """Guesses for one sequence, at most `most` tokens at a time; 0 never guesses."""

    def __init__(self, most: int, prompt_ids: Iterable[int]) -> None:
        self._most = most
        self._tokens: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}  # an end -> the place of what came after it last
        self._guessed = self._true = 0
        if most:
            for token in prompt_ids:
                self.push(token)

    @property
    def helps(self) -> bool:
        """Whether guessing is switched on and has not turned out useless."""
        is_useless = self._guessed >= FAIR_TRIAL and self._true < WORTH * self._guessed
        return self._most > 0 and not is_useless

    def push(self, token: int) -> None:
        """Take the next token of the sequence."""
        if not self._most:
            return
        place = len(self._tokens)
        for length in range(SHORTEST, min(LONGEST, place) + 1):
            self._followed[tuple(self._tokens[-length:])] = place
        self._tokens.append(token)

    def guess(self, room: int) -> list[int]:
        """Up to `room` tokens that may follow; empty where the end was never there before."""
        if not self.helps:
            return []
        for length in range(min(LONGEST, len(self._tokens)), SHORTEST - 1, -1):
            place = self._followed.get(tuple(self._tokens[-length:]))
            if place is not None:
                told = self._tokens[place : place + min(self._most, room)]
                period = len(self._tokens) - place
                while len(told) < min(self._most, room):  # the end repeats itself: so may what follows
                    told.append(told[len(told) - period])
                return told
        return []

    def judge(self, guessed: int, true: int) -> None:
        """Tell how many tokens of a guess were computed, and how many came true."""
        self._guessed += guessed
        self._true += true
