"""A budget of memory as a user writes it, and the plan that keeps it. Made by `engine.planner`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from galago.errors import OutOfMemoryError, UsageError
from galago.files import shown
from galago.frozen import frozen

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_MOST = 1 << 63
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", re.IGNORECASE)


@frozen
class MemoryPlan:
    """Bytes by what they are for, and the choices that make them fit.

    `resident_bytes` is the most that the process is expected to have in memory while prompt and answer take
    `peak_context` tokens and a picture `peak_image_tokens`: under a budget all that they may, else what is
    usual. `budget_bytes` None is no budget but what the machine has free. `kv_bytes` has room for `context`
    tokens. `image_tokens` is the most that one picture may take, `picture_pixels` the largest picture that is
    read. Of the `mapped_bytes` among the `weights_bytes`, `pages_bytes` are in memory at once. `is_screened`:
    a coarse copy of the output projection is used if there is one.
    """

    budget_bytes: int | None
    resident_bytes: int
    peak_context: int
    peak_image_tokens: int
    program_bytes: int
    weights_bytes: int
    mapped_bytes: int
    pages_bytes: int
    kv_bytes: int
    prefix_bytes: int
    features_bytes: int
    encode_bytes: int
    decode_bytes: int
    context: int
    image_tokens: int
    picture_pixels: int
    rows: int
    chunk: int
    release_vision: bool
    kept_blocks: int
    is_screened: bool
    choices: tuple[str, ...] = ()
    """What was given up, in words; empty where nothing was."""


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """A MemoryError, from wherever it comes, as OutOfMemoryError with what helps."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{what}: the system gave no more memory",
            hint='a budget such as memory="2GB" plans with less; image_tokens bounds what a picture takes',
        ) from error


def parse_size(text: str | int) -> int:
    """Bytes of a size written like 2GB, 1.5GiB or 800M, or given as a number; raises UsageError."""
    size: float
    if isinstance(text, int) and not isinstance(text, bool):
        size = text
    else:
        match = _SIZE.fullmatch(str(text).strip())
        if match is None:
            raise UsageError(f"memory is {text!r}", hint='write it like "2GB", "1.5GiB" or "800MB"')
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    if not 1 <= size < _MOST:
        raise UsageError(f"memory is {shown(text)}; it must be above 0 and below 8 EiB")
    return int(size)
