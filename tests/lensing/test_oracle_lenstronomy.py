"""The renderer at default quality against lenstronomy: the error budget over every kind of scene."""

import numpy as np
import oracle_lenstronomy
import oracle_scenes

from darkhaloscope.lensing.reference import oracle_flux_nmgy, reference_render


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
