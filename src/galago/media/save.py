"""Pictures to files: the format by the name's ending, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import PictureError, UsageError
from galago.files import StrPath, reason, replacing

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 92, "subsampling": 0},  # thin coloured lines stay sharp
    "WEBP": {"quality": 92},
}


def picture_file_format(path: StrPath) -> str:
    """The format, as Pillow names it, of a file with this name. Raises UsageError for an unknown ending."""
    ending = Path(path).suffix.lower()
    if ending not in _FORMATS:
        raise UsageError(
            f"{path}: the ending {ending!r} names no picture format",
            hint=f"use one of {', '.join(_FORMATS)}",
        )
    return _FORMATS[ending]


def save_picture(picture: Image | NDArray[np.uint8], path: StrPath) -> None:
    """Write a PIL image, or pixels [H, W, 3], to `path`, replacing what is there.

    Raises UsageError for an ending that names no format, PictureError when the file cannot be written; then
    what was there stays.
    """
    kind = picture_file_format(path)
    if isinstance(picture, np.ndarray):
        from PIL import Image

        picture = Image.fromarray(picture)
    try:
        with replacing(path) as file:
            picture.save(file, kind, **_OPTIONS.get(kind, {}))
    except OSError as error:
        hint = "choose another place" if Path(path).parent.is_dir() else "make the folder first"
        raise PictureError(f"{path} cannot be written: {reason(error)}", hint=hint) from error
    except ValueError as error:  # larger than the format allows
        raise PictureError(f"{path} cannot be written as {kind}: {error}", hint="use .png") from error
