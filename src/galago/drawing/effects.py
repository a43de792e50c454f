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
from PIL import Image, ImageChops, ImageFilter

from galago.drawing.sample import Glyph, Pixels, Setting, Split

Colour = tuple[int, int, int]

_POOL = 1 << 19
_POOL_DEVIATION = 40


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
        field = _gradient(rng, height, width)
    elif style == 2:
        field, reach = _grain(rng, height, width), reach * 0.8
    elif style == 3:
        field = _blotches(rng, height, width)
    else:
        field, reach = _stripes(rng, height, width, setting.split), reach * 0.5
    image = Image.fromarray(field).convert("P")
    steps = np.linspace(-reach, reach, 256)[:, None] * rng.uniform(0.5, 1, 3) + np.array(base)
    image.putpalette(np.clip(steps, 0, 255).astype(np.uint8).tobytes())
    return image.convert("RGB")


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
        image = blur(image, float(rng.uniform(0.3, 0.8)))
    if chance[2] < 0.4 * difficulty:
        image = noise(rng, image, float(rng.uniform(2, 10)) * difficulty)
    if chance[3] < 0.3 * difficulty:
        image = jpeg(image, int(rng.integers(45, 95)))
    pixels: Pixels = np.asarray(image)
    return pixels


def tone(image: Image.Image, contrast: float, brightness: float) -> Image.Image:
    """Contrast about middle grey times `contrast`, then `brightness` levels added."""
    table = np.clip((np.arange(256) - 127.5) * contrast + 127.5 + brightness, 0, 255).astype(np.uint8)
    return image.point([int(level) for level in table] * len(image.getbands()))


def blur(image: Image.Image, radius: float) -> Image.Image:
    """Every pixel becomes the mean of those at most `radius` pixels away in each direction."""
    return image.filter(ImageFilter.BoxBlur(radius))


def noise(rng: np.random.Generator, image: Image.Image, deviation: float) -> Image.Image:
    """The RGB picture with normal noise of `deviation` levels added to every channel."""
    grain = Image.frombytes("RGB", image.size, _run(rng, image.width * image.height * 3).tobytes())
    table = np.clip(np.arange(-128, 128) * (deviation / _POOL_DEVIATION) + 128.5, 0, 255).astype(int)
    return ImageChops.add(image, grain.point(table.tolist() * 3), offset=-128)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The RGB picture after a JPEG file of `quality` (1..95)."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    read = Image.open(file)
    read.load()
    return read


@cache
def _pool() -> Pixels:
    """Normal numbers about 128 as whole levels: drawn once, because drawing them anew is slow."""
    levels = np.random.default_rng(20_480).standard_normal(_POOL) * _POOL_DEVIATION + 128.5
    return np.clip(levels, 0, 255).astype(np.uint8)


def _run(rng: np.random.Generator, count: int) -> Pixels:
    """`count` numbers of the pool in a row, from anywhere; the pool is repeated where it is too short."""
    pool = _pool() if count < _POOL else np.resize(_pool(), count + _POOL)
    start = int(rng.integers(0, len(pool) - count))
    return pool[start : start + count]


def _gradient(rng: np.random.Generator, height: int, width: int) -> Pixels:
    dx, dy = rng.uniform(-63, 63, 2)
    x = np.linspace(-dx, dx, width, dtype=np.float32)
    y = np.linspace(-dy, dy, height, dtype=np.float32)
    slope: Pixels = (y[:, None] + (x + np.float32(128))).astype(np.uint8)
    return slope


def _grain(rng: np.random.Generator, height: int, width: int) -> Pixels:
    return _run(rng, height * width).reshape(height, width)


def _blotches(rng: np.random.Generator, height: int, width: int) -> Pixels:
    coarse = rng.integers(0, 256, (int(rng.integers(3, 7)), int(rng.integers(3, 7)))).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def _stripes(rng: np.random.Generator, height: int, width: int, split: Split) -> Pixels:
    period, phase = float(rng.uniform(5, 24)), float(rng.uniform(0, 6))
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    if split is Split.HELD_OUT:
        across = x + y * np.float32(rng.uniform(-1, 1))
    else:
        across = x if rng.random() < 0.5 else y
    wave = np.sin(across * np.float32(6.2832 / period) + np.float32(phase)) * 127 + 128
    return np.ascontiguousarray(np.broadcast_to(wave.astype(np.uint8), (height, width)))


def _clip(levels: NDArray[np.int64]) -> Colour:
    red, green, blue = (int(min(255, max(0, level))) for level in levels)
    return red, green, blue
