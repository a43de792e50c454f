"""Resizing as the models' reference preprocessing does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resize_bicubic(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """[H, W, 3] -> [height, width, 3]: bicubic with a = -0.5, antialiased when shrinking, rounded to bytes.

    This is Pillow's own filter, bit for bit. A picture that has the size already is returned as it is.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)
