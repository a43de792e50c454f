"""How far a picture can be made smaller before what it shows is lost."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

STEPS = 6
"""Halvings of the area that are tried."""
BLOCK = 16
"""Side of the squares whose loss is looked at one by one: small print counts, however little it is."""
LOSS = 8.0
"""Grey levels (root mean square) that a square may lose: soft shapes lose less, letters more."""
BUSIEST = 0.98
"""Share of the squares that must keep to that: noise in a few does not count."""
SIDE = 1536
"""Longer pictures are looked at in this size: what is finer is not seen."""


def useful_pixels(pixels: NDArray[np.uint8]) -> int:
    """Pixels [H, W, 3] -> the smallest area that keeps the detail, at most the picture's own."""
    from PIL import Image

    image = Image.fromarray(pixels).convert("L")
    area = image.width * image.height
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    seen = np.asarray(image, np.float32)
    for step in range(STEPS, 0, -1):
        scale = 2 ** (-step / 2)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        small = image.resize(size, Image.Resampling.BICUBIC)
        back = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), np.float32)
        if _loss(seen, back) <= LOSS:
            return max(1, math.ceil(image.width * image.height * scale**2))
    return area


def _loss(picture: NDArray[np.float32], back: NDArray[np.float32]) -> float:
    """The root mean square difference of the square that `BUSIEST` of all squares do not exceed."""
    rows, columns = (-(-length // BLOCK) for length in picture.shape)
    squares = np.zeros((rows * BLOCK, columns * BLOCK), np.float32)
    squares[: picture.shape[0], : picture.shape[1]] = (picture - back) ** 2
    means = squares.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
    return float(np.sqrt(np.quantile(means, BUSIEST)))
