"""What a picture is once it is read, and how much of the machine reading one may cost."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from galago.errors import PictureError, UsageError
from galago.frozen import frozen


@frozen(eq=False)
class Picture:
    """`pixels` [H, W, 3] RGB, not to be written to; `notes` are what the reader should know about the source.

    Upright (the camera's orientation is applied) and opaque (transparent parts are on white).
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])


@frozen
class PictureLimits:
    """What is refused before it is decoded, and how long a URL may take in all. UsageError out of range."""

    max_pixels: int = 100_000_000
    max_bytes: int = 100_000_000
    timeout_s: float = 30.0
    max_redirects: int = 5

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_bytes", "timeout_s"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} is {value!r}; it must be above 0")
        if self.max_redirects < 0:
            raise UsageError(f"max_redirects is {self.max_redirects!r}; it must be 0 or more")

    def check_bytes(self, count: int, name: str) -> None:
        """Raise PictureError when a picture's file has more bytes than allowed."""
        if count > self.max_bytes:
            raise PictureError(
                f"{name} has more than {self.max_bytes:,} bytes",
                hint="make it smaller, or allow more with PictureLimits(max_bytes=...)",
            )

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raise PictureError when a picture has no pixels, or more than allowed."""
        if width < 1 or height < 1:
            raise PictureError(f"{name} has no pixels: it is {width} x {height}", hint="use another picture")
        if width * height > self.max_pixels:
            raise PictureError(
                f"{name} is {width} x {height}: more than {self.max_pixels:,} pixels",
                hint="make it smaller, or allow more: --max-picture-pixels, --memory or PictureLimits",
            )
