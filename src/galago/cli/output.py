"""Answers on stdout, what is said about them on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from galago.errors import GarbageError

if TYPE_CHECKING:
    from rich.table import Table

    from galago import Answer, Model


def say(
    model: Model, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any], *, silent: bool = False
) -> Answer:
    """Answer, and print it unless `silent`: as it comes on a terminal, whole elsewhere.

    Raises GarbageError, unless `silent`, where the answer is garbage.
    """
    live = sys.stdout.isatty() and not silent
    with model.stream(messages, **options) as stream:
        for piece in stream:
            if live:
                print(piece, end="", flush=True)
        answer = stream.answer
    if live:
        print()
    if not silent:
        refuse_garbage([answer])
        if not live:
            print(answer.text, flush=True)
    return answer


def add_reading(answer: Answer, seconds: float) -> Answer:
    """The answer with the time in which its pictures were read: for a command the request begins with it."""
    times = answer.timings
    more = {
        name: value + seconds
        for name in ("image_s", "first_token_s", "total_s")
        if (value := getattr(times, name)) is not None
    }
    return replace(answer, timings=replace(times, **more))


def print_json(answers: Sequence[Answer]) -> None:
    """One object: the answer, or `answers` where there are several."""
    if len(answers) == 1:
        print(answers[0].to_json())
    else:
        print(json.dumps({"answers": [answer.to_dict() for answer in answers]}, ensure_ascii=False))


def refuse_garbage(answers: Sequence[Answer]) -> None:
    """Raise GarbageError where an answer is garbage."""
    from galago.engine.guard import GARBAGE_HINT

    for answer in answers:
        if answer.finish_reason == "garbage":
            why = answer.notes[-1] if answer.notes else "the model repeats itself or computes no numbers"
            raise GarbageError(f"{answer.model}: {why}", hint=GARBAGE_HINT)


def show_stats(answer: Answer) -> None:
    """A small table on stderr: tokens, seconds by stage, memory, what the device felt."""
    from rich.console import Console

    Console(stderr=True).print(stats_table(answer))


def stats_table(answer: Answer) -> Table:
    """The record of an answer for people; what was not measured is left out."""
    from rich.table import Table

    table = Table(title=f"{answer.model}, {answer.finish_reason}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for group in (answer.usage, answer.timings, answer.memory, answer.device):
        table.add_section()
        for name, value in vars(group).items():
            if value is not None:
                table.add_row(*_for_people(name, value))
    if answer.timings.decode_s and answer.usage.completion_tokens > 1:
        rate = (answer.usage.completion_tokens - 1) / answer.timings.decode_s
        table.add_row("decoding", f"{rate:.1f} tokens/s")
    return table


def _for_people(name: str, value: float) -> tuple[str, str]:
    quantity, _, unit = name.rpartition("_")
    label = quantity.replace("_", " ")
    if unit == "s":
        return label, f"{value * 1000:.1f} ms"
    if unit == "bytes":
        return label, f"{value / 1e6:.1f} MB"
    if unit == "hz":
        return label, f"{value / 1e9:.2f} GHz"
    if unit == "c":
        return label, f"{value:.0f} °C"
    return name.replace("_", " "), str(value)
