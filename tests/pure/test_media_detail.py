"""How many pixels a picture needs: plain ones few, small print all."""

import numpy as np
import pytest

from cases import picture
from galago import UsageError
from galago.engine.request import AUTO_LEAST, PictureBounds
from galago.media.detail import useful_pixels
from galago.models import family


def waves(period, side=512):
    """Grey waves of some pixels."""
    columns = (128 + 100 * np.sin(np.arange(side) * 2 * np.pi / period)).astype(np.uint8)
    return np.broadcast_to(columns[None, :, None], (side, side, 3)).copy()


def striped(width, side=512):
    """Vertical bars of some pixels, black and white."""
    columns = (np.arange(side) // width % 2 * 255).astype(np.uint8)
    return np.broadcast_to(columns[None, :, None], (side, side, 3)).copy()


def processor(**sizes):
    config = type("Config", (), {})
    config.vision = type("Vision", (), {"patch": 14, "temporal_patch": 2, "merge": 2})
    config.image_token, config.video_token, config.tokens_per_second = 1, 2, None
    return family("qwen2_vl").processor(config, {"min_pixels": 3136, "max_pixels": 784 * 500, **sizes})


def test_a_plain_picture_needs_few_pixels():
    assert useful_pixels(np.full((512, 512, 3), 90, np.uint8)) <= 512 * 512 / 32


def test_fine_detail_needs_every_pixel():
    assert useful_pixels(striped(1)) == 512 * 512
    assert useful_pixels(picture(200, 300, 1)) == 200 * 300


def test_coarser_detail_needs_fewer_pixels():
    needed = [useful_pixels(waves(period)) for period in (4, 12, 100)]
    assert needed[0] > needed[1] > needed[2]


def test_small_print_counts_however_little_of_the_picture_it_is():
    page = np.full((640, 640, 3), 250, np.uint8)
    page[:96, :256] = striped(2)[:96, :256]
    assert useful_pixels(page) > useful_pixels(np.full((640, 640, 3), 250, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (33, 2, 3)])
def test_the_smallest_pictures_have_detail_too(shape):
    assert 1 <= useful_pixels(np.zeros(shape, np.uint8)) <= shape[0] * shape[1]


def test_auto_keeps_within_the_picture_the_model_and_a_floor():
    bounds, whole = PictureBounds(image_tokens="auto"), processor()
    plain = bounds.apply(whole, np.zeros((2000, 2000, 3), np.uint8))
    assert plain.max_pixels == AUTO_LEAST * 784 or plain.max_pixels < whole.max_pixels
    assert bounds.apply(whole, np.tile(striped(1), (3, 3, 1))).max_pixels == whole.max_pixels
    enlarged = PictureBounds(image_tokens="auto", min_pixels=784 * 600)
    assert enlarged.apply(whole, striped(1)).min_pixels == 784 * 600


@pytest.mark.parametrize("tokens", ["many", 0, 1.5, "5"])
def test_other_words_for_image_tokens_are_refused(tokens):
    with pytest.raises(UsageError, match="image_tokens"):
        PictureBounds(image_tokens=tokens)
