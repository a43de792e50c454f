"""Damaged pictures of every format: a picture comes out or one of our errors, soon and without a warning."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from damage import check_clear, damaged
from galago.errors import PictureError
from galago.media import PictureLimits, read_picture
from pictures import colours, encoded

CASES = 500
LIMITS = PictureLimits(max_pixels=200_000)


def _files() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    frames = [Image.fromarray(colours()[:, ::step]) for step in (1, -1)]
    several = {"save_all": True, "append_images": frames[1:]}
    palette = frames[0].quantize(16)
    return {
        "JPEG": encoded(colours(), "JPEG", exif=exif),
        "progressive JPEG": encoded(colours(), "JPEG", progressive=True),
        "CMYK JPEG": encoded(frames[0].convert("CMYK"), "JPEG"),
        "PNG": encoded(colours(), "PNG", exif=exif),
        "animated PNG": encoded(frames[0], "PNG", **several),
        "palette PNG": encoded(palette, "PNG", transparency=bytes(range(0, 160, 10))),
        "16-bit PNG": encoded(colours()[:, :, 0].astype("u2") * 257, "PNG"),
        "WebP": encoded(colours(), "WebP", exif=exif),
        "animated WebP": encoded(frames[0], "WebP", lossless=True, **several),
        "GIF": encoded(frames[0], "GIF", transparency=2, **several),
        "BMP": encoded(colours(), "BMP"),
        "palette BMP": encoded(palette, "BMP"),
        "TIFF": encoded(colours(), "TIFF", exif=exif, **several),
        "LZW TIFF": encoded(colours(), "TIFF", compression="tiff_lzw"),
        "JPEG TIFF": encoded(colours(), "TIFF", compression="jpeg"),
        "group 4 TIFF": encoded(frames[0].convert("1"), "TIFF", compression="group4"),
        "AVIF": encoded(colours(), "AVIF"),
    }


FILES = _files()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_picture_is_a_picture_or_one_clear_error(kind):
    for case in range(CASES):
        data = damaged(FILES[kind], random.Random(f"{kind} {case}"))
        try:
            picture = read_picture(data, limits=LIMITS)
        except PictureError as error:
            check_clear(error, case)
        else:
            assert picture.pixels.shape[2] == 3
            assert picture.width * picture.height <= LIMITS.max_pixels, f"case {case}"
