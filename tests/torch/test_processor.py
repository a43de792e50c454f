"""Pictures of every size become the patches that the reference's PIL processor makes of them."""

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from cases import picture
from direct import Direct
from galago.errors import PictureError
from reference import reference

GREY_LEVEL = 1 / 255 / 0.26  # one uint8 step after division by the smallest standard deviation


@pytest.fixture(scope="module")
def hub(checkpoint):
    return checkpoint("qwen2_5_vl")


@pytest.mark.parametrize("bounds", [(3136, 12845056), (3136, 50000), (100352, 602112), (784, 784)])
def test_every_size_is_resized_as_the_reference_does(hub, bounds):
    processor = Direct(hub).processor.with_pixels(*bounds)
    random = np.random.RandomState(0)
    sizes = np.exp(random.uniform(0, np.log(5000), (3000, 2))).astype(int)
    halves = np.array([(28 * n + 14, 28 * m + 14) for n in range(12) for m in range(12)])  # ties of rounding
    for height, width in np.concatenate([sizes, halves]).tolist():
        if max(height, width) <= 200 * min(height, width):
            want = smart_resize(height, width, 28, *bounds)
            assert processor.resized(height, width) == want, (height, width)


@pytest.mark.parametrize(("height", "width"), [(1, 201), (4021, 20)])
def test_both_refuse_a_picture_that_is_too_narrow(hub, height, width):
    with pytest.raises(ValueError, match="aspect ratio"):
        smart_resize(height, width)
    with pytest.raises(PictureError, match=f"{width}x{height} pixels; this model takes at most 200:1"):
        Direct(hub).processor.resized(height, width)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (10, 10), (5, 900), (1000, 5), (27, 29), (70, 500), (333, 777), (540, 960)]
)
@pytest.mark.parametrize("most", [12845056, 50000])
def test_patches_are_within_one_grey_level(hub, height, width, most):
    pixels = picture(height, width, height * width)
    theirs = reference(hub).images(
        images=[Image.fromarray(pixels)],
        size={"shortest_edge": 3136, "longest_edge": most},
        return_tensors="np",
    )
    ours = Direct(hub).processor.with_pixels(3136, most).image(pixels)
    assert [ours.grid] == [tuple(grid) for grid in theirs["image_grid_thw"].tolist()]
    assert np.abs(ours.patches - theirs["pixel_values"]).max() <= GREY_LEVEL
