"""What is no picture, damaged or too large: one clear line with a way out, before anything is decoded."""

from __future__ import annotations

import io
import logging
import os
import sys
import tracemalloc
import zlib

import pytest
from PIL import Image

from galago.errors import FetchError, PictureError
from galago.media import PictureLimits, read_picture
from pictures import colours, encoded, png, tiff

FILES = {kind: encoded(colours(), kind) for kind in ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF")}
FILES["TIFF LZW"] = encoded(colours(), "TIFF", compression="tiff_lzw")

NO_PICTURES = {
    "empty": (b"", "is empty"),
    "text": (b"hello, this is text\n", "is not a picture"),
    "zeros": (bytes(1000), "is not a picture"),
    "SVG": (
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n<svg width="9">',
        "is an SVG drawing, which Galago",
    ),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture"),
    "PDF": (b"%PDF-1.7\n", "is a PDF document"),
    "web page": (b"\n<!DOCTYPE html><html><head>", "is a web page"),
    "JPEG XL": (b"\xff\x0a\0\0", "is a JPEG XL picture"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture"),
    "MP4": (b"\0\0\0\x18ftypisom", "is a video"),
    "Photoshop": (b"8BPS\0\1", "is a Photoshop file"),
    "icon": (b"\0\0\1\0\1\0", "is an icon file"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0", "is a PostScript file"),
    "netpbm": (b"P6\n2 2\n255\n", "is a netpbm picture"),
    "archive": (b"PK\3\4", "is an archive"),
    "other XML": (b"<?xml?><a></a>", "is not a picture"),
    "PNG signature alone": (b"\x89PNG\r\n\x1a\n", "is damaged"),
    "JPEG signature alone": (b"\xff\xd8\xff", "is damaged"),
    "WebP signature alone": (b"RIFF\0\0\0\0WEBP", "is damaged"),
    "GIF signature alone": (b"GIF89a", "is damaged"),
    "BMP signature alone": (b"BM", "is damaged"),
    "TIFF signature alone": (b"II*\0", "is damaged"),
    "AVIF signature alone": (b"\0\0\0\x18ftypavif", "is damaged"),
}


@pytest.mark.parametrize(("content", "said"), NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_named(tmp_path, content, said):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for source, name in ((path, str(path)), (content, "the picture")):
        with pytest.raises(PictureError, match=said) as caught:
            read_picture(source)
        assert str(caught.value).startswith(name)
        assert "\n" not in str(caught.value)
        assert caught.value.hint


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_damaged(kind, share):
    data = FILES[kind]
    with pytest.raises(PictureError, match="is damaged") as caught:
        read_picture(data[: int(len(data) * share)])
    assert caught.value.hint


HUGE = {
    "PNG": png(60_000, 60_000, data=zlib.compress(b"\0" * 1000)),
    "GIF": b"GIF89a" + b"\xff" * 4 + b"\0\0\0" + b",\0\0\0\0" + b"\xff" * 4 + b"\0\x08\x01\0\0",
    "BMP": b"BM" + bytes(12) + (40).to_bytes(4, "little") + (60_000).to_bytes(4, "little") * 2
    + b"\1\0\x18\0" + bytes(24),
    "TIFF": tiff(60_000, 60_000, {258: 8, 262: 1}, bytes(10)),
    "WebP VP8X": b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (59_999).to_bytes(3, "little") * 2,
    "WebP VP8L": b"RIFF\x1a\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + (0xFFFFFFF).to_bytes(4, "little") + bytes(9),
    "WebP VP8": b"RIFF\x1a\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" + b"\xff\x3f" * 2 + bytes(9),
    "JPEG": b"\xff\xd8\xff\xc0\0\x0b\x08" + b"\xea\x60" * 2 + b"\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\0",
}  # fmt: skip


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_a_huge_header_is_refused_before_anything_is_decoded(data):
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match="more than 100,000,000 pixels") as caught:
            read_picture(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert "--max-picture-pixels" in caught.value.hint


def test_the_limit_of_pixels_is_an_option_and_holds_for_every_source():
    for source in (FILES["PNG"], colours(), Image.fromarray(colours())):
        with pytest.raises(PictureError, match="is 40 x 30: more than 1,199 pixels"):
            read_picture(source, limits=PictureLimits(max_pixels=1199))
        read_picture(source, limits=PictureLimits(max_pixels=1200))


def test_the_limit_of_bytes_holds_for_every_source(tmp_path, monkeypatch):
    data = FILES["PNG"]
    (tmp_path / "a.png").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data * 2)))
    for source in (data, tmp_path / "a.png", "-", "data:image/png," + "%00" * len(data)):
        with pytest.raises(PictureError, match=f"has more than {len(data) - 1:,} bytes") as caught:
            read_picture(source, limits=PictureLimits(max_bytes=len(data) - 1))
        assert caught.value.hint
    read_picture(data, limits=PictureLimits(max_bytes=len(data)))


@pytest.mark.parametrize("kind", FILES)
def test_pillows_warnings_and_own_limit_are_not_shown(monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)  # a warning above it, an error above twice as much
    assert read_picture(FILES[kind]).width == 40
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    try:
        read_picture(FILES[kind])
    except PictureError as error:
        assert "has more pixels than Pillow reads in this format" in str(error)  # noqa: PT017


def test_what_pillow_logs_is_not_shown(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a program that sets up no logging
    samples_per_pixel = 277
    with pytest.raises(PictureError, match="is damaged"):
        read_picture(tiff(4, 4, {258: 8, 262: 1, samples_per_pixel: 200}, bytes(16)))
    assert capsys.readouterr().err == ""


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(PictureError, match=r"has no pixels: it is 0 x 5|is damaged"):
        read_picture(png(0, 5))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing.png", "does not exist"),
        ("", "is a folder"),
        ("file/a.png", "cannot be read: Not a directory"),
        ("a\0b.png", "cannot be read: "),
        ("a" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_path_without_a_picture_is_named(tmp_path, path, said):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(PictureError, match=said) as caught:
        read_picture(f"{tmp_path}/{path}")
    assert caught.value.hint
    assert "\0" not in str(caught.value)


def test_a_pipe_in_the_file_system_is_read(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, FILES["PNG"])
    os.close(writer)
    try:
        assert read_picture(f"/dev/fd/{reader}").width == 40
    finally:
        os.close(reader)


def test_an_endless_device_is_refused_at_the_limit():
    with pytest.raises(PictureError, match="has more than 5,000 bytes"):
        read_picture("/dev/zero", limits=PictureLimits(max_bytes=5000))


def test_a_stdin_without_a_picture_is_named(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(PictureError, match="stdin is empty"):
        read_picture("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(PictureError, match="stdin holds no picture") as caught:
        read_picture("-")
    assert "<" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:image/png;base64", "has no comma"),
        ("data:image/png;base64,%%%", "is not base64"),
        ("data:image/png;base64,aGVsbG8=", "the data: URL is not a picture"),
        ("data:,", "the data: URL is empty"),
    ],
)
def test_a_bad_data_url_is_one_clear_line(url, said):
    with pytest.raises(PictureError, match=said) as caught:
        read_picture(url)
    assert caught.value.hint


@pytest.mark.parametrize("url", ["ftp://host/a.png", "s3://bucket/a.png", "gopher://x", "javascript://x"])
def test_other_schemes_are_refused_by_name(url):
    with pytest.raises(FetchError, match=f"{url.split(':')[0]} is not supported"):
        read_picture(url)
