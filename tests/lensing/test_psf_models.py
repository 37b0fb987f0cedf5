"""PSFs as objects: transfer functions, centres, and what is refused."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import psf
from darkhaloscope.lensing.psf_models import GaussianPsf, MeasuredPsf, MoffatPsf

PX = 0.262
FREQUENCY = np.linspace(-1.9, 1.9, 21)  # cycles/arcsec, up to the survey's Nyquist frequency


def star(n, scale, *, beta=3.5, fwhm=1.2, x0=0.0, y0=0.0):
    """Point samples of a Moffat, (x0, y0) px from the middle of the image."""
    axis = np.arange(n) - (n - 1) / 2
    radius = np.hypot(axis[None, :] - x0, axis[:, None] - y0) * scale
    return 1e4 * psf.moffat_profile(radius, fwhm, beta)


@pytest.mark.parametrize("beta", [1.5, 2.5, 3.0, 4.765, 30.0, 100.0])
def test_moffat_of_any_index_is_finite_one_at_zero_and_falls(beta):
    frequency = np.linspace(0.0, 40.0, 4001)
    transfer = MoffatPsf(1.2, beta).transfer(frequency, [0.0])[0]
    assert transfer[0] == 1.0
    assert np.isfinite(transfer).all()
    assert (np.diff(transfer) <= 0.0).all()
    assert transfer[1] > 0.5


def test_moffat_of_high_index_is_the_gaussian():
    moffat, gaussian = (p.transfer(FREQUENCY, FREQUENCY) for p in (MoffatPsf(1.2, 100.0), GaussianPsf(1.2)))
    np.testing.assert_allclose(moffat, gaussian, atol=0.005)


def test_gaussian_is_the_transform_of_its_profile():
    sigma = 1.2 / np.sqrt(8 * np.log(2))
    axis = (np.arange(801) - 400) * 0.02
    profile = np.exp(-0.5 * (axis / sigma) ** 2) * 0.02 / np.sqrt(2 * np.pi) / sigma
    waves = np.cos(2 * np.pi * np.outer(FREQUENCY, axis)) @ profile
    np.testing.assert_allclose(
        GaussianPsf(1.2).transfer(FREQUENCY, FREQUENCY), np.outer(waves, waves), atol=1e-10
    )
    half = np.exp(-0.5 * (0.6 / sigma) ** 2)
    assert half == pytest.approx(0.5)


@pytest.mark.parametrize("n", [160, 161])
@pytest.mark.parametrize(("x0", "y0"), [(0.0, 0.0), (0.5, 0.5), (-0.3, 0.6)])
def test_measured_moffat_has_the_moffats_transfer_function_wherever_its_star_stands(n, x0, y0):
    found = MeasuredPsf.of(star(n, 0.131, x0=x0, y0=y0), 0.131, holds_pixel=False)
    assert found.centroid_x_px == pytest.approx(x0, abs=0.01)
    assert found.centroid_y_px == pytest.approx(y0, abs=0.01)
    expected = MoffatPsf(1.2).transfer(FREQUENCY, FREQUENCY)
    # The image is cut at 10 arcsec, beyond which 0.05 % of the light lies.
    np.testing.assert_allclose(found.transfer(FREQUENCY, FREQUENCY), expected, atol=1e-3)


def test_transfer_of_a_lopsided_image_is_its_transform_with_its_own_axes():
    rng = np.random.Generator(np.random.Philox(5))
    image = rng.uniform(0.0, 1.0, (4, 4))
    found = MeasuredPsf.of(image, 0.2, holds_pixel=True)
    x, y = np.meshgrid(np.arange(4), np.arange(4))
    x, y = (0.2 * (grid - np.average(grid, weights=image)) for grid in (x, y))
    for fx, fy in ((0.3, 0.0), (0.0, 1.1), (-0.7, 2.0)):
        expected = (image * np.exp(-2j * np.pi * (fx * x + fy * y))).sum() / image.sum()
        np.testing.assert_allclose(found.transfer([fx], [fy])[0, 0], expected, atol=1e-12)


def test_measured_image_says_nothing_beyond_its_own_nyquist_frequency():
    found = MeasuredPsf.of(star(41, PX), PX, holds_pixel=True)
    transfer = found.transfer([0.0, 0.45 / PX, 0.55 / PX], [0.0, 0.6 / PX])
    assert transfer[0, 0] == pytest.approx(1.0)
    assert abs(transfer[0, 1]) > 0
    np.testing.assert_array_equal(transfer[0, 2], 0.0)
    np.testing.assert_array_equal(transfer[1], 0.0)


def test_extent_holds_the_light():
    for model in (MoffatPsf(1.2), MoffatPsf(0.8, 3.0), MoffatPsf(1.5, 4.765)):
        share = psf.moffat_enclosed_flux(model.extent_arcsec, model.fwhm_arcsec, model.beta)
        assert share == pytest.approx(0.9999, abs=1e-9)
    assert MoffatPsf(1.0, 2.5).extent_arcsec == 16.0
    assert 1.0 - np.exp(-0.5 * (GaussianPsf(2.0).extent_arcsec * 2.3548 / 2.0) ** 2) == pytest.approx(
        0.9999, abs=1e-6
    )
    assert MeasuredPsf.of(star(40, PX), PX, holds_pixel=True).extent_arcsec == pytest.approx(
        40 * PX / np.sqrt(2)
    )


def not_finite():
    image = star(21, PX)
    image[3, 4] = np.nan
    return image


def noise():
    return np.random.Generator(np.random.Philox(1)).normal(0.01, 1.0, (65, 65)) + 0.1


@pytest.mark.parametrize(
    ("image", "scale", "message"),
    [
        (not_finite(), PX, r"image.*finite, got 1 pixels"),
        (-star(21, PX), PX, r"sum.*positive, got -"),
        (np.zeros((21, 21)), PX, r"sum.*positive, got 0"),
        (noise(), PX, r"sum / sum of moduli.*at least 0\.5"),
        (star(21, PX, x0=2.5), PX, r"centroid.*within 1 px of the middle, got \(2\."),
        (star(21, PX)[:-1], PX, r"shape.*square, got \(20, 21\)"),
        (star(21, PX)[None], PX, r"shape.*square"),
        (star(21, PX), 0.0, r"pixel_scale_arcsec.*positive"),
    ],
)
def test_bad_image_is_refused_by_name(image, scale, message):
    with pytest.raises(DataError, match=message):
        MeasuredPsf.of(image, scale, holds_pixel=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MoffatPsf(0.0), "fwhm_arcsec"),
        (lambda: MoffatPsf(np.nan), "fwhm_arcsec"),
        (lambda: MoffatPsf(1.2, 1.4), "beta"),
        (lambda: MoffatPsf(1.2, np.nan), "beta"),
        (lambda: GaussianPsf(-1.0), "fwhm_arcsec"),
    ],
)
def test_bad_parameter_is_refused_by_name(make, message):
    with pytest.raises(DataError, match=message):
        make()
