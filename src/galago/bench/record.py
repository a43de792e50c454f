"""What is to be measured and what came out, as values and as JSON. What could not be measured is None."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from galago.bench.ceilings import Ceilings
from galago.bench.work import Operations, Work
from galago.errors import UsageError
from galago.frozen import frozen
from galago.types import Answer, DeviceState, Timings, Weights


@frozen
class Plan:
    """What to measure. Raises UsageError for a value out of its range.

    Every answer has exactly `tokens` tokens (fewer where the model's context ends). `runs` is how often a
    picture is answered after the first answer; None takes as many as fit into some twenty seconds, 1 to 5.
    `together` answers are written at once in the last part, 0 leaves it out. `size` is the side of the drawn
    picture in pixels. `threads`, `weights` and `memory` are those of `galago.load`.
    """

    tokens: int = 64
    runs: int | None = None
    together: int = 8
    size: int = 512
    threads: int | None = None
    weights: Weights | None = None
    memory: str | int | None = None

    def __post_init__(self) -> None:
        checks = (
            ("tokens", self.tokens >= 1, "1 or more"),
            ("runs", self.runs is None or self.runs >= 1, "1 or more"),
            ("together", 0 <= self.together <= 8, "between 0 and 8"),
            ("size", 28 <= self.size <= 8192, "between 28 and 8192"),
        )
        for name, good, wanted in checks:
            if not good:
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be {wanted}")


@frozen
class Spread:
    """Several measurements of one quantity."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The spread of at least one measurement."""
        return Spread(statistics.median(values), min(values), max(values))


@frozen
class Software:
    """What was measured with: `commit` where a source tree runs, `command` where one was given."""

    version: str
    commit: str | None
    python: str
    command: str | None
    time: str
    """UTC, ISO 8601."""


@frozen
class PictureFacts:
    """The picture that was asked about: pixels as given, and what it costs of a prompt."""

    width: int
    height: int
    tokens: int


@frozen
class Single:
    """A new picture and its first question, in a process that has answered before.

    `image_s` is resizing and normalising (the file was read before), `vision_s` the vision tower, `prefill_s`
    from the prompt's first token to the answer's first, `first_token_s` and `total_s` from the request on.
    """

    image_s: Spread | None
    vision_s: Spread | None
    prefill_s: Spread | None
    first_token_s: Spread | None
    decode_tokens_per_second: Spread | None
    total_s: Spread | None


@frozen
class Second:
    """Another question about the same picture."""

    first_token_s: Spread | None
    total_s: Spread | None


@frozen
class Together:
    """Several answers asked for at once; `share_of_alone` is their time over that of one after the other."""

    answers: int
    total_s: Spread
    tokens_per_second: Spread
    share_of_alone: float | None


@frozen
class MemoryUse:
    """Bytes of this process: peak resident size and anonymous pages, after single answers and in the end."""

    peak_bytes: int | None
    own_bytes: int | None
    peak_bytes_together: int | None
    own_bytes_together: int | None


@frozen
class Shares:
    """How much of the machine was used: seconds that counted work needs at the ceilings, over seconds taken.

    Products with packed weights count against the int8 ceiling, all else against that of floats. `decode` is
    counted bytes a second over the memory's ceiling, above 1 where weights stay in the caches.
    """

    vision: float | None
    prefill: float | None
    decode: float | None


@frozen
class Record:
    """One machine, one model, one measurement. `answer` is one answered request with its own record."""

    software: Software
    machine: dict[str, Any]
    model: dict[str, Any]
    plan: Plan
    picture: PictureFacts
    runs: int
    load_s: Spread
    first: Timings
    """The first answer of the process."""
    single: Single
    second: Second
    questions_together: Together | None
    """Different questions about one picture."""
    pictures_together: Together | None
    """One question about different pictures."""
    memory: MemoryUse
    work: Work
    shares: Shares
    ceilings: tuple[Ceilings, Ceilings]
    """Before and after."""
    device: tuple[DeviceState, DeviceState]
    """Before and after."""
    answer: Answer

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON types; what was measured before and after is named so."""
        record = asdict(self)
        for name in ("ceilings", "device"):
            record[name] = dict(zip(("before", "after"), record[name], strict=True))
        record["answer"] = self.answer.to_dict()
        return record

    def to_json(self) -> str:
        """The record as one JSON object on one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def spread(values: Sequence[float | None]) -> Spread | None:
    """The spread of what could be measured; None where nothing could."""
    known = [value for value in values if value is not None]
    return Spread.of(known) if known else None


def share_of_peak(work: Operations, seconds: Spread | None, peaks: tuple[Ceilings, Ceilings]) -> float | None:
    """Seconds that operations need at the better of both ceilings, over the median taken; None if unknown."""
    int8 = best([one.all.int8_operations_per_second for one in peaks])
    f32 = best([one.all.f32_operations_per_second for one in peaks])
    bf16 = best([one.all.bf16_operations_per_second for one in peaks]) or f32
    if seconds is None or not seconds.median or f32 is None or bf16 is None or (int8 is None and work.int8):
        return None
    needed = (work.f32 + work.attention) / f32 + work.rounded / bf16 + (work.int8 / int8 if int8 else 0)
    return 2 * needed / seconds.median


def share_of_reading(token_bytes: int, rate: Spread | None, peaks: tuple[Ceilings, Ceilings]) -> float | None:
    """Bytes that decoding read in a second, over the better of both ceilings of reading; None if unknown."""
    read = best([one.all.read_bytes_per_second for one in peaks])
    return None if rate is None or read is None else token_bytes * rate.median / read


def best(values: Sequence[float | None]) -> float | None:
    """The largest of what could be measured."""
    return max((value for value in values if value is not None), default=None)
