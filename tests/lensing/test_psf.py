"""The Moffat PSF: profile, transfer function, kernels, convolution."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import psf


@pytest.mark.parametrize("beta", [2.5, 3.0, 3.5, 4.5])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0, 4.0, 9.0])
def test_transfer_function_is_the_transform_of_the_profile(beta, x):
    a = float(psf.moffat_scale_arcsec(1.3, beta))

    def integrand(r):
        return 2 * np.pi * r * psf.moffat_profile(r, 1.3, beta) * j0(x / a * r)

    # The far tail oscillates: integrate it piece by piece.
    edges = np.linspace(0.0, 300.0 * a, 601)
    numerical = sum(quad(integrand, lo, hi)[0] for lo, hi in itertools.pairwise(edges))
    tail = 1.0 - float(psf.moffat_enclosed_flux(300.0 * a, 1.3, beta))
    assert psf.moffat_transfer(x, beta) == pytest.approx(numerical, abs=1e-9 + tail)


def test_general_order_agrees_with_the_elementary_form():
    x = np.linspace(0.0, 12.0, 40)
    np.testing.assert_allclose(psf.moffat_transfer(x, 3.5 + 1e-9), psf.moffat_transfer(x, 3.5), atol=1e-8)


def test_profile_has_its_width_and_unit_flux():
    half = psf.moffat_profile(0.65, 1.3) / psf.moffat_profile(0.0, 1.3)
    assert half == pytest.approx(0.5)
    flux = quad(lambda r: 2 * np.pi * r * psf.moffat_profile(r, 1.3), 0, 2.0)[0]
    assert flux == pytest.approx(float(psf.moffat_enclosed_flux(2.0, 1.3)))
    assert psf.moffat_enclosed_flux(psf.moffat_radius_arcsec(0.9, 1.3), 1.3) == pytest.approx(0.9)
    assert psf.moffat_scale_arcsec(0.93598) == pytest.approx(1.0, abs=1e-5)


def test_kernel_second_moment_is_isotropic_and_width_right():
    kernel = psf.moffat_kernel(1.3, 0.131)
    half = kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-15)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-15)
    row = kernel[half] / kernel[half, half]
    fwhm = 2 * np.interp(0.5, row[half:][::-1], np.arange(half, -1, -1)) * 0.131
    assert fwhm == pytest.approx(1.3, rel=0.02)


def test_even_kernel_is_refused():
    with pytest.raises(DataError, match="odd"):
        psf.convolve(np.zeros((9, 9)), np.ones((4, 4)))


def test_convolution_is_a_sum_over_shifts():
    rng = np.random.Generator(np.random.Philox(2))
    image, kernel = rng.normal(size=(7, 8)), rng.normal(size=(3, 5))
    padded = np.pad(image, ((1, 1), (2, 2)))
    expected = sum(
        kernel[1 + dy, 2 + dx] * padded[1 - dy : 8 - dy, 2 - dx : 10 - dx]
        for dy in (-1, 0, 1)
        for dx in (-2, -1, 0, 1, 2)
    )
    np.testing.assert_allclose(psf.convolve(image, kernel), expected, atol=1e-12)
