"""`fit`: whether a model fits in a budget, what would be given up, how fast it may be. Loads no weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from galago.cli.options import MachineSettings
from galago.cli.settings import argument, flag
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago.bench.expectation import Expectation
    from galago.bench.work import Work
    from galago.engine.memory import MemoryPlan

TOKENS = 64
"""Tokens of the answer whose time is told."""


@frozen(kw_only=True)
class Settings(MachineSettings):
    """Show what a model would take of memory, what a budget would give up, and how fast it may be.

    The weights are not loaded. The speed is an estimate: counted work over what this machine can do at most,
    which is measured for a second; `galago bench` measures answers. Exit code 1 says that the model does not
    fit; the message says what would.
    """

    model: str = argument("MODEL", "Name or folder of the model.")
    json: bool = flag("Print one JSON object.")


def run(settings: Settings) -> None:
    """Plan, count, print."""
    from galago.bench import ceilings
    from galago.bench.expectation import SIDE, expect, expected_work
    from galago.engine.checkpoint import open_checkpoint
    from galago.engine.memory import parse_size
    from galago.engine.planner import plan_memory

    checkpoint = open_checkpoint(settings.model)
    budget = None if settings.memory is None else parse_size(settings.memory)
    plan = plan_memory(checkpoint, settings.weights, budget)
    image_tokens, work = expected_work(checkpoint, settings.weights, plan, new_tokens=TOKENS)
    expected = expect(image_tokens, work, ceilings(settings.threads), new_tokens=TOKENS)
    if settings.json:
        told = {"plan": asdict(plan), "work": asdict(work), "estimate": asdict(expected)}
        print(json.dumps({"model": checkpoint.source.name, **told}))
        return
    for name, value in (*_plan_lines(plan), *_work_lines(work, expected, SIDE), *_time_lines(expected)):
        print(f"{name:<34}{value}")


def _plan_lines(plan: MemoryPlan) -> Iterator[tuple[str, str]]:
    yield "budget", "what is free" if plan.budget_bytes is None else _size(plan.budget_bytes)
    lengths = f"with {plan.peak_context} tokens and a picture of {plan.peak_image_tokens}"
    yield "peak, with full caches", f"{_size(plan.resident_bytes)} {lengths}"
    yield "  program and tokenizer", _size(plan.program_bytes)
    yield "  weights, mapped files", f"{_size(plan.mapped_bytes)}, {_size(plan.pages_bytes)} at once"
    yield "  weights, copies", _size(plan.weights_bytes - plan.mapped_bytes)
    yield "  keys and values", f"{_size(plan.kv_bytes)} for {plan.context} tokens"
    yield "  kept prefixes, at most", _size(plan.prefix_bytes)
    yield "  kept features, at most", _size(plan.features_bytes)
    yield "  encoding", f"{_size(plan.encode_bytes)} for {plan.image_tokens} tokens of a picture"
    yield "  decoding", f"{_size(plan.decode_bytes)} in chunks of {plan.chunk} tokens"
    yield "largest picture read", f"{plan.picture_pixels / 1e6:.1f} megapixels"
    for choice in plan.choices:
        yield "given up", choice


def _work_lines(work: Work, expected: Expectation, side: int) -> Iterator[tuple[str, str]]:
    yield f"picture of {side}x{side}", f"{expected.image_tokens} tokens"
    yield "  encoding it", _operations(work.vision.total)
    yield f"  a prompt of {expected.prompt_tokens} tokens", _operations(work.prefill.total)
    yield "  each token of an answer", f"{_size(work.token_bytes)} read"


def _time_lines(expected: Expectation) -> Iterator[tuple[str, str]]:
    rate = expected.tokens_per_second
    yield "estimate for this machine", "not measured; galago bench measures"
    yield "  vision", _time(expected.vision_s)
    yield "  prefill", _time(expected.prefill_s)
    yield "  first token", _time(expected.first_token_s)
    yield "  decoding", "unknown" if rate is None else f"about {rate:,.{1 if rate < 100 else 0}f} tokens/s"
    yield f"  answer of {expected.new_tokens} tokens", _time(expected.answer_s)


def _operations(count: int) -> str:
    return f"{count / 1e9:,.1f} billion multiply-adds"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown: a ceiling of this machine cannot be measured"
    return f"about {seconds:.1f} s" if seconds >= 1 else f"about {seconds * 1000:.0f} ms"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
