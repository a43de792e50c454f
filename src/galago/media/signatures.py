"""Which format a file is, from its first bytes: those that are read, and those that are refused by name."""

from __future__ import annotations

from collections.abc import Callable

from galago.errors import PictureError

HEAD_BYTES = 1024
"""How much of a file `picture_format` looks at."""

FORMATS: dict[str, tuple[str, str]] = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
}
"""Format -> the module and the class of Pillow that read it. No other reader of Pillow is ever asked: some of
them start other programs."""

_Test = Callable[[bytes], bool]


def _starts(*starts: bytes) -> _Test:
    return lambda head: head.startswith(starts)


def _brand(*brands: bytes) -> _Test:
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


def _markup(*tags: bytes) -> _Test:
    def test(head: bytes) -> bool:
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return text.startswith(b"<") and any(tag in text for tag in tags)

    return test


_READ: dict[str, _Test] = {
    "JPEG": _starts(b"\xff\xd8\xff"),
    "PNG": _starts(b"\x89PNG\r\n\x1a\n"),
    "WebP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "GIF": _starts(b"GIF87a", b"GIF89a"),
    "BMP": _starts(b"BM"),
    "TIFF": _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "AVIF": _brand(b"avif", b"avis"),
}
_TO_PNG = "convert it to PNG or JPEG first"
_REFUSED: tuple[tuple[str, _Test, str], ...] = (
    (
        "a HEIC picture",
        _brand(b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"),
        "heif-convert in.heic out.jpg",
    ),
    ("an SVG drawing", _markup(b"<svg"), "rsvg-convert in.svg -o out.png"),
    ("a PDF document", _starts(b"%PDF"), "pdftoppm -png -r 150 in.pdf page"),
    (
        "a web page",
        _markup(b"<html", b"<!doctype html", b"<head", b"<body"),
        "give the address of the picture itself",
    ),
    ("a JPEG XL picture", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL "), "djxl in.jxl out.png"),
    ("a JPEG 2000 picture", _starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _TO_PNG),
    (
        "a video",
        lambda head: head[4:8] == b"ftyp" or head.startswith(b"\x1a\x45\xdf\xa3"),
        "ffmpeg -i in.mp4 -frames:v 1 out.png",
    ),
    ("a Photoshop file", _starts(b"8BPS"), _TO_PNG),
    ("an icon file", _starts(b"\0\0\1\0"), _TO_PNG),
    ("a PostScript file", _starts(b"%!PS"), _TO_PNG),
    ("a netpbm picture", _starts(*(b"P%d\n" % n for n in range(1, 8))), _TO_PNG),
    ("an OpenEXR picture", _starts(b"\x76\x2f\x31\x01"), _TO_PNG),
    ("an archive", _starts(b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf"), "unpack it first"),
)


def picture_format(head: bytes, name: str) -> str:
    """The format, a key of `FORMATS`, of a file that starts with `head`. PictureError for any other."""
    for kind, test in _READ.items():
        if test(head):
            return kind
    for kind, test, hint in _REFUSED:
        if test(head):
            raise PictureError(f"{name} is {kind}, which Galago does not read", hint=hint)
    if not head:
        raise PictureError(f"{name} is empty", hint="check where the picture comes from")
    raise PictureError(f"{name} is not a picture", hint=f"use one of {', '.join(FORMATS)}")
