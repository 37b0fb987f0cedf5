"""S/N estimators on arcs whose values are known in closed form."""

import numpy as np
import pytest

from darkhaloscope.lensing import snr


def gaussian_arc(size=81, sigma=4.0, flux=2.0):
    axis = np.arange(size) - (size - 1) / 2
    r2 = axis[None, :] ** 2 + axis[:, None] ** 2
    return flux * np.exp(-r2 / (2 * sigma**2)) / (2 * np.pi * sigma**2)


SIGMA_PX, FLUX, NOISE = 4.0, 2.0, 0.01
ARC = gaussian_arc()
INVVAR = np.full(ARC.shape, NOISE**-2)


def test_matched_is_the_matched_filter():
    expected = FLUX / (NOISE * np.sqrt(4 * np.pi) * SIGMA_PX)
    assert snr.matched(ARC, INVVAR) == pytest.approx(expected, rel=1e-6)


def test_footprint_is_aperture_photometry():
    # The footprint at 10 % of the peak is a circle of radius sigma sqrt(2 ln 10) with 90 % of the flux.
    n_pixels = np.pi * SIGMA_PX**2 * 2 * np.log(10)
    expected = 0.9 * FLUX / (NOISE * np.sqrt(n_pixels))
    assert snr.footprint(ARC, INVVAR) == pytest.approx(expected, rel=0.01)
    assert snr.footprint(ARC, INVVAR) < snr.matched(ARC, INVVAR)


def test_stamp_dilutes_and_brightest_pixel_is_one_pixel():
    assert snr.stamp(ARC, INVVAR) == pytest.approx(FLUX / (NOISE * 81), rel=1e-6)
    assert snr.brightest_pixel(ARC, INVVAR) == pytest.approx(ARC.max() / NOISE)


@pytest.mark.parametrize("estimator", [snr.matched, snr.footprint, snr.stamp, snr.brightest_pixel])
def test_bad_pixels_count_for_nothing(estimator):
    invvar = INVVAR.copy()
    invvar[:40] = 0.0
    good = np.ones(ARC.shape, bool)
    good[:40] = False
    assert estimator(ARC, invvar) == estimator(ARC, INVVAR, good)
    assert estimator(ARC, np.zeros_like(INVVAR)) == 0.0
    assert estimator(np.zeros_like(ARC), INVVAR) == 0.0


@pytest.mark.parametrize("estimator", [snr.matched, snr.footprint, snr.stamp, snr.brightest_pixel])
def test_leading_axes_are_images(estimator):
    arcs = np.stack([ARC, 2 * ARC, 0 * ARC])
    found = estimator(arcs, INVVAR[None])
    assert found.shape == (3,)
    np.testing.assert_allclose(found, [estimator(ARC, INVVAR), 2 * estimator(ARC, INVVAR), 0.0])
