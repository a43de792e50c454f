"""The pictures and questions that are asked: made here, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUESTIONS = (
    "Describe this picture in detail: what does it show, and where in the picture is it?",
    "How many things are in this picture, and which colours do they have?",
    "What is in the upper left corner of the picture, and what is beside it?",
    "Which of the things in the picture is the largest, and which the smallest?",
    "Is there any text in this picture, and if there is, what does it say?",
    "What is in the middle of the picture, and what is behind it?",
    "Which two things in this picture are most alike, and how do they differ?",
    "What would somebody who has never seen this picture need to know of it?",
)

Pixels = NDArray[np.uint8]


def draw(size: int, *, things: int = 40) -> Pixels:
    """Discs and rectangles in many colours: [size, size, 3]."""
    random = np.random.default_rng(size)
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[:] = random.integers(0, 256, 3)
    rows, columns = np.ogrid[:size, :size]
    for thing in range(things):
        top, left = random.integers(0, size, 2)
        height, width = random.integers(size // 20 + 1, size // 3 + 2, 2)
        y, x = (rows - top) / height, (columns - left) / width
        inside = y * y + x * x < 1 if thing % 2 else (abs(y) < 1) & (abs(x) < 1)
        pixels[inside] = random.integers(0, 256, 3)
    return pixels


def variants(pixels: Pixels, count: int) -> list[Pixels]:
    """Different pictures of one size: the given one, shifted sideways by a different part of its width."""
    shifts = [index * pixels.shape[1] // count for index in range(count)]
    return [np.ascontiguousarray(np.roll(pixels, shift, axis=1)) for shift in shifts]
