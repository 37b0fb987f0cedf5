import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from darkhaloscope.evaluation.visibility import SUBTRACTION, arc_visibility
from darkhaloscope.lensing.render import render_unlensed

SIZE, SCALE, SIGMA, SEEING = 64, 0.262, 0.004, 1.3
AXIS = np.arange(SIZE) - (SIZE - 1) / 2


def early_type(mag, r_eff_arcsec, q, seed=0, *, correlation_px=0.0):
    """A de Vaucouleurs galaxy in Moffat seeing on noise, correlated if asked."""
    fine = (np.arange(240) - 119.5) * 0.06
    x, y = fine[None, :], fine[:, None]
    radius = np.hypot(x * np.sqrt(q), y / np.sqrt(q))
    template = np.exp(-7.67 * (np.maximum(radius, 0.03) / r_eff_arcsec) ** 0.25)
    template = (template / template.sum()).astype(np.float32)[None]
    zero = np.zeros(1)
    image = render_unlensed(
        template,
        template_scale_arcsec=0.06,
        size_px=SIZE,
        pixel_scale_arcsec=SCALE,
        x_arcsec=zero,
        y_arcsec=zero,
        rotation_rad=zero,
        flip=np.zeros(1, bool),
        psf_fwhm_arcsec=np.full((1, 3), SEEING),
        flux_nmgy=np.full((1, 3), 10 ** (0.4 * (22.5 - mag))),
    )
    image = np.asarray(getattr(image, "image", image))[0, 1].astype(np.float64)
    noise = np.random.Generator(np.random.Philox(key=seed)).normal(0.0, 1.0, (SIZE, SIZE))
    if correlation_px:
        noise = gaussian_filter(noise, correlation_px, mode="wrap")
    return image + SIGMA * noise / noise.std()


def arc(mag, radius_arcsec=1.7, width_rad=0.6, turn_rad=0.8):
    x, y = AXIS[None, :], AXIS[:, None]
    radius, azimuth = np.hypot(x, y) * SCALE, np.arctan2(y, x)
    light = np.exp(-0.5 * ((radius - radius_arcsec) / 0.55) ** 2)
    light = light * np.exp((np.cos(azimuth - turn_rad) - 1.0) / width_rad**2)
    return light / light.sum() * 10 ** (0.4 * (22.5 - mag))


def snr(image):
    found = arc_visibility(
        image,
        np.full(image.shape, SIGMA**-2),
        x_offset_px=0.0,
        y_offset_px=0.0,
        psf_fwhm_arcsec=SEEING,
        pixel_scale_arcsec=SCALE,
    )
    assert found is not None
    return found.snr


@pytest.mark.parametrize("mag", [18.5, 19.5, 20.5])
def test_an_arc_raises_it_and_its_strength_counts(mag):
    galaxy = early_type(mag, 1.0, 0.8, seed=4)
    faint, bright = snr(galaxy + arc(22.5)), snr(galaxy + arc(21.0))
    assert bright > 10.0
    assert bright > 2.0 * faint


def test_the_arc_not_the_galaxy_is_in_the_footprint():
    image = early_type(19.5, 1.0, 0.8, seed=4) + arc(21.0)
    found = arc_visibility(
        image,
        np.full(image.shape, SIGMA**-2),
        x_offset_px=0.0,
        y_offset_px=0.0,
        psf_fwhm_arcsec=SEEING,
        pixel_scale_arcsec=SCALE,
    )
    x, y = np.meshgrid(AXIS, AXIS)
    azimuth = np.arctan2(y, x)[found.footprint]
    light = (image - found.model)[found.footprint]
    assert np.average(np.cos(azimuth - 0.8), weights=light) > 0.8
    assert 0.3 < found.flux_nmgy / 10 ** (0.4 * (22.5 - 21.0)) < 1.1


def test_correlated_noise_is_not_an_arc():
    # Resampled coadds have neighbouring pixels correlated by about 0.3: the spread must be measured.
    values = [snr(early_type(20.0, 0.9, 0.8, seed=k, correlation_px=0.6)) for k in range(12)]
    assert np.mean(np.array(values) > 2.0) < 0.2


def test_too_few_good_pixels_give_no_number():
    image = early_type(19.5, 1.0, 0.8)
    assert (
        arc_visibility(
            image,
            np.zeros_like(image),
            x_offset_px=0.0,
            y_offset_px=0.0,
            psf_fwhm_arcsec=SEEING,
            pixel_scale_arcsec=SCALE,
        )
        is None
    )


def test_a_stamp_without_a_galaxy_gives_no_number():
    noise = np.random.Generator(np.random.Philox(key=3)).normal(-0.5, SIGMA, (SIZE, SIZE))
    kwargs = {"psf_fwhm_arcsec": SEEING, "pixel_scale_arcsec": SCALE}
    invvar = np.full(noise.shape, SIGMA**-2)
    assert arc_visibility(noise, invvar, x_offset_px=0.0, y_offset_px=0.0, **kwargs) is None


def test_the_subtraction_is_named():
    assert "Sersic2D" in SUBTRACTION
