"""Mass models: one interface, the functions under it, and the peers' composites."""

import warnings

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import epl, shear, sie
from darkhaloscope.lensing.mass import Composite, PointMass, PowerLaw, Shear, Sie, point_mass_deflection

X, Y = (grid.ravel() for grid in np.meshgrid(np.linspace(-3.1, 3.0, 23), np.linspace(-2.7, 3.2, 23)))


def test_objects_are_the_functions_about_their_place():
    dx, dy = X - 0.3, Y + 0.2
    ellipse = {"theta_e_arcsec": 1.3, "q": 0.6, "phi_rad": 0.8}
    place = {"x_arcsec": 0.3, "y_arcsec": -0.2}
    for found, expected in (
        (Sie(**ellipse, **place), sie.deflection(dx, dy, **ellipse)),
        (PowerLaw(**ellipse, slope=1.7, **place), epl.deflection(dx, dy, **ellipse, slope=1.7)),
        (Shear(0.1, -0.05, **place), shear.deflection(dx, dy, gamma1=0.1, gamma2=-0.05)),
        (PointMass(0.4, **place), point_mass_deflection(dx, dy, theta_e_arcsec=0.4)),
    ):
        np.testing.assert_array_equal(found.deflection(X, Y), expected)


def test_composite_is_lenstronomys():
    from lenstronomy.LensModel.lens_model import LensModel

    e1, e2 = sie.ellipticity_from_axis_ratio(0.55, 2.2)
    model = LensModel(["EPL", "SHEAR", "POINT_MASS", "SIE"])
    expected = model.alpha(
        X,
        Y,
        [
            {"theta_E": 1.4, "gamma": 2.2, "e1": e1, "e2": e2, "center_x": 0.1, "center_y": -0.05},
            {"gamma1": 0.07, "gamma2": -0.11, "ra_0": 0.1, "dec_0": -0.05},
            {"theta_E": 0.15, "center_x": 1.2, "center_y": 0.7},
            {"theta_E": 0.3, "e1": 0.0, "e2": 0.0, "center_x": -1.7, "center_y": 1.1},
        ],
    )
    found = Composite(
        (
            PowerLaw(1.4, 0.55, 2.2, 2.2, 0.1, -0.05),
            Shear(0.07, -0.11, 0.1, -0.05),
            PointMass(0.15, 1.2, 0.7),
            Sie(0.3, x_arcsec=-1.7, y_arcsec=1.1),
        )
    ).deflection(X, Y)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_point_mass_and_shear_are_caustics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own imports warn
        torch = pytest.importorskip("torch")
        func = pytest.importorskip("caustics.lenses.func")
    x, y = torch.tensor(X), torch.tensor(Y)
    x0, y0, theta_e = (torch.tensor(v, dtype=torch.float64) for v in (0.4, -0.3, 0.7))
    expected = func.reduced_deflection_angle_point(x0, y0, theta_e, x, y, 0.0)
    found = PointMass(0.7, 0.4, -0.3).deflection(X, Y)
    np.testing.assert_allclose(found, np.array([e.numpy() for e in expected]), atol=1e-12)
    g1, g2 = (torch.tensor(v, dtype=torch.float64) for v in (0.08, -0.03))
    expected = func.reduced_deflection_angle_external_shear(x0, y0, g1, g2, x, y)
    found = Shear(0.08, -0.03, 0.4, -0.3).deflection(X, Y)
    np.testing.assert_allclose(found, np.array([e.numpy() for e in expected]), atol=1e-12)


def test_point_mass_bends_by_its_einstein_radius_and_not_at_its_place():
    mass = PointMass(0.5, 1.0, 2.0)
    np.testing.assert_allclose(mass.deflection(1.5, 2.0), (0.5, 0.0), atol=1e-12)
    np.testing.assert_array_equal(mass.deflection(1.0, 2.0), (0.0, 0.0))


def test_nothing_deflects_nothing_and_composites_nest():
    np.testing.assert_array_equal(Composite(()).deflection(X, Y), np.zeros((2, X.size)))
    one, two = Sie(1.0, 0.7), PointMass(0.2, 0.5)
    nested = Composite((Composite((one,)), Composite((two, Composite(())))))
    np.testing.assert_allclose(
        nested.deflection(X, Y), np.add(one.deflection(X, Y), two.deflection(X, Y)), atol=1e-15
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Sie(-1.0), "theta_e_arcsec"),
        (lambda: Sie(1.0, 0.1), "q"),
        (lambda: Sie(1.0, phi_rad=np.nan), "phi_rad"),
        (lambda: PowerLaw(1.0, slope=3.0), "slope"),
        (lambda: PowerLaw(np.inf), "theta_e_arcsec"),
        (lambda: PointMass(0.1, x_arcsec=np.nan), "x_arcsec"),
        (lambda: Shear(0.8, 0.7), "gamma1, gamma2"),
        (lambda: Shear(np.nan, 0.0), "gamma1"),
    ],
)
def test_bad_parameter_is_named(make, field):
    with pytest.raises(DataError, match=field):
        make()
