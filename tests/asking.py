"""What tests ask of a loaded model beyond its public face: tokens behind a text, ids behind a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from galago import Model


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference over the largest value wanted."""
    return float(np.abs(got - want).max() / np.abs(want).max())


def greedy_tokens(model: Model, messages: Sequence[dict[str, Any]], count: int) -> list[int]:
    """The next `count` tokens, none of them an end."""
    with model.stream(messages, max_tokens=count, min_tokens=count) as stream:
        assert stream.answer.finish_reason == "length"
        return list(stream.tokens)


def answer_tokens(model: Model, messages: Sequence[dict[str, Any]], count: int) -> list[int]:
    """The tokens of the greedy answer, without its end, at most `count`."""
    with model.stream(messages, max_tokens=count) as stream:
        assert stream.answer.finish_reason in {"length", "stop"}
        return list(stream.tokens)


def prompt_ids(model: Model, messages: Sequence[dict[str, Any]]) -> np.ndarray:
    """The ids of a prompt, every placeholder repeated."""
    with model.stream(messages, max_tokens=1) as stream:
        return stream._job.prompt.ids
