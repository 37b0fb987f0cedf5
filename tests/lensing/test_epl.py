"""The elliptical power law against lenstronomy, caustics, the SIE and its own divergence."""

import itertools
import warnings

import numpy as np
import pytest

from darkhaloscope.lensing import epl, sie

GRID = list(
    itertools.product((0.6, 2.1), (0.2, 0.45, 0.8, 1.0), (0.0, 1.1, 2.7), (1.2, 1.5, 1.8, 2.0, 2.2, 2.5, 2.8))
)


def positions(n=300):
    angle, radius = np.linspace(0.0, 40.0, n), np.linspace(0.02, 6.0, n)
    return radius * np.cos(angle), radius * np.sin(angle)


@pytest.mark.parametrize(("theta_e", "q", "phi", "slope"), GRID)
def test_deflection_is_lenstronomys(theta_e, q, phi, slope):
    from lenstronomy.LensModel.lens_model import LensModel

    x, y = positions()
    e1, e2 = sie.ellipticity_from_axis_ratio(q, phi)
    kwargs = {"theta_E": theta_e, "gamma": slope, "e1": float(e1), "e2": float(e2)}
    expected = LensModel(["EPL"]).alpha(x, y, [kwargs])
    found = epl.deflection(x, y, theta_e_arcsec=theta_e, q=q, phi_rad=phi, slope=slope)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * theta_e)


@pytest.mark.parametrize(("theta_e", "q", "phi", "slope"), [g for g in GRID if g[1] < 1][::11])
def test_deflection_is_caustics(theta_e, q, phi, slope):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own imports warn
        torch = pytest.importorskip("torch")
        func = pytest.importorskip("caustics.lenses.func")
    x, y = positions()
    zero = torch.tensor(0.0, dtype=torch.float64)
    tensors = [torch.tensor(v, dtype=torch.float64) for v in (q, phi, theta_e, slope - 1.0)]
    expected = func.reduced_deflection_angle_epl(
        zero, zero, *tensors, torch.tensor(x), torch.tensor(y), n_iter=90
    )
    found = epl.deflection(x, y, theta_e_arcsec=theta_e, q=q, phi_rad=phi, slope=slope)
    np.testing.assert_allclose(found, np.array([e.numpy() for e in expected]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("q", [0.2, 0.5, 0.99, 1.0])
def test_slope_two_is_the_sie(q):
    x, y = positions()
    lens = {"theta_e_arcsec": 1.4, "q": q, "phi_rad": 0.9}
    np.testing.assert_allclose(
        epl.deflection(x, y, **lens, slope=2.0), sie.deflection(x, y, **lens), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        epl.convergence(x, y, **lens, slope=2.0), sie.convergence(x, y, **lens), rtol=1e-12
    )


@pytest.mark.parametrize("slope", [1.3, 1.9, 2.6])
def test_divergence_is_twice_the_convergence(slope):
    lens = {"theta_e_arcsec": 1.4, "q": 0.45, "phi_rad": 0.9, "slope": slope}
    x, y, h = np.array([0.7, -1.1, 2.0]), np.array([0.4, 1.5, -0.3]), 1e-5
    d_xx = (epl.deflection(x + h, y, **lens)[0] - epl.deflection(x - h, y, **lens)[0]) / (2 * h)
    d_yy = (epl.deflection(x, y + h, **lens)[1] - epl.deflection(x, y - h, **lens)[1]) / (2 * h)
    np.testing.assert_allclose(d_xx + d_yy, 2 * epl.convergence(x, y, **lens), rtol=1e-7)


@pytest.mark.parametrize("slope", [1.2, 2.0, 2.8])
def test_theta_e_is_the_einstein_radius_of_a_round_lens_of_any_slope(slope):
    alpha, _ = epl.deflection(1.7, 0.0, theta_e_arcsec=1.7, q=1.0, phi_rad=0.0, slope=slope)
    assert alpha == pytest.approx(1.7, rel=1e-12)


@pytest.mark.parametrize("slope", [1.5, 2.5])
def test_centre_is_zero(slope):
    lens = {"theta_e_arcsec": 1.0, "q": 0.5, "phi_rad": 0.3, "slope": slope}
    assert epl.deflection(0.0, 0.0, **lens) == (0.0, 0.0)
