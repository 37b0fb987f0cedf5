"""Shear against lenstronomy."""

import numpy as np
from lenstronomy.LensModel.lens_model import LensModel

from darkhaloscope.lensing import shear


def test_deflection_is_lenstronomys_about_the_deflector():
    x, y = np.array([0.3, -1.0, 2.0]), np.array([1.0, 0.2, -2.5])
    kwargs = {"gamma1": 0.06, "gamma2": -0.03, "ra_0": 0.4, "dec_0": -0.7}
    expected = LensModel(["SHEAR"]).alpha(x + 0.4, y - 0.7, [kwargs])
    found = shear.deflection(x, y, gamma1=0.06, gamma2=-0.03)
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_shear_does_not_change_the_surface_density():
    h = 1e-3
    right = shear.deflection(h, 0.0, gamma1=0.1, gamma2=0.2)[0]
    up = shear.deflection(0.0, h, gamma1=0.1, gamma2=0.2)[1]
    assert right + up == 0.0
    assert shear.modulus(0.3, 0.4) == 0.5
