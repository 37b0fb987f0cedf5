"""L49: one name, two definitions of arc S/N: the brightest pixel, and a sum over the whole stamp."""

import numpy as np
import pytest

from darkhaloscope.lensing import snr


def test_l49_four_names_have_four_values_on_a_gaussian_arc():
    sigma_px, flux, noise, size = 3.0, 1.0, 0.005, 64
    axis = np.arange(size) - (size - 1) / 2
    arc = flux * np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * sigma_px**2)) / (2 * np.pi * sigma_px**2)
    invvar = np.full(arc.shape, noise**-2)
    assert snr.matched(arc, invvar) == pytest.approx(flux / noise / np.sqrt(4 * np.pi) / sigma_px, rel=1e-4)
    assert snr.stamp(arc, invvar) == pytest.approx(flux / noise / size, rel=1e-4)
    assert snr.brightest_pixel(arc, invvar) == pytest.approx(arc.max() / noise)
    aperture_px = 2 * np.pi * sigma_px**2 * np.log(10)
    assert snr.footprint(arc, invvar) == pytest.approx(0.9 * flux / noise / np.sqrt(aperture_px), rel=0.02)
    # The whole stamp dilutes by several times, as the two columns once did.
    assert 3 < snr.matched(arc, invvar) / snr.stamp(arc, invvar) < 10


def test_l49_only_the_stamp_estimator_depends_on_the_stamp_size():
    arc = np.zeros((64, 64))
    arc[28:36, 20:44] = 0.01
    invvar = np.full(arc.shape, 4e4)
    inner = (slice(12, 52), slice(12, 52))
    for estimator in (snr.matched, snr.footprint, snr.brightest_pixel):
        assert estimator(arc, invvar) == pytest.approx(float(estimator(arc[inner], invvar[inner])))
    assert snr.stamp(arc, invvar) == pytest.approx(snr.stamp(arc[inner], invvar[inner]) * 40 / 64)
