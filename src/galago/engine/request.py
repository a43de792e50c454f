"""What is asked of an engine: messages, how tokens are chosen and constrained, what a picture may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from galago.engine.generation_config import is_number
from galago.engine.grammar import ConstraintSpec
from galago.errors import UsageError
from galago.frozen import frozen
from galago.media.detail import useful_pixels
from galago.models import Processor
from galago.types import SamplingParams

Messages = Sequence[Mapping[str, Any]]
"""OpenAI-style: `role`, and `content` as a text or a list of typed parts."""


AUTO = "auto"
AUTO_LEAST = 64
"""Tokens that "auto" gives any picture that is large enough: what looks plain may still be asked about."""


@frozen
class PictureBounds:
    """What one picture may cost; None leaves the model's own bound.

    `image_tokens` is another way to say `max_pixels`; "auto" takes as many as the picture's detail needs.
    `keep_tokens` is the share of its tokens that is left after encoding, similar ones being merged; None and
    1 keep all. Raises UsageError when both bounds of the area are given, or a value is out of its range.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    image_tokens: int | Literal["auto"] | None = None
    keep_tokens: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_pixels", "max_pixels", "image_tokens"):
            value = getattr(self, name)
            if value is not None and (name, value) != ("image_tokens", AUTO):
                check_count(name, value)
        if self.keep_tokens is not None and not _is_share(self.keep_tokens):
            raise UsageError(
                f"keep_tokens is {self.keep_tokens!r}; it must be a share above 0 and at most 1",
                hint="keep_tokens=0.5 merges half of a picture's tokens into the others",
            )
        if self.max_pixels is not None and self.image_tokens is not None:
            raise UsageError("max_pixels and image_tokens exclude each other", hint="give one of them")

    @property
    def kept_share(self) -> float | None:
        """`keep_tokens`, None where that keeps all."""
        return None if self.keep_tokens == 1 else self.keep_tokens

    def apply(self, processor: Processor, pixels: NDArray[np.uint8]) -> Processor:
        """The processor within these bounds, for a picture [H, W, 3] or a video's first frame.

        Raises UsageError when they leave no picture.
        """
        most = self.max_pixels
        if self.image_tokens == AUTO:
            needed = max(useful_pixels(pixels), AUTO_LEAST * processor.pixels_per_token, self.min_pixels or 0)
            most = min(needed, max(processor.max_pixels, self.min_pixels or 0))
        elif isinstance(self.image_tokens, int):
            most = self.image_tokens * processor.pixels_per_token
        if most is None and self.min_pixels is None:
            return processor
        return processor.with_pixels(self.min_pixels, most)


def check_count(name: str, value: Any) -> None:
    """Raise UsageError unless the value of an option is a whole number of 1 or more."""
    if not is_number(value, whole=True) or value < 1:
        raise UsageError(f"{name} is {value!r}; it must be a whole number of 1 or more")


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


@frozen
class Request:
    """One answer that is wanted.

    `show_special` keeps special tokens in the text (some families write boxes with them). `trusted` says that
    the messages' texts were guarded by the caller, so that special tokens in them count.
    """

    messages: Messages
    params: SamplingParams = field(default_factory=SamplingParams)
    constraint: ConstraintSpec | None = None
    bounds: PictureBounds = field(default_factory=PictureBounds)
    show_special: bool = False
    trusted: bool = False
