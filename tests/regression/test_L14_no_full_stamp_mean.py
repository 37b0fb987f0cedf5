"""L14: brightness was compared by full-stamp means, which measure the sky."""

import inspect

import numpy as np
import pytest

from darkhaloscope.evaluation import photometry


def test_a_sky_offset_does_not_change_the_brightness_of_a_galaxy():
    axis = np.arange(64) - 31.5
    galaxy = 0.2 * np.exp(-0.5 * (axis[None, :] ** 2 + axis[:, None] ** 2) / 9.0)
    plain, lifted = (
        photometry.aperture_mean_nmgy(galaxy + sky, x_offset_px=0.0, y_offset_px=0.0) for sky in (0.0, -0.01)
    )
    assert lifted == pytest.approx(plain, rel=1e-9)
    assert plain > 10 * galaxy.mean() / 2


def test_every_photometry_function_asks_where_the_galaxy_is():
    functions = [
        f
        for _, f in inspect.getmembers(photometry, inspect.isfunction)
        if f.__module__ == photometry.__name__
    ]
    assert functions
    for function in functions:
        assert {"x_offset_px", "y_offset_px"} <= set(inspect.signature(function).parameters)
