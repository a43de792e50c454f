"""What a model is asked about pictures, to compare or to calibrate it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final, TypeVar

from galago.engine.request import Request
from galago.errors import UsageError
from galago.types import SamplingParams

QUESTIONS: Final = ("Describe this picture.", "What text is in this picture?")
"""Asked of every picture unless others are given: one about things, one about letters."""

Picture = TypeVar("Picture")


def pairs(
    pictures: Sequence[Picture], questions: Sequence[str], *, apart: bool, what: str
) -> list[tuple[Picture, str]]:
    """Every question with every picture; with `apart`, each picture with a question of its own.

    Raises UsageError where there is nothing to ask, in the name of `what` is done.
    """
    if not pictures or not questions:
        raise UsageError(f"a {what} needs at least one picture and one question")
    if not apart:
        return list(product(pictures, questions))
    if len(pictures) != len(questions):
        raise UsageError(f"{len(pictures)} pictures cannot each have one of {len(questions)} questions")
    return list(zip(pictures, questions, strict=True))


def request(picture: Any, question: str, max_tokens: int) -> Request:
    """A greedy answer to one question about one picture."""
    parts = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    return Request([{"role": "user", "content": parts}], SamplingParams(max_tokens=max_tokens))
