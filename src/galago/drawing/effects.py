"""Backgrounds, and what a camera does to a picture: tilt, blur, noise, tone, JPEG. Colours are RGB of 0..255.

Everything random comes from the generator that is passed in; the pools below are constants drawn once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from galago.drawing.sample import Glyph, Pixels, Setting, Split

Colour = tuple[int, int, int]

_POOL = 1 << 19


def luminance(colour: Colour) -> float:
    """Brightness as seen, 0 (black) to 255 (white)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def distance(one: Colour, other: Colour) -> float:
    """How far apart two colours look, 0 to about 765 ("redmean": a weighted RGB distance)."""
    mean = (one[0] + other[0]) / 2
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    weights = 2 + mean / 256, 4.0, 2 + (255 - mean) / 256
    return float((weights[0] * red**2 + weights[1] * green**2 + weights[2] * blue**2) ** 0.5)


def paper(rng: np.random.Generator) -> Colour:
    """A pale colour of paper, plastic or wall."""
    base = int(rng.integers(205, 256))
    tint = rng.integers(-22, 6, 3)
    return _clip(base + tint)


def any_colour(rng: np.random.Generator) -> Colour:
    """Any colour at all."""
    return _clip(rng.integers(0, 256, 3))


def contrasting(rng: np.random.Generator, colour: Colour, least: float = 110.0) -> Colour:
    """A colour whose luminance differs from that of `colour` by at least `least` (at most 127)."""
    level = luminance(colour)
    for _ in range(12):
        candidate = any_colour(rng)
        if abs(luminance(candidate) - level) >= least:
            return candidate
    grey = int(rng.integers(0, 30)) if level > 127 else int(rng.integers(226, 256))
    return grey, grey, grey


def background(rng: np.random.Generator, setting: Setting, base: Colour) -> Image.Image:
    """A picture of the setting's size around the colour `base`: plain, gradient, grain, blotches or stripes.

    No pixel strays from `base` by more than about 40 levels at difficulty 1. Diagonal stripes are held out.
    """
    height, width = setting.height, setting.width
    style = int(rng.integers(0, 5))
    if style == 0 or setting.difficulty < 0.15:
        return Image.new("RGB", (width, height), base)
    reach = setting.between(8, 26) * float(rng.uniform(0.4, 1))
    if style == 1:
        field = _gradient(rng, height, width) * reach
    elif style == 2:
        field = _grain(rng, height, width) * (reach * 0.3)
    elif style == 3:
        field = _blotches(rng, height, width) * reach
    else:
        field = _stripes(rng, height, width, setting.split) * (reach * 0.5)
    coloured = field[..., None] * rng.uniform(0.5, 1, 3).astype(np.float32) + np.array(base, np.float32)
    return Image.fromarray(clipped(coloured))


def tilt(
    image: Image.Image, glyphs: Sequence[Glyph], degrees: float, fill: int | Colour = 0
) -> tuple[Image.Image, list[Glyph]]:
    """The picture (any mode) and its glyphs, turned counterclockwise about the centre; corners get `fill`."""
    if not degrees:
        return image, list(glyphs)
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=fill)
    c, s = cos(radians(degrees)), sin(radians(degrees))
    x0, y0 = image.width / 2, image.height / 2
    moved = [
        Glyph(g.character, x0 + c * (g.x - x0) + s * (g.y - y0), y0 - s * (g.x - x0) + c * (g.y - y0))
        for g in glyphs
    ]
    return turned, moved


def photograph(rng: np.random.Generator, image: Image.Image, difficulty: float) -> Pixels:
    """The RGB picture as a camera might give it: tone, blur, noise and JPEG, each sometimes -> [H, W, 3]."""
    chance = rng.random(4)
    if chance[0] < 0.5 * difficulty:
        image = tone(image, float(rng.uniform(0.85, 1.15)), float(rng.uniform(-18, 18)) * difficulty)
    if chance[1] < 0.3 * difficulty:
        image = blur(image, float(rng.uniform(0.3, 0.9)))
    pixels: Pixels = np.asarray(image)
    if chance[2] < 0.4 * difficulty:
        pixels = noise(rng, pixels, float(rng.uniform(2, 10)) * difficulty)
    if chance[3] < 0.3 * difficulty:
        pixels = jpeg(pixels, int(rng.integers(45, 95)))
    return pixels


def tone(image: Image.Image, contrast: float, brightness: float) -> Image.Image:
    """Contrast about middle grey times `contrast`, then `brightness` levels added."""
    table = np.clip((np.arange(256) - 127.5) * contrast + 127.5 + brightness, 0, 255).astype(np.uint8)
    return image.point([int(level) for level in table] * len(image.getbands()))


def blur(image: Image.Image, radius: float) -> Image.Image:
    """Gaussian blur of `radius` pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def noise(rng: np.random.Generator, pixels: Pixels, deviation: float) -> Pixels:
    """Normal noise of `deviation` levels added to [H, W, 3]."""
    noisy = pixels + _normal(rng, pixels.size).reshape(pixels.shape) * np.float32(deviation)
    return clipped(noisy)


def clipped(levels: NDArray[np.float32]) -> Pixels:
    """Levels as whole numbers of 0..255."""
    pixels: Pixels = np.clip(levels, 0, 255).astype(np.uint8)
    return pixels


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """[H, W, 3] after a JPEG file of `quality` (1..95)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    decoded: Pixels = np.asarray(Image.open(file))
    return decoded


@cache
def _normal_pool() -> NDArray[np.float32]:
    return np.random.default_rng(20_480).standard_normal(_POOL, dtype=np.float32)


def _normal(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """`count` standard normal numbers: a run of the pool, repeated where the pool is too short."""
    pool = _normal_pool()
    if count >= _POOL:
        pool = np.resize(pool, count + _POOL)
    start = int(rng.integers(0, len(pool) - count))
    return pool[start : start + count]


def _gradient(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    dx, dy = rng.uniform(-1, 1, 2)
    x = np.linspace(-dx, dx, width, dtype=np.float32)
    y = np.linspace(-dy, dy, height, dtype=np.float32)
    return y[:, None] + x


def _grain(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    return _normal(rng, height * width).reshape(height, width)


def _blotches(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    coarse = rng.uniform(-1, 1, (int(rng.integers(3, 7)), int(rng.integers(3, 7)))).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def _stripes(rng: np.random.Generator, height: int, width: int, split: Split) -> NDArray[np.float32]:
    period, phase = float(rng.uniform(5, 24)), float(rng.uniform(0, 6))
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    if split is Split.HELD_OUT:
        across = x + y * np.float32(rng.uniform(-1, 1))
    else:
        across = x + 0 * y if rng.random() < 0.5 else y + 0 * x
    return np.asarray(np.sin(across * np.float32(6.2832 / period) + np.float32(phase)), np.float32)


def _clip(levels: NDArray[np.int64]) -> Colour:
    red, green, blue = (int(min(255, max(0, level))) for level in levels)
    return red, green, blue
