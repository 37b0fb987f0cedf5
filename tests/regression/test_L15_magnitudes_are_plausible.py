"""L15: lenses "100 times fainter than our LRGs" were accepted; fluxes are held against the catalogue."""

import numpy as np
import pytest

from darkhaloscope.evaluation.anchor_stamps import pixel_status
from darkhaloscope.survey.release import get_release

RELEASE = get_release("dr10-south")
AXIS = np.arange(64) - 31.5


def status(flux_nmgy, catalogue_nmgy):
    light = np.exp(-0.5 * (AXIS[None, :] ** 2 + AXIS[:, None] ** 2) / 6.0)
    image = np.repeat((flux_nmgy * light / light.sum())[None], 3, axis=0).astype(np.float32)
    return pixel_status(
        image,
        np.full((3, 64, 64), 1e5, np.float32),
        np.zeros((64, 64), np.int32),
        x_offset_px=0.0,
        y_offset_px=0.0,
        flux_r_nmgy=catalogue_nmgy,
        release=RELEASE,
    )


@pytest.mark.parametrize("factor", [0.01, 0.1, 5.0, 100.0])
def test_a_galaxy_of_another_brightness_is_refused(factor):
    assert status(16.0 * factor, 16.0) == "magnitude_implausible"


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0])
def test_a_galaxy_of_its_brightness_is_not(factor):
    assert status(16.0 * factor, 16.0) == "ok"
