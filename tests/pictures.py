"""Pictures made for tests: pixels in which no two are equal by chance, and files of every kind from them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def colours(height: int = 30, width: int = 40) -> NDArray[np.uint8]:
    """Smooth colours [height, width, 3], different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (255 * x / max(1, width - 1), 255 * y / max(1, height - 1), 200 - 150 * x * y / (height * width))
    return np.stack(planes, axis=2).astype(np.uint8)


def encoded(picture: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    """The bytes of a file of this kind."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG with this header, whatever its data are."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(width: int, height: int, tags: dict[int, int], data: bytes, order: str = "<") -> bytes:
    """An uncompressed TIFF of one strip; `tags` are short numbers."""
    entries = {256: width, 257: height, 259: 1, 277: 1, 278: height, 279: len(data)} | tags
    offset = 8 + 2 + 12 * (len(entries) + 1) + 4
    entries[273] = offset
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    body = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return start + body + struct.pack(order + "I", 0) + data
