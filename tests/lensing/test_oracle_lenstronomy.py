"""The renderer at default quality against lenstronomy: the error budget over every kind of scene."""

import numpy as np
import oracle_lenstronomy
import oracle_scenes
import pytest

from darkhaloscope.lensing.reference import oracle_flux_nmgy, reference_render
from darkhaloscope.lensing.render import render_lensed


def image(scene):
    return render_lensed(**scene).image[0]


def test_oracle_is_lenstronomys_image_model():
    """The oracle shoots its rays once for all bands; ImageModel shoots them for each."""
    from lenstronomy.ImSim.image_model import ImageModel

    scene = oracle_scenes.sweep(7)[6] | {"size_px": 63}
    grid = oracle_lenstronomy.pixel_grid(63 + 24)
    for band, (fwhm, flux) in enumerate(zip(scene["psf_fwhm_arcsec"][0], scene["flux_nmgy"][0], strict=True)):
        lens, lens_kwargs, light, source_kwargs = oracle_lenstronomy.models(scene, flux)
        model = ImageModel(
            grid,
            oracle_lenstronomy.psf_of(fwhm, 3),
            lens,
            light,
            kwargs_numerics={
                "supersampling_factor": 3,
                "supersampling_convolution": True,
                "supersampling_kernel_size": None,
                "convolution_type": "fft",
            },
        )
        expected = model.image(lens_kwargs, source_kwargs)[12:-12, 12:-12]
        found = oracle_lenstronomy.truth(scene, supersampling=3, refined=False)[band]
        np.testing.assert_allclose(found, expected, atol=1e-12 * expected.max())


@pytest.mark.parametrize("offset", [0.3, 0.9, 1.4])
def test_oracles_magnification_is_the_round_lens(offset):
    """2 theta_E / beta inside theta_E, 1 + theta_E / beta outside, for a source small against both."""
    axis = (np.arange(41) - 20) * 0.005
    blob = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 0.015**2))
    scene = oracle_scenes.sweep(1)[0] | {
        "templates": (blob / blob.sum())[None],
        "template_scale_arcsec": 0.005,
        "lens_q": 1.0,
        "gamma1": 0.0,
        "gamma2": 0.0,
        "theta_e_arcsec": 1.0,
        "src_x_arcsec": 0.6 * offset,
        "src_y_arcsec": -0.8 * offset,
    }
    expected = 2 / offset if offset < 1.0 else 1 + 1 / offset
    found = oracle_lenstronomy.magnification(scene, half_arcsec=3.0)
    assert found == pytest.approx(expected, rel=3e-3)


def test_reference_is_lenstronomy():
    """The reference renderer and the oracle flux that gates use, with as many rays as the oracle here."""
    for scene in oracle_scenes.sweep(8)[:8:3]:
        expected = oracle_lenstronomy.truth(scene, supersampling=4, refined=False)
        found = reference_render(**scene, supersampling=4, margin_px=12).image[0]
        worst, flux, centroid = oracle_scenes.errors(found, expected)
        assert worst.max() < 3e-4
        assert flux.max() < 5e-4
        assert centroid.max() < 1e-3
        np.testing.assert_allclose(
            oracle_flux_nmgy(**scene, supersampling=4, margin_px=12)[0], expected.sum(axis=(1, 2)), rtol=1e-3
        )


def test_default_quality_keeps_the_budget():
    scenes = oracle_scenes.sweep(22)
    oracle_scenes.check(scenes, [image(s) for s in scenes], [oracle_lenstronomy.truth(s) for s in scenes])


@pytest.mark.parametrize("radius_px", [30.0, 47.4])
def test_light_is_not_skipped_up_to_a_sharp_edge(radius_px):
    """A disc is as bright at its edge as at its centre: a bound that cuts it short is seen."""
    axis = np.arange(96) - 47.5
    disc = np.hypot(axis[:, None], axis) < radius_px
    for number in range(2):
        rng = np.random.Generator(np.random.Philox(key=[91, number]))
        scene = oracle_scenes.scene(rng, templates=(disc / disc.sum())[None], size_px=64)
        worst, flux, _ = oracle_scenes.errors(image(scene), oracle_lenstronomy.truth(scene))
        assert worst.max() < 3e-3
        assert flux.max() < 1e-3


@pytest.mark.slow
def test_default_quality_keeps_the_budget_over_many_scenes():
    scenes = oracle_scenes.sweep(300, seed=12)
    oracle_scenes.check(scenes, [image(s) for s in scenes], [oracle_lenstronomy.truth(s) for s in scenes])
