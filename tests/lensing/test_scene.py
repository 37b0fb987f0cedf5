"""Scenes: checks at the door, and the bound on where light can be."""

import numpy as np
import pytest

from darkhaloscope.errors import ContractError, DataError
from darkhaloscope.lensing import shear, sie
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.scene import Scenes, check_templates
from darkhaloscope.lensing.trial import trial_scenes

NOT_PARAMETERS = ("templates", "template_scale_arcsec", "size_px", "pixel_scale_arcsec")


def parameters(n=4, **changes):
    drawn = {k: v for k, v in trial_scenes(n).items() if k not in NOT_PARAMETERS}
    return drawn | changes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lens_q", 0.19),
        ("lens_q", 1.01),
        ("theta_e_arcsec", -0.1),
        ("gamma1", 0.6),
        ("psf_fwhm_arcsec", 0.3),
        ("psf_fwhm_arcsec", 4.5),
        ("flux_nmgy", -1.0),
        ("src_x_arcsec", np.nan),
        ("flux_nmgy", np.inf),
    ],
)
def test_bad_value_names_field_and_row(field, value):
    values = parameters()
    array = np.array(values[field])
    array[2] = value
    with pytest.raises(DataError, match=rf"field {field}, row 2"):
        Scenes.of(4, **(values | {field: array}))


def test_wrong_shape_names_the_field():
    with pytest.raises(ContractError, match="lens_q"):
        Scenes.of(4, **parameters(lens_q=np.full(3, 0.5)))
    with pytest.raises(ContractError, match="psf_fwhm_arcsec"):
        Scenes.of(4, **parameters(psf_fwhm_arcsec=np.full((4, 2), 1.2)))
    with pytest.raises(ContractError, match="flux_nmgy"):
        Scenes.of(4, **parameters(flux_nmgy=np.ones(4)))


def test_scalars_mean_all_rows():
    scenes = Scenes.of(4, **parameters(gamma1=0.01, src_flip=True))
    assert scenes.gamma1.tolist() == [0.01] * 4
    assert scenes.src_flip.all()


def test_templates_must_be_square_and_finite():
    with pytest.raises(ContractError, match="Templates"):
        check_templates(np.zeros((2, 96, 95)))
    templates = np.full((3, 8, 8), 1 / 64)
    templates[1, 2, 2] = np.nan
    with pytest.raises(DataError, match="row 1"):
        check_templates(templates)


def test_no_ray_beyond_the_reach_meets_the_template():
    scenes = Scenes.of(200, **parameters(200))
    extent = 1.4
    reach = scenes.reach_arcsec(extent)
    angle = np.linspace(0, 2 * np.pi, 721)[:, None]
    for factor in (1.0, 1.05, 1.5):
        x, y = factor * reach * np.cos(angle), factor * reach * np.sin(angle)
        alpha = sie.deflection(
            x, y, theta_e_arcsec=scenes.theta_e_arcsec, q=scenes.lens_q, phi_rad=scenes.lens_phi_rad
        )
        tide = shear.deflection(x, y, gamma1=scenes.gamma1, gamma2=scenes.gamma2)
        at_x = x - alpha[0] - tide[0] - scenes.src_x_arcsec
        at_y = y - alpha[1] - tide[1] - scenes.src_y_arcsec
        assert (np.hypot(at_x, at_y) >= extent * (1 - 1e-12)).all()


def test_misspelt_parameter_is_named():
    with pytest.raises(ContractError, match="gamma_1"):
        Scenes.of(4, **parameters(gamma_1=0.0))
    incomplete = parameters()
    del incomplete["src_flip"]
    with pytest.raises(ContractError, match="src_flip"):
        Scenes.of(4, **incomplete)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template_scale_arcsec": 0.262}, "template_scale_arcsec.*0.03 arcsec"),  # the survey's pixels
        ({"template_scale_arcsec": 0.0}, "template_scale_arcsec"),
        ({"template_scale_arcsec": np.nan}, "template_scale_arcsec"),
        ({"pixel_scale_arcsec": -0.262}, "pixel_scale_arcsec"),
        ({"size_px": 0}, "size_px"),
        ({"psf_fwhm_arcsec": np.full((2, 3), 4.96)}, "psf_fwhm_arcsec, row 0.*seeing in pixels"),
        ({"psf_fwhm_arcsec": np.zeros((2, 3))}, "psf_fwhm_arcsec, row 0"),
        ({"theta_e_arcsec": -1.0}, "theta_e_arcsec, row 0"),
        ({"theta_e_arcsec": 60.0}, "too large.*theta_e_arcsec"),
    ],
)
def test_mixed_up_units_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        render_lensed(**(trial_scenes(2) | changes))
