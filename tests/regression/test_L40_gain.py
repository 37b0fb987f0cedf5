"""L40: a gain of 150 electrons per nanomaggy was assumed; DR10 stacks have 15,000 to 50,000."""

import numpy as np
import pytest

from darkhaloscope.lensing.noise import effective_gain


def test_l40_gain_of_a_stack_agrees_with_the_camera_zero_point():
    """One 90 s DECam exposure in r: 26.8 mag per electron per second, 4,700 electrons per nanomaggy."""
    electrons_per_nmgy = 90.0 * 10 ** ((26.8 - 22.5) / 2.5)
    sky_nmgy = 10 ** ((22.5 - 21.0) / 2.5) * 0.262**2  # sky of 21.0 mag/arcsec^2 in r
    sky_electrons = sky_nmgy * electrons_per_nmgy
    invvar = electrons_per_nmgy**2 / sky_electrons  # photon noise of the sky alone
    assert effective_gain(sky_nmgy, invvar) == pytest.approx(electrons_per_nmgy)
    for exposures in (4, 10):
        stack = float(effective_gain(sky_nmgy, exposures * invvar))
        assert 15_000 < stack < 50_000


def test_l40_gain_is_per_pixel_and_measured_depth_gives_its_size():
    gain = effective_gain(0.30, np.array([0.004**-2, 0.0]))
    assert gain.tolist() == [pytest.approx(18_750.0), 0.0]
