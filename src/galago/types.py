"""Plain values that cross room borders: messages, boxes, sampling parameters, answers and their records.

No behaviour beyond derived properties and JSON spelling.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, field
from typing import Any, Literal

from galago.errors import UsageError
from galago.frozen import frozen

FinishReason = Literal["stop", "length", "garbage", "cancelled"]
Weights = Literal["f32", "bf16", "q8", "q4"]
MOST_DRAFTED = 32
"""Tokens that may be guessed ahead at a time."""
Grid = tuple[int, int, int]
"""Patches of one image or video: (temporal, rows, columns), before merging."""


@frozen
class Box:
    """A box in pixels of the picture the user gave; x to the right, y down, `x1`/`y1` exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str = ""


@frozen
class SamplingParams:
    """How tokens are chosen. `temperature` 0 is greedy; `None` switches a rule off.

    Raises UsageError when a value is out of its range.
    """

    max_tokens: int = 512
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int = 0
    draft_tokens: int = 0
    """Tokens guessed ahead from what was said before, and computed with the next one: changes no token."""
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks = (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("min_tokens", 0 <= self.min_tokens <= self.max_tokens, "between 0 and max_tokens"),
            ("temperature", 0 <= self.temperature <= sys.float_info.max, "0 or more, and finite"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more"),
            ("top_p", self.top_p is None or 0 < self.top_p <= 1, "above 0, at most 1"),
            ("min_p", self.min_p is None or 0 <= self.min_p <= 1, "between 0 and 1"),
            ("repetition_penalty", self.repetition_penalty is None or self.repetition_penalty > 0, "above 0"),
            ("draft_tokens", 0 <= self.draft_tokens <= MOST_DRAFTED, f"between 0 and {MOST_DRAFTED}"),
            ("seed", self.seed >= 0, "0 or more"),
            ("stop", all(self.stop), "non-empty strings"),
        )
        for name, good, wanted in checks:
            if not good:
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be {wanted}")


@frozen
class Usage:
    """Token counts of one request. `image_tokens` and `cached_tokens` are parts of `prompt_tokens`."""

    image_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@frozen
class Timings:
    """Seconds of one request by stage; `None` where a stage was not measured.

    `image_s` is decoding, resizing and normalising. `encode_s` is the vision tower's work for this request:
    0 when the features came from a cache or were computed for another request, and a part of the seconds, by
    patches, where pictures were encoded together; so the sum over requests is the tower's time. `prefill_s`
    counts from the first row of the prompt to the first token and `decode_s` from there to the last, with
    what is computed for others in the same steps; `first_token_s` from the request to the first token.
    """

    load_s: float | None = None
    image_s: float | None = None
    encode_s: float | None = None
    prefill_s: float | None = None
    first_token_s: float | None = None
    decode_s: float | None = None
    total_s: float | None = None


@frozen
class Memory:
    """Bytes: the process's peak resident size, and what the model holds.

    `gpu_peak_bytes` is the most that the process's arrays took on the GPU together, `None` on a CPU.
    """

    peak_bytes: int | None = None
    gpu_peak_bytes: int | None = None
    weights_bytes: int | None = None
    kv_bytes: int | None = None
    features_bytes: int | None = None


@frozen
class DeviceState:
    """What the device felt; `None` where it cannot be read."""

    temperature_c: float | None = None
    throttled: bool | None = None
    clock_hz: int | None = None


@frozen
class Answer:
    """One answered request with its record."""

    text: str
    model: str
    finish_reason: FinishReason
    boxes: tuple[Box, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    memory: Memory = field(default_factory=Memory)
    device: DeviceState = field(default_factory=DeviceState)
    notes: tuple[str, ...] = ()
    """What the reader should know: "GIF: first frame of 12", "the disk cache is full"."""

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON types, keys as documented in the JSON reference."""
        record = asdict(self)
        first = {key: record.pop(key) for key in ("model", "text", "finish_reason")}
        return {**first, **record}

    def to_json(self) -> str:
        """The record as one JSON object on one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


@frozen
class Reading:
    """Text read from a picture, as one string and as its lines from top to bottom."""

    text: str
    lines: tuple[str, ...]
