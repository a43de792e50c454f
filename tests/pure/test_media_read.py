"""Every kind of source and file gives the picture that is in it: upright, opaque, 8 bits, RGB."""

from __future__ import annotations

import base64
import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from galago.errors import PictureError, UsageError
from galago.media import Picture, PictureLimits, read_picture
from pictures import colours, encoded, png, tiff

LOSSLESS = {"PNG": {}, "WebP": {"lossless": True}, "BMP": {}, "TIFF": {}}


def level(picture: Picture) -> list[int]:
    return picture.pixels[0, 0].tolist()


@pytest.mark.parametrize(("kind", "options"), LOSSLESS.items())
def test_lossless_files_give_their_exact_pixels(kind, options):
    picture = read_picture(encoded(colours(), kind, **options))
    assert np.array_equal(picture.pixels, colours())
    assert (picture.height, picture.width, picture.notes) == (30, 40, ())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("WebP", {"quality": 95}),
        ("GIF", {}),
        ("AVIF", {"quality": 95}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
    ],
)
def test_other_files_give_the_pixels_that_pillow_decodes(kind, options):
    data = encoded(colours(), kind, **options)
    pixels = read_picture(data).pixels
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert np.abs(pixels.astype(int) - colours()).mean() <= 8


def test_every_source_gives_the_same_picture(tmp_path, monkeypatch):
    data = encoded(colours(), "PNG")
    (tmp_path / "a.dat").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    base64_url = "data:image/png;base64," + base64.b64encode(data).decode()
    percent_url = "data:," + "".join(f"%{byte:02x}" for byte in data)
    (tmp_path / "a b%.dat").write_bytes(data)
    path = tmp_path / "a.dat"
    sources = (
        path, str(path), f"file://{path}", f"FILE://{tmp_path}/a%20b%25.dat", "-", data, bytearray(data),
        memoryview(data), base64_url, percent_url, Image.fromarray(colours()), Image.open(path), colours(),
        Picture(colours()),
    )  # fmt: skip
    for source in sources:
        assert np.array_equal(read_picture(source).pixels, colours()), type(source)


def test_a_picture_is_returned_as_it_is():
    picture = Picture(colours())
    assert read_picture(picture) is picture


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_the_smallest_and_the_narrowest_pictures_are_read(size):
    assert np.array_equal(read_picture(encoded(colours(*size), "PNG")).pixels, colours(*size))


def test_a_large_picture_is_converted_in_bands_without_seams():
    alpha = np.full((700, 800, 1), 255, np.uint8)
    pixels = np.random.default_rng(0).integers(0, 256, (700, 800, 3), np.uint8)
    rgba = np.concatenate([pixels, alpha], axis=2)
    assert np.array_equal(read_picture(encoded(rgba, "PNG", compress_level=1)).pixels, pixels)


def test_pixels_are_not_to_be_written_to_and_do_not_follow_their_source():
    array = colours()
    for source in (array, Image.fromarray(array), encoded(array, "PNG")):
        assert not read_picture(source).pixels.flags.writeable
    picture = read_picture(array)
    array[:] = 0
    assert picture.pixels.any()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WebP", "TIFF", "TIFF LZW", "JPEG"])
def test_the_orientation_of_a_file_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"TIFF LZW": {"compression": "tiff_lzw"}, "WebP": {"lossless": True}}.get(kind, {})
    data = encoded(colours(), kind.removesuffix(" LZW"), exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    picture = read_picture(data)
    assert picture.pixels.flags.c_contiguous
    assert np.array_equal(picture.pixels, np.asarray(upright))
    assert picture.pixels.shape[:2] == ((30, 40) if orientation < 5 else (40, 30))


def test_an_image_object_is_taken_as_it_lies_and_that_is_said():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(colours(), "PNG", exif=exif)))
    picture = read_picture(image)
    assert picture.pixels.shape == (30, 40, 3)
    assert "exif_transpose" in picture.notes[0]


def test_damaged_exif_data_cost_the_orientation_only_and_that_is_said():
    data = encoded(colours(), "PNG", exif=b"Exif\0\0no such thing")
    picture = read_picture(data)
    assert np.array_equal(picture.pixels, colours())
    assert "EXIF data are damaged" in picture.notes[0]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("GIF", "frames"), ("WebP", "frames"), ("PNG", "frames"), ("TIFF", "pages"), ("AVIF", "frames")],
)
def test_the_first_frame_is_used_and_that_is_said(kind, word):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"WebP": {"lossless": True}}.get(kind, {})
    picture = read_picture(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.abs(np.array(level(picture)) - (255, 0, 0)).max() <= 3
    assert picture.notes == (f"{kind} with several {word}: the first is used",)


def test_a_gif_of_one_frame_has_no_note():
    assert read_picture(encoded(colours(), "GIF")).notes == ()


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, [255] * 3),
        ("L", 77, [77] * 3),
        ("LA", (50, 51), [214] * 3),  # 50 * 0.2 + 255 * 0.8
        ("RGBA", (10, 20, 30, 0), [255] * 3),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (255, 0, 100, 102), [255, 153, 193]),
        ("PA", (0, 0), [255] * 3),
        ("CMYK", (255, 0, 0, 0), [0, 255, 255]),
        ("CMYK", (0, 0, 0, 255), [0, 0, 0]),
        ("YCbCr", (128, 128, 128), [128] * 3),
        ("HSV", (0, 255, 255), [255, 0, 0]),
        ("RGBX", (1, 2, 3, 4), [1, 2, 3]),
        ("I;16", 257 * 9, [9] * 3),
    ],
)
def test_every_mode_of_an_image_becomes_opaque_colours(mode, value, expected):
    assert level(read_picture(Image.new(mode, (3, 2), value))) == expected


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_modes_that_are_no_colours_are_refused_by_name(mode):
    with pytest.raises(PictureError, match=f"pixels of the kind '{mode}'") as caught:
        read_picture(Image.new(mode, (3, 2)))
    assert caught.value.hint


@pytest.mark.parametrize("transparency", [3, bytes([255, 255, 255, 0])])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_entry_of_a_palette_is_white(kind, transparency):
    image = Image.new("P", (2, 1), 3)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    transparency = 3 if kind == "GIF" else transparency
    picture = read_picture(encoded(image, kind, transparency=transparency))
    assert picture.pixels[0].tolist() == [[255, 255, 255], [255, 0, 0]]


@pytest.mark.parametrize(("mode", "colour"), [("L", 9), ("RGB", (9, 8, 7)), ("I;16", 9)])
def test_a_transparent_colour_is_white(mode, colour):
    image = Image.new(mode, (2, 1), colour)
    image.putpixel((1, 0), (257, 0, 0) if mode == "RGB" else 5)
    picture = read_picture(encoded(image, "PNG", transparency=colour))
    assert level(picture) == [255, 255, 255]
    assert picture.pixels[0, 1].tolist() != [255, 255, 255]


def test_an_inverted_cmyk_jpeg_has_its_true_colours():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    assert b"Adobe" in data
    assert level(read_picture(data)) == [255, 0, 0]


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.array([[0, 128, 129, 257 * 100, 30000, 65535]], np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    for source in (encoded(deep, "PNG"), encoded(deep, "TIFF"), deep, Image.fromarray(deep)):
        assert np.array_equal(read_picture(source).pixels[:, :, 0], expected)


def test_sixteen_bit_colours_are_scaled_not_clipped():
    import zlib

    deep = np.array([65535, 32768, 1000], ">u2").tobytes()
    data = png(1, 1, bits=16, data=zlib.compress(b"\0" + deep))
    assert np.abs(np.array(level(read_picture(data))) - (255, 127.5, 3.9)).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("order", "photometric", "expected"),
    [
        ("<", 1, [0, 1, 255]),
        ("<", 0, [255, 254, 0]),
        (">", 1, [0, 1, 255]),
    ],  # Pillow has no (">", 0) of 16 bits
)
def test_grey_tiffs_of_either_byte_order_and_sense_are_right(bits, order, photometric, expected):
    levels = np.array([0, 1, 255]) * (257 if bits == 16 else 1)
    data = tiff(3, 1, {258: bits, 262: photometric}, levels.astype(f"{order}u{bits // 8}").tobytes(), order)
    assert read_picture(data).pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), [7] * 3),
        (np.full((2, 3, 1), 7, np.uint8), [7] * 3),
        (np.full((2, 3, 3), (1, 2, 3), np.uint8), [1, 2, 3]),
        (np.full((2, 3, 4), (0, 0, 0, 51), np.uint8), [204] * 3),
        (np.full((2, 3), True), [255] * 3),
        (np.full((2, 3), 65535, ">u2"), [255] * 3),
        (np.full((2, 3, 3), (0.0, 0.5, 1.0), np.float32), [0, 128, 255]),
        (np.full((2, 3), 1, np.float16), [255] * 3),
        (np.full((3, 3, 3), (1, 2, 3), np.uint8)[::2, ::-1], [1, 2, 3]),
    ],
)
def test_arrays_of_every_allowed_kind_are_read(array, expected):
    picture = read_picture(array)
    assert level(picture) == expected
    assert picture.pixels.shape == (2, 3, 3)
    assert picture.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(5, np.uint8), "has the shape .5."),
        (np.zeros((3, 8, 9), np.uint8), "has the shape .3, 8, 9."),
        (np.zeros((2, 8, 9, 3), np.uint8), "has the shape"),
        (np.zeros((8, 9, 2), np.uint8), "has the shape"),
        (np.zeros((0, 9, 3), np.uint8), "has no pixels"),
        (np.zeros((8, 9), np.int64), "has the type int64"),
        (np.zeros((8, 9), object), "has the type object"),
        (np.full((8, 9), 255.0), "has floats from 255.0 to 255.0"),
        (np.full((8, 9), -0.1), "has floats from -0.1"),
        (np.full((8, 9), np.nan), "has floats from nan"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array, said):
    with pytest.raises(PictureError, match=said) as caught:
        read_picture(array)
    assert caught.value.hint


def test_channels_first_gets_the_way_out():
    with pytest.raises(PictureError) as caught:
        read_picture(np.zeros((3, 8, 9), np.uint8))
    assert caught.value.hint == "array.transpose(1, 2, 0)"


@pytest.mark.parametrize("source", [None, 5, [1, 2], io.BytesIO(b"")])
def test_other_types_are_a_misuse(source):
    with pytest.raises(UsageError, match="cannot be read from"):
        read_picture(source)


@pytest.mark.parametrize(
    "limits", [{"max_pixels": 0}, {"max_bytes": -1}, {"timeout_s": float("nan")}, {"max_redirects": -1}]
)
def test_limits_out_of_range_are_a_misuse(limits):
    with pytest.raises(UsageError, match=next(iter(limits))):
        PictureLimits(**limits)
