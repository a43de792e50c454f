"""Pictures: from files, URLs, bytes, PIL images and arrays to RGB pixels; resized, drawn upon, saved.

Pillow is imported when the first picture is read, not here. What a model wants of pixels is its family's
matter.
"""

from __future__ import annotations

from galago.media.boxes import draw_boxes
from galago.media.picture import Picture, PictureLimits
from galago.media.read import read_picture
from galago.media.resize import resize_bicubic
from galago.media.save import picture_file_format, save_picture

__all__ = [
    "Picture",
    "PictureLimits",
    "draw_boxes",
    "picture_file_format",
    "read_picture",
    "resize_bicubic",
    "save_picture",
]
