"""Pillow images and arrays of every usual kind to RGB bytes: transparency on white, deep pixels scaled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import PictureError

if TYPE_CHECKING:
    from PIL.Image import Image

_BAND_PIXELS = 1 << 18  # converted at a time, so that a large picture is not held three times
_OPAQUE_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


def rgb_pixels(image: Image, name: str, *, inverted: bool = False) -> NDArray[np.uint8]:
    """A loaded image -> [H, W, 3]. `inverted`: 0 is white, in 16-bit grey.

    Raises PictureError for kinds of pixels that have no one meaning as colours.
    """
    convert = _converter(image, name)
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = convert(image.crop((0, top, width, bottom)))
    return np.subtract(255, pixels, out=pixels) if inverted else pixels


def array_pixels(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 1 | 3 | 4] of uint8, uint16, bool, or floats from 0 to 1 -> [H, W, 3], a copy.

    Raises PictureError for any other shape, type or range.
    """
    shape = array.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        channels_first = len(shape) == 3 and shape[0] in (1, 3, 4)
        raise PictureError(
            f"{name} has the shape {list(shape)}; a picture is [height, width] or [height, width, 1, 3 or 4]",
            hint="array.transpose(1, 2, 0)" if channels_first else "give one picture, channels last",
        )
    levels = _levels(array, name)
    if levels.ndim == 3 and levels.shape[2] == 4:
        return on_white(levels)
    if levels.ndim == 2:
        levels = levels[:, :, np.newaxis]
    return np.array(np.broadcast_to(levels, (*shape[:2], 3)), order="C")


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 4] -> [H, W, 3]: colour * alpha + 255 * (1 - alpha), rounded."""
    alpha = rgba[:, :, 3:].astype(np.uint16)
    mixed = rgba[:, :, :3] * alpha + 255 * (255 - alpha)  # at most 255 * 255
    return ((mixed + 127) // 255).astype(np.uint8)


def _converter(image: Image, name: str) -> Callable[[Image], NDArray[np.uint8]]:
    """What turns a band of `image` into [rows, W, 3]."""
    if image.mode in _DEEP_MODES or (image.mode == "I" and image.format == "PNG"):
        transparent = image.info.get("transparency")
        return lambda band: _deep_grey(band, transparent)
    if image.has_transparency_data:
        return lambda band: on_white(np.asarray(band.convert("RGBA"), np.uint8))
    if image.mode in _OPAQUE_MODES:
        return lambda band: np.asarray(band.convert("RGB"), np.uint8)
    raise PictureError(
        f"{name} has pixels of the kind {image.mode!r}, which are no colours as they stand",
        hint="save it with 8 or 16 bits per channel",
    )


def _deep_grey(band: Image, transparent: Any) -> NDArray[np.uint8]:
    """16-bit grey [rows, W] -> [rows, W, 3]; the level `transparent` becomes white."""
    deep = np.asarray(band)
    grey = _from_16_bits(deep)
    if isinstance(transparent, int):
        grey[deep == transparent] = 255
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _levels(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Values of any allowed type as 0..255."""
    if array.dtype == np.uint8:
        return np.asarray(array, np.uint8)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _from_16_bits(array)
    if array.dtype == np.bool_:
        return np.asarray(np.where(array, 255, 0), np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise PictureError(
            f"{name} has the type {array.dtype}; a picture is uint8, uint16, bool, or floats from 0 to 1",
            hint="array.astype(np.uint8), if its values are 0 to 255",
        )
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # also refuses NaN
        raise PictureError(
            f"{name} has floats from {array.min()} to {array.max()}; they must be from 0 to 1",
            hint="array.astype(np.uint8), if its values are 0 to 255",
        )
    levels: NDArray[np.uint8] = np.rint(array * array.dtype.type(255)).astype(np.uint8)
    return levels


def _from_16_bits(deep: NDArray[Any]) -> NDArray[np.uint8]:
    """0..65535 -> 0..255, rounded: 65535 / 255 is 257."""
    return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
