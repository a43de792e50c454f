"""Three-axis positions are the reference's for any frame rate: time is truncated after a float32 product."""

import numpy as np
import pytest
import torch

from cases import Case, picture
from checkpoints import FAMILIES
from direct import Direct
from reference import reference

RATES = (0.2, 0.3, 0.7, 1, 1.5, 1.7, 2, 2.4, 3, 3.7, 4.8, 6, 7, 9, 11, 12, 13, 24, 25, 29.97, 30, 60)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fps", RATES)
def test_positions_of_a_long_video_are_the_references(checkpoint, family, fps):
    frame = picture(56, 56, 1)
    case = Case("long", ("Before ", picture(60, 90, 2), ([frame] * 82, fps), " after"))
    prompt = reference(checkpoint(family)).prompt(case)
    tensors = {key: value for key, value in prompt.tensors.items() if not key.startswith("pixel_values")}
    want, _ = reference(checkpoint(family)).model.model.get_rope_index(**tensors)

    got, following = Direct(checkpoint(family)).positions(prompt.ids, case)

    np.testing.assert_array_equal(got, want[:, 0].numpy())
    assert following == got[0, -1] + 1  # generation goes on from the last token, as the reference's does
    assert torch.equal(want[:, 0, -1], torch.full((3,), int(got[0, -1])))
