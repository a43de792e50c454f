"""`fit`: whether a model fits in a budget, what would be given up, what answers cost. Loads no weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from galago.cli.settings import argument, flag, option
from galago.types import Weights

if TYPE_CHECKING:
    from galago.engine.memory import MemoryPlan
    from galago.engine.work import Work

SIDE = 504
"""Pixels on a side of the picture whose work is told."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Show what a model would take of memory, what would be given up to keep a budget, and what answers cost.

    The weights are not loaded. Exit code 1 says that it does not fit; the message says what would.
    """

    model: str = argument("MODEL", "Name or folder of the model.")
    memory: str | None = option(
        "Budget such as 2GB; by default what is free.", metavar="SIZE", environment=True
    )
    weights: Weights | None = option("Weights to convert to on load; by default as the file has them.")
    json: bool = flag("Print one JSON object.")


def run(settings: Settings) -> None:
    """Plan, count, print."""
    from galago.engine.checkpoint import open_checkpoint
    from galago.engine.memory import parse_size
    from galago.engine.planner import plan_memory
    from galago.engine.weigh import weigh
    from galago.engine.work import expected_work

    checkpoint = open_checkpoint(settings.model)
    budget = None if settings.memory is None else parse_size(settings.memory)
    plan = plan_memory(checkpoint, settings.weights, budget)
    work = expected_work(checkpoint, weigh(checkpoint, settings.weights), SIDE)
    if settings.json:
        print(json.dumps({"model": checkpoint.source.name, "plan": asdict(plan), "work": asdict(work)}))
        return
    for name, value in (*_plan_lines(plan), *_work_lines(work)):
        print(f"{name:<34}{value}")


def _plan_lines(plan: MemoryPlan) -> Iterator[tuple[str, str]]:
    yield "budget", "what is free" if plan.budget_bytes is None else _size(plan.budget_bytes)
    yield "peak, with full caches", _size(plan.resident_bytes)
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


def _work_lines(work: Work) -> Iterator[tuple[str, str]]:
    yield f"picture of {SIDE}x{SIDE}", f"{work.image_tokens} tokens"
    yield "  encoding it", f"{work.encode_operations / 1e9:.1f} billion multiply-adds"
    yield "  each token of a prompt", f"{work.prompt_token_operations / 1e9:.2f} billion multiply-adds"
    yield "  each token of an answer", f"{_size(work.token_bytes)} read"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
