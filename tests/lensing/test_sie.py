"""The deflector against lenstronomy, caustics and its own divergence."""

import warnings

import numpy as np
import pytest

from darkhaloscope.lensing import sie

GRID = [
    (theta_e, q, phi)
    for theta_e in (0.5, 1.2, 2.5)
    for q in (0.2, 0.34, 0.5, 0.8, 0.97)
    for phi in (0.0, 0.4, 1.3, 2.9)
]


def positions(n=400):
    angle = np.linspace(0.0, 40.0, n)
    radius = np.linspace(0.02, 6.0, n)
    return radius * np.cos(angle), radius * np.sin(angle)


@pytest.mark.parametrize(("theta_e", "q", "phi"), GRID)
def test_deflection_is_lenstronomys(theta_e, q, phi):
    from lenstronomy.LensModel.lens_model import LensModel

    x, y = positions()
    e1, e2 = sie.ellipticity_from_axis_ratio(q, phi)
    kwargs = {"theta_E": theta_e, "e1": float(e1), "e2": float(e2), "center_x": 0.0, "center_y": 0.0}
    expected = LensModel(["SIE"]).alpha(x, y, [kwargs])
    found = sie.deflection(x, y, theta_e_arcsec=theta_e, q=q, phi_rad=phi)
    np.testing.assert_allclose(found, expected, atol=1e-6 * theta_e)


@pytest.mark.parametrize(("theta_e", "q", "phi"), GRID[::7])
def test_deflection_is_caustics(theta_e, q, phi):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own imports warn
        torch = pytest.importorskip("torch")
        func = pytest.importorskip("caustics.lenses.func")
    x, y = positions()
    # caustics counts the position angle from +x to the major axis and shares our theta_E.
    zero = torch.tensor(0.0, dtype=torch.float64)
    tensors = [torch.tensor(v, dtype=torch.float64) for v in (q, phi, theta_e)]
    expected = func.reduced_deflection_angle_sie(zero, zero, *tensors, torch.tensor(x), torch.tensor(y), 0.0)
    found = sie.deflection(x, y, theta_e_arcsec=theta_e, q=q, phi_rad=phi)
    np.testing.assert_allclose(found, np.array([e.numpy() for e in expected]), atol=1e-6 * theta_e)


def test_round_lens_deflects_by_theta_e_towards_the_centre():
    x, y = positions()
    alpha = np.array(sie.deflection(x, y, theta_e_arcsec=1.3, q=1.0, phi_rad=0.7))
    np.testing.assert_allclose(alpha, 1.3 * np.array([x, y]) / np.hypot(x, y), atol=1e-12)


def test_centre_is_not_a_number_only_on_paper():
    assert sie.deflection(0.0, 0.0, theta_e_arcsec=1.0, q=0.5, phi_rad=0.3) == (0.0, 0.0)


def test_divergence_is_twice_the_convergence():
    lens = {"theta_e_arcsec": 1.4, "q": 0.45, "phi_rad": 0.9}
    x, y, h = np.array([0.7, -1.1, 2.0]), np.array([0.4, 1.5, -0.3]), 1e-5
    d_xx = (sie.deflection(x + h, y, **lens)[0] - sie.deflection(x - h, y, **lens)[0]) / (2 * h)
    d_yy = (sie.deflection(x, y + h, **lens)[1] - sie.deflection(x, y - h, **lens)[1]) / (2 * h)
    np.testing.assert_allclose(d_xx + d_yy, 2 * sie.convergence(x, y, **lens), rtol=1e-7)


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9, 1.0])
def test_maximum_deflection_is_reached_and_never_passed(q):
    angle = np.linspace(0.0, 2 * np.pi, 7201)
    alpha = sie.deflection(np.cos(angle), np.sin(angle), theta_e_arcsec=1.7, q=q, phi_rad=0.0)
    largest = np.hypot(*alpha).max()
    assert largest == pytest.approx(float(sie.maximum_deflection(theta_e_arcsec=1.7, q=q)), rel=1e-6)


def test_ellipticity_and_axis_ratio_are_inverse():
    q, phi = np.array([0.2, 0.5, 0.99]), np.array([-1.2, 0.3, 1.5])
    back_q, back_phi = sie.axis_ratio_from_ellipticity(*sie.ellipticity_from_axis_ratio(q, phi))
    np.testing.assert_allclose(back_q, q)
    np.testing.assert_allclose(back_phi, phi)
