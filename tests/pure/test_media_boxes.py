"""Drawn boxes show, labels are readable at any size; pictures are resized and saved as promised."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galago.errors import PictureError, UsageError
from galago.media import draw_boxes, read_picture, resize_bicubic, save_picture
from galago.media.boxes import _free_place
from galago.types import Box
from pictures import colours

ORANGE, BLUE = (213, 94, 0), (0, 114, 178)


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=2).sum())


def test_a_box_lies_on_its_pixels_and_the_rest_is_the_picture():
    pixels = np.full((500, 600, 3), 90, np.uint8)
    drawn = np.asarray(draw_boxes(pixels, [Box(100, 200, 300, 400)]))
    assert drawn.shape == pixels.shape
    for row, column in ((200, 150), (399, 150), (250, 100), (250, 299)):
        assert tuple(drawn[row, column]) == ORANGE
    changed = np.argwhere((drawn != pixels).any(axis=2))
    assert changed.min(axis=0).tolist() == [199, 99]
    assert changed.max(axis=0).tolist() == [400, 300]
    assert (drawn[210:390, 110:290] == 90).all()
    assert (pixels == 90).all()


def test_boxes_of_one_label_have_one_colour():
    pixels = np.full((500, 600, 3), 90, np.uint8)
    image = draw_boxes(
        pixels, [Box(50, 50, 90, 90, "a"), Box(200, 50, 290, 90, "b"), Box(400, 300, 490, 390, "a")]
    )
    for place, colour in (((60, 50), ORANGE), ((60, 200), BLUE), ((310, 400), ORANGE)):
        assert tuple(np.asarray(image)[place]) == colour


@pytest.mark.parametrize("size", [(1, 1), (20, 28), (1, 5000), (5000, 1), (479, 100), (1500, 2000)])
def test_a_label_can_be_read_at_any_size(size):
    height, width = size
    pixels = np.full((height, width, 3), 90, np.uint8)
    image = draw_boxes(
        pixels, [Box(0, 0, width, height, "dog"), Box(width / 2, height / 2, width, height, "cat")]
    )
    assert max(image.size) >= 480
    for colour in (ORANGE, BLUE):
        ground = np.argwhere((np.asarray(image) == colour).all(axis=2))
        assert len(ground) > 300, "the label's ground"
    assert count(image, (255, 255, 255)) > 60, "its letters"


@pytest.mark.parametrize(
    "box",
    [Box(-50, -50, 9e9, 9e9, "all"), Box(7, 7, 7, 7, "point"),
     Box(90, 80, 10, 20, "turned"), Box(9e9, 9, 9e9, 9, "out")],
)  # fmt: skip
def test_boxes_beyond_the_picture_and_empty_ones_are_drawn_at_its_edge(box):
    assert count(draw_boxes(np.zeros((100, 120, 3), np.uint8), [box]), ORANGE) > 300


def test_a_label_as_long_as_a_letter_is_cut():
    image = draw_boxes(np.zeros((100, 480, 3), np.uint8), [Box(10, 50, 90, 90, "no such thing\n" * 50)])
    assert image.size == (480, 100)


def test_no_boxes_is_a_plain_copy():
    pixels = colours()
    assert np.array_equal(np.asarray(draw_boxes(pixels, [])), pixels)


def test_a_coordinate_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="cannot be drawn"):
        draw_boxes(colours(), [Box(0, 0, float("nan"), 5)])


def test_labels_of_many_equal_boxes_do_not_cover_each_other():
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(12):
        taken.append(_free_place((100, 100, 200, 200), (40, 10), (400, 400), taken))
    assert len(set(taken)) == 12
    covered = np.zeros((400, 400), int)
    for x0, y0, x1, y1 in taken:
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1
    assert covered.sum() == 12 * 400


@pytest.mark.parametrize("size", [(28, 56), (15, 20), (60, 80), (31, 7), (1, 1)])
def test_resizing_is_pillows_bicubic(size):
    pixels = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
    expected = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC)
    assert np.array_equal(resize_bicubic(pixels, *size), np.asarray(expected))


def test_a_picture_that_has_the_size_is_not_touched():
    pixels = colours()
    assert resize_bicubic(pixels, 30, 40) is pixels


@pytest.mark.parametrize("ending", ["png", "JPG", "jpeg", "webp", "bmp", "tif", "tiff", "gif"])
def test_a_saved_picture_is_of_the_kind_that_its_name_says(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    save_picture(colours(), path)
    assert np.abs(read_picture(path).pixels.astype(int) - colours()).mean() < 8
    kinds = {"JPG": "JPEG", "TIF": "TIFF"}
    with Image.open(path) as image:
        assert image.format == kinds.get(ending.upper(), ending.upper())


@pytest.mark.parametrize("name", ["a.heic", "a", "a.png.txt"])
def test_an_ending_that_names_no_format_is_a_misuse(tmp_path, name):
    with pytest.raises(UsageError, match="names no picture format") as caught:
        save_picture(colours(), tmp_path / name)
    assert ".png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("missing/a.png", "No such file", "make the folder first"),
        ("file/a.png", "Not a directory", "make the folder first"),
        ("folder.png", "is a folder", "choose another place"),
        ("/proc/a.png", "", "choose another place"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path, name, said, hint):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match=f"cannot be written: {said}") as caught:
        save_picture(colours(), tmp_path / name)
    assert caught.value.hint == hint


def test_a_picture_too_large_for_its_format_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.webp"
    path.write_bytes(b"old")
    with pytest.raises(PictureError, match=r"a\.webp cannot be written") as caught:
        save_picture(np.zeros((1, 20_000, 3), np.uint8), path)
    assert caught.value.hint
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_reading_what_was_drawn_gives_what_was_drawn(tmp_path):
    image = draw_boxes(colours(600, 500), [Box(50, 60, 400, 500, "Größe")])
    file = io.BytesIO()
    image.save(file, "PNG")
    save_picture(image, tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png").pixels, read_picture(file.getvalue()).pixels)
