"""The normalisation region scales with the stamp: no galaxy reaches into it at any size."""

import numpy as np
import pytest

from darkhaloscope.config import Preprocess
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.streams import generator


@pytest.mark.parametrize("side", [40, 64, 101, 128])
def test_light_inside_a_quarter_of_the_side_does_not_move_the_statistics(side):
    sky = generator(1, "L54", str(side)).normal(0.0, 0.01, (2, 3, side, side)).astype(np.float32)
    axis = np.arange(side) - (side - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])
    spec = PreprocessSpec.from_config(Preprocess(normalisation="outer_mad"), crop_px=side)
    bright_inside = spec.statistics(sky + np.float32(5.0) * (radius <= 0.25 * side))
    bright_outside = spec.statistics(sky + np.float32(5.0) * (radius > 0.25 * side))
    for got, expected in zip(bright_inside, spec.statistics(sky), strict=True):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(bright_outside[0], 5.0, atol=0.01)
