"""L32: one ray per 0.262 arcsec pixel rendered 0.05 arcsec structure with errors of 5 to 16 % of the peak."""

import numpy as np

from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.sampling import LENSED, Sampling
from darkhaloscope.lensing.trial import trial_scenes


def test_l32_flux_and_shape_converge_with_the_number_of_rays():
    scenes = trial_scenes(24)
    truth = render_lensed(**scenes, quality=Sampling(4, 4)).image
    peak = truth.max(axis=(2, 3))

    def worst(sampling):
        image = render_lensed(**scenes, quality=sampling).image
        return (np.abs(image - truth).max(axis=(2, 3)) / peak).max()

    errors = [worst(Sampling(*s)) for s in ((1, 1), (2, 1), (2, 2), (2, 4))]
    assert errors[0] > 0.05  # what the predecessor did
    assert errors == sorted(errors, reverse=True)
    assert worst(LENSED["standard"]) < 0.008
    assert errors[3] < 0.002


def test_l32_production_shoots_sixteen_rays_per_pixel_or_more():
    assert LENSED["standard"].cells_per_px * LENSED["standard"].rays_per_cell >= 4
