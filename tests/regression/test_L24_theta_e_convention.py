"""L24: without sqrt(q) theta_E is too large by up to 1.73, differently in every code path."""

import numpy as np
import pytest

from darkhaloscope.lensing import sie


def jacobian_determinant(x, y, lens, h=1e-5):
    columns = []
    for dx, dy in ((h, 0.0), (0.0, h)):
        plus = np.array(sie.deflection(x + dx, y + dy, **lens))
        minus = np.array(sie.deflection(x - dx, y - dy, **lens))
        columns.append((plus - minus) / (2 * h))
    return (1 - columns[0][0]) * (1 - columns[1][1]) - columns[0][1] * columns[1][0]


@pytest.mark.parametrize("q", [0.33, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("theta_e", [0.7, 2.1])
def test_l24_critical_curve_has_the_area_of_a_circle_of_radius_theta_e(q, theta_e):
    lens = {"theta_e_arcsec": theta_e, "q": q, "phi_rad": 0.8}
    azimuth = np.linspace(0, 2 * np.pi, 721)[:-1]
    low, high = np.full(azimuth.size, 0.05 * theta_e), np.full(azimuth.size, 4 * theta_e)
    for _ in range(50):
        middle = (low + high) / 2
        outside = jacobian_determinant(middle * np.cos(azimuth), middle * np.sin(azimuth), lens) > 0
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    area = 0.5 * (low**2).sum() * (azimuth[1] - azimuth[0])
    assert np.sqrt(area / np.pi) == pytest.approx(theta_e, rel=2e-4)


def test_l24_catalogue_ellipticity_is_not_one_minus_q():
    e1, e2 = sie.ellipticity_from_axis_ratio(0.5, 0.0)
    assert (e1, e2) == (pytest.approx(1 / 3), 0.0)
