"""Files and bytes to a Picture: recognised, measured, and only then decoded, by Pillow."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from galago.errors import PictureError
from galago.media.convert import rgb_pixels
from galago.media.picture import Picture, PictureLimits
from galago.media.signatures import FORMATS, HEAD_BYTES, picture_format

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_ORIENTATION = 0x0112  # the tag, in EXIF and TIFF
_PHOTOMETRIC = 0x0106
_TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""EXIF orientation -> what makes the picture upright."""

_WARNINGS = threading.Lock()


def decode(data: bytes | BinaryIO, limits: PictureLimits, name: str) -> Picture:
    """The picture in these bytes, or in this open, seekable file; `name` is for messages.

    Raises PictureError when it is not a picture, damaged, or over the limits.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    head = file.read(HEAD_BYTES)
    file.seek(0)
    kind = picture_format(head, name)
    if kind == "WebP":  # its reader makes room for the pixels as soon as it is opened
        limits.check_size(*_webp_size(head), name)
    with guarded(name):
        image = _open(file, kind, name)
        limits.check_size(*image.size, name)
        notes = _frames(image, kind)
        inverted = kind == "TIFF" and _is_inverted_grey(image)
        image.load()
        turn, damage = _turn(image, kind)
        pixels = rgb_pixels(image, name, inverted=inverted)
        del image
    if turn:
        pixels = np.ascontiguousarray(turn(pixels))
    pixels.flags.writeable = False
    return Picture(pixels, (*notes, *damage))


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Whatever Pillow does on damaged data becomes a PictureError; its warnings and log are not shown."""
    from PIL import Image

    # The filters of warnings belong to the process: one thread at a time may replace them.
    with _WARNINGS, warnings.catch_warnings(), _unlogged("PIL"):
        warnings.simplefilter("ignore")
        try:
            yield
        except (PictureError, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise PictureError(
                f"{name} has more pixels than Pillow reads in this format: {error}",
                hint="make it smaller, or save it as PNG",
            ) from None
        except Exception as error:  # on damaged files Pillow raises almost anything
            what = (str(error) or type(error).__name__).split("\n", 1)[0][:120]
            raise PictureError(
                f"{name} is damaged: {what}", hint="open it in a picture viewer and save it again"
            ) from error


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """What this logger says goes only where the program has asked for it, not to stderr by default."""
    nowhere = logging.NullHandler()
    logging.getLogger(name).addHandler(nowhere)
    try:
        yield
    finally:
        logging.getLogger(name).removeHandler(nowhere)


def _open(file: BinaryIO, kind: str, name: str) -> ImageFile:
    """Opened without `PIL.Image.open`, which would load readers for other formats."""
    module, reader = FORMATS[kind]
    try:
        plugin: Any = import_module(module)
    except ImportError:
        plugin = None
    if plugin is None or not getattr(plugin, "SUPPORTED", True):
        raise PictureError(
            f"{name} is a picture in {kind}, which this Pillow cannot read", hint="pip install -U pillow"
        )
    image: ImageFile = getattr(plugin, reader)(file)
    return image


def _webp_size(head: bytes) -> tuple[int, int]:
    """(width, height) of the canvas, from the first chunk; (1, 1) when that is damaged."""
    chunk, body = head[12:16], head[20:30]
    if len(body) < 10:
        return 1, 1
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
    return (width & 0x3FFF) or 1, (height & 0x3FFF) or 1


def _frames(image: ImageFile, kind: str) -> tuple[str, ...]:
    """A note when there are several frames or pages. Does not count them: a file may have millions."""
    if kind == "TIFF":
        more = bool(getattr(image, "tag_v2").next)  # noqa: B009 - only this reader has it
        return ("TIFF with several pages: the first is used",) if more else ()
    more = getattr(image, "is_animated", False)
    return (f"{kind} with several frames: the first is used",) if more else ()


def _is_inverted_grey(image: Image) -> bool:
    """Whether 0 is white in a 16-bit grey TIFF; Pillow turns the others itself."""
    return image.mode.startswith("I;16") and getattr(image, "tag_v2").get(_PHOTOMETRIC) == 0  # noqa: B009


def _turn(image: Image, kind: str) -> tuple[Callable[[Any], Any] | None, tuple[str, ...]]:
    """What makes the picture upright, and a note when that cannot be known."""
    if kind == "TIFF":  # its reader has done it
        return None, ()
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1)), ()
    except Exception:  # noqa: BLE001 - as above, and the pixels are good
        return None, ("the EXIF data are damaged: the picture may lie on its side",)
