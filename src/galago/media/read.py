"""`read_picture`: a picture from anything that may hold one."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import FetchError, PictureError, UsageError
from galago.files import reason
from galago.media.convert import array_pixels, rgb_pixels
from galago.media.decode import decode, guarded
from galago.media.picture import Picture, PictureLimits

_DEFAULT = PictureLimits()
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=//)|(data):")
_NOT_APPLIED = "the image's EXIF orientation is not applied: PIL.ImageOps.exif_transpose does it"


def read_picture(source: Any, *, limits: PictureLimits = _DEFAULT) -> Picture:
    """The picture in `source`.

    A path, an http(s) URL, a data: URL, "-" for stdin, the bytes of a file, a PIL image, an array ([H, W] or
    [H, W, 1 | 3 | 4] of uint8, uint16, bool or floats from 0 to 1), or a Picture, which is returned as it is.
    The orientation that files carry is applied; PIL images and arrays are taken as they are, so that boxes
    found in them are in their pixels.

    Raises PictureError for what is no picture, damaged or over the limits, FetchError for a URL that does not
    give one in time, UsageError for other types.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, str):
        return _read_text(source, limits)
    if isinstance(source, os.PathLike):
        return _read_path(Path(source), limits)
    if isinstance(source, bytes | bytearray | memoryview):
        limits.check_bytes(memoryview(source).nbytes, "the picture")
        return decode(bytes(source), limits, "the picture")
    if isinstance(source, np.ndarray):
        return _read_array(source, limits)
    pillow = sys.modules.get("PIL.Image")  # who has a PIL image has imported it
    if pillow is not None and isinstance(source, pillow.Image):
        return _read_image(source, limits)
    raise UsageError(
        f"a picture cannot be read from {type(source).__name__}",
        hint="give a path, a URL, bytes, a PIL image or a numpy array",
    )


def _read_text(source: str, limits: PictureLimits) -> Picture:
    if source == "-":
        return _read_stdin(limits)
    match = _SCHEME.match(source)
    if match is None:
        return _read_path(Path(source), limits)
    scheme = (match[1] or match[2]).lower()
    if scheme == "file":
        from urllib.parse import unquote

        return _read_path(Path(unquote(source[len("file://") :])), limits)
    from galago.media import fetch

    if scheme == "data":
        return decode(fetch.data_url_bytes(source, limits), limits, "the data: URL")
    data = fetch.fetch(source, limits)
    try:
        return decode(data, limits, fetch.shown_url(source))
    except PictureError as error:
        raise FetchError(str(error), hint=error.hint) from None


def _read_path(path: Path, limits: PictureLimits) -> Picture:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                limits.check_bytes(status.st_size, str(path))
                return decode(file, limits, str(path))
            return decode(_read_at_most(file, limits, str(path)), limits, str(path))  # a pipe
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist", hint="check the path") from None
    except IsADirectoryError:
        raise PictureError(f"{path} is a folder", hint=f"name a picture in it: {path}/...") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        what = reason(error) if isinstance(error, OSError) else str(error)
        raise PictureError(f"{str(path)!r} cannot be read: {what}", hint="check the path") from None


def _read_stdin(limits: PictureLimits) -> Picture:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or sys.stdin.isatty():
        raise PictureError("stdin holds no picture", hint="pipe one in: galago ask - QUESTION < photo.jpg")
    return decode(_read_at_most(stream, limits, "stdin"), limits, "stdin")


def _read_at_most(file: Any, limits: PictureLimits, name: str) -> bytes:
    data: bytes = file.read(limits.max_bytes + 1)
    limits.check_bytes(len(data), name)
    return data


def _read_array(array: NDArray[Any], limits: PictureLimits) -> Picture:
    if array.ndim >= 2:
        limits.check_size(array.shape[1], array.shape[0], "the array")
    pixels = array_pixels(array, "the array")
    pixels.flags.writeable = False
    return Picture(pixels)


def _read_image(image: Any, limits: PictureLimits) -> Picture:
    name = "the PIL image"
    limits.check_size(image.width, image.height, name)
    with guarded(name):
        image.load()
        turned = image.getexif().get(0x0112, 1) not in (None, 1)
        pixels = rgb_pixels(image, name)
    pixels.flags.writeable = False
    return Picture(pixels, (_NOT_APPLIED,) if turned else ())
