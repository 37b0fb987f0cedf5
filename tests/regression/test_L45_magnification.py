"""L45: the injector normalised the arc to the source flux and so cancelled the magnification."""

import numpy as np
import pytest

from darkhaloscope.lensing.render import render_lensed, render_unlensed
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.trial import trial_scenes


def disc(radius_arcsec, scale=0.03, t=96):
    axis = (np.arange(t) - (t - 1) / 2) * scale
    image = (np.hypot(axis[:, None], axis) < radius_arcsec).astype(float)
    return (image / image.sum())[None], np.sqrt(image.sum() * scale**2 / np.pi)


def round_lens(template, offset, theta_e=1.5):
    return trial_scenes(1, size_px=101) | {
        "templates": template,
        "theta_e_arcsec": theta_e,
        "lens_q": 1.0,
        "gamma1": 0.0,
        "gamma2": 0.0,
        "src_x_arcsec": offset,
        "src_y_arcsec": 0.0,
    }


@pytest.mark.parametrize("radius", [0.2, 0.5, 0.9])
def test_l45_disc_behind_a_round_lens(radius):
    """A centred disc of radius s becomes an annulus of area 4 pi theta_E s: magnification 4 theta_E / s."""
    template, effective_radius = disc(radius)
    rendered = render_lensed(**round_lens(template, 0.0))
    assert rendered.magnification[0] == pytest.approx(4 * 1.5 / effective_radius, rel=0.01)


@pytest.mark.parametrize("offset", [0.8, 1.2])
def test_l45_small_source_off_the_axis(offset):
    """Two images inside theta_E: total magnification 2 theta_E / beta."""
    template, _ = disc(0.1)
    rendered = render_lensed(**round_lens(template, offset), quality=Sampling(2, 8))
    assert rendered.magnification[0] == pytest.approx(2 * 1.5 / offset, rel=0.01)


def test_l45_recorded_magnification_is_the_ratio_of_rendered_fluxes():
    scenes = trial_scenes(6, size_px=101)
    lensed = render_lensed(**scenes)
    unlensed = render_unlensed(
        scenes["templates"],
        template_scale_arcsec=0.03,
        size_px=101,
        pixel_scale_arcsec=0.262,
        x_arcsec=0.0,
        y_arcsec=0.0,
        rotation_rad=0.0,
        flip=False,
        psf_fwhm_arcsec=scenes["psf_fwhm_arcsec"],
        flux_nmgy=scenes["flux_nmgy"],
    )
    ratio = lensed.image.sum(axis=(2, 3)) / unlensed.image.sum(axis=(2, 3))
    np.testing.assert_allclose(ratio, np.tile(lensed.magnification[:, None], 3), rtol=0.01)
    assert (unlensed.magnification == 1).all()
