"""Critical curves, caustics and magnification: closed forms, their limits, and lenstronomy."""

import itertools

import numpy as np
import pytest
from matplotlib.path import Path

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import critical, shear, sie

LENSES = [
    {"theta_e_arcsec": theta_e, "q": q, "phi_rad": phi, "gamma1": g1, "gamma2": g2} | centre
    for (theta_e, q, phi), (g1, g2), centre in zip(
        itertools.product((0.7, 2.2), (0.2, 0.6, 0.95), (0.0, 0.8, 2.4)),
        itertools.cycle([(0.0, 0.0), (0.06, -0.03), (-0.2, 0.15)]),
        itertools.cycle([{}, {"lens_x_arcsec": 0.3, "lens_y_arcsec": -0.2}]),
        strict=False,
    )
]


def lenstronomy_lens(lens):
    from lenstronomy.LensModel.lens_model import LensModel

    e1, e2 = sie.ellipticity_from_axis_ratio(lens["q"], lens["phi_rad"])
    x, y = lens.get("lens_x_arcsec", 0.0), lens.get("lens_y_arcsec", 0.0)
    sie_kwargs = {"theta_E": lens["theta_e_arcsec"], "e1": float(e1), "e2": float(e2)}
    # Its SIE differentiates numerically, to 1e-5; its power law of slope 2 in closed form.
    return LensModel(["EPL", "SHEAR"]), [
        sie_kwargs | {"gamma": 2.0, "center_x": x, "center_y": y},
        {"gamma1": lens["gamma1"], "gamma2": lens["gamma2"], "ra_0": x, "dec_0": y},
    ]


def positions(n=200):
    angle, radius = np.linspace(0.1, 40.0, n), np.linspace(0.05, 5.0, n)
    return radius * np.cos(angle), radius * np.sin(angle)


@pytest.mark.parametrize("lens", LENSES)
def test_jacobian_and_magnification_are_lenstronomys(lens):
    model, kwargs = lenstronomy_lens(lens)
    x, y = positions()
    f_xx, f_xy, _, f_yy = model.hessian(x, y, kwargs)
    a_xx, a_xy, a_yy = critical.jacobian(x, y, **lens)
    for found, expected in ((a_xx, 1 - f_xx), (a_xy, -f_xy), (a_yy, 1 - f_yy)):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    inverse = 1.0 / critical.magnification(x, y, **lens)
    np.testing.assert_allclose(inverse, a_xx * a_yy - a_xy**2, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(inverse, 1.0 / model.magnification(x, y, kwargs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lens", LENSES[1::5])
def test_curves_are_lenstronomys(lens):
    from lenstronomy.LensModel.lens_model_extensions import LensModelExtensions

    model, kwargs = lenstronomy_lens(lens)
    step = 0.02
    crit_x, crit_y, caus_x, caus_y = LensModelExtensions(model).critical_curve_caustics(
        kwargs, compute_window=12.0, grid_scale=step
    )
    found = critical.critical_curve(**lens, points=4001)
    caustic = critical.caustics(**lens, points=4001).tangential
    # The contour of the tangential curve is the longest one it finds; it is as good as its grid.
    longest = int(np.argmax([len(c) for c in crit_x]))
    for ours, x, y in (
        (found, crit_x[longest], crit_y[longest]),
        (caustic, caus_x[longest], caus_y[longest]),
    ):
        theirs = np.stack([x, y], axis=1)
        gap = np.linalg.norm(theirs[:, None] - ours[None], axis=2)
        assert gap.min(axis=1).max() < step
        assert gap.min(axis=0).max() < 2 * step


def test_round_lens_has_a_ring_and_a_point():
    lens = {"theta_e_arcsec": 1.3, "q": 1.0, "phi_rad": 0.4, "lens_x_arcsec": 0.2, "lens_y_arcsec": 0.1}
    centre = np.array([0.2, 0.1])
    np.testing.assert_allclose(np.hypot(*(critical.critical_curve(**lens) - centre).T), 1.3, rtol=1e-12)
    tangential, cut = critical.caustics(**lens)
    np.testing.assert_allclose(tangential - centre, 0.0, atol=1e-12)
    np.testing.assert_allclose(np.hypot(*(cut - centre).T), 1.3, rtol=1e-12)


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_critical_curve_of_an_sie_is_where_convergence_is_half(q):
    lens = {"theta_e_arcsec": 1.7, "q": q, "phi_rad": 1.1}
    curve = critical.critical_curve(**lens)
    np.testing.assert_allclose(sie.convergence(*curve.T, **lens), 0.5, rtol=1e-12)
    assert (curve[0] == curve[-1]).all()


def test_astroid_cusps_and_cut_of_an_sie():
    """Kormann et al. 1994, sect. 3: both curves on the axes, in our normalisation."""
    q, b = 0.6, 1.4 * np.sqrt(0.6)
    f = np.sqrt(1 - q * q)
    tangential, cut = critical.caustics(theta_e_arcsec=1.4, q=q, phi_rad=0.0, points=3601)
    assert tangential[:, 0].max() == pytest.approx(b / q - b / f * np.arctan(f / q), abs=1e-9)
    assert tangential[:, 1].max() == pytest.approx(b / f * np.arctanh(f) - b, abs=1e-9)
    assert cut[:, 0].max() == pytest.approx(b / f * np.arctan(f / q), abs=1e-9)
    assert cut[:, 1].max() == pytest.approx(b / f * np.arctanh(f), abs=1e-9)


@pytest.mark.parametrize("beta", [0.1, 0.6, 1.1])
def test_images_of_a_round_lens(beta):
    found = critical.images(
        beta * 0.6, beta * 0.8, theta_e_arcsec=1.2, q=1.0, phi_rad=0.0, lens_x_arcsec=0.5, lens_y_arcsec=-0.4
    )
    np.testing.assert_allclose(found.x_arcsec, 0.5 + 0.6 * np.array([beta + 1.2, beta - 1.2]), atol=1e-9)
    np.testing.assert_allclose(found.y_arcsec, -0.4 + 0.8 * np.array([beta + 1.2, beta - 1.2]), atol=1e-9)
    np.testing.assert_allclose(found.magnification, [1 + 1.2 / beta, 1 - 1.2 / beta], rtol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
def test_images_map_back_and_their_number_follows_the_caustics(lens):
    centre = np.array([lens.get("lens_x_arcsec", 0.0), lens.get("lens_y_arcsec", 0.0)])
    curves = critical.caustics(**lens, points=2001)
    inside = [Path(curve) for curve in curves]
    s = {k: lens[k] for k in ("theta_e_arcsec", "q", "phi_rad")}
    rng = np.random.Generator(np.random.Philox(3))
    counts = set()
    for source in rng.uniform(-1.3, 1.3, (30, 2)) * lens["theta_e_arcsec"]:
        point = source + centre
        if any(np.linalg.norm(curve - point, axis=1).min() < 0.02 for curve in curves):
            continue
        found = critical.images(*source, **lens)
        x, y = found.x_arcsec - centre[0], found.y_arcsec - centre[1]
        alpha = np.array(sie.deflection(x, y, **s))
        gamma = np.array(shear.deflection(x, y, gamma1=lens["gamma1"], gamma2=lens["gamma2"]))
        np.testing.assert_allclose(
            np.array([x, y]) - alpha - gamma, np.tile(source[:, None], x.size), atol=1e-8
        )
        expected = 1 + 2 * inside[0].contains_point(point) + inside[1].contains_point(point)
        assert x.size == expected
        counts.add(x.size)
    assert len(counts) >= 2


def test_magnification_on_the_deflector_is_zero_and_on_the_curve_huge():
    lens = {"theta_e_arcsec": 1.0, "q": 0.7, "phi_rad": 0.3, "gamma1": 0.05, "gamma2": 0.02}
    assert critical.magnification(0.0, 0.0, **lens) == 0.0
    curve = critical.critical_curve(**lens)
    assert (np.abs(critical.magnification(*curve.T, **lens)) > 1e9).all()
    assert (critical.magnification(*(1.1 * curve.T), **lens) > 0).all()
    assert (critical.magnification(*(0.9 * curve.T), **lens) < 0).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("theta_e_arcsec", 0.0),
        ("theta_e_arcsec", np.nan),
        ("q", 1.2),
        ("q", 0.1),
        ("gamma1", 1.0),
        ("phi_rad", np.nan),
    ],
)
def test_bad_deflector_is_named(field, value):
    lens = {"theta_e_arcsec": 1.0, "q": 0.7, "phi_rad": 0.3, "gamma1": 0.0, "gamma2": 0.0} | {field: value}
    with pytest.raises(DataError, match=field):
        critical.caustics(**lens)


def test_source_on_the_axis_of_a_round_lens_has_no_points():
    with pytest.raises(DataError, match="ring"):
        critical.images(0.0, 0.0, theta_e_arcsec=1.0, q=1.0, phi_rad=0.0)
