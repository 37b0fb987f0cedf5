"""Profiles against analytic light curves, brute-force convolution and each other."""

import numpy as np
import pytest
from scipy.special import gammainc, gammaincinv

from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC
from darkhaloscope.survey.mock.profiles import (
    MOFFAT_BETA,
    SERSIC_INDICES,
    Profiles,
    aperture_fraction,
    convolve_cells,
    render_profiles,
    sersic_mixture,
)

ROUND_PSF = np.zeros((1, 2))


def one(index: float, radius: float = 1.0, q: float = 1.0, angle: float = 0.0) -> Profiles:
    return Profiles(
        np.array([SERSIC_INDICES.index(index)]), np.array([radius]), np.array([q]), np.array([angle])
    )


def render(profiles, size=64, x=0.0, y=0.0, fwhm=1.3, flux=1.0, psf_e=ROUND_PSF):
    image = render_profiles(
        profiles,
        size=size,
        x_offset_px=np.array([x]),
        y_offset_px=np.array([y]),
        fwhm_arcsec=np.array([[fwhm]]),
        flux_nmgy=np.array([[flux]]),
        psf_e=psf_e,
    )
    return image[0, 0].astype(float)


@pytest.mark.parametrize("index", SERSIC_INDICES[1:])
def test_mixture_encloses_the_light_of_a_sersic_profile(index):
    weight, sigma = sersic_mixture(index)
    b = gammaincinv(2 * index, 0.5)
    radius = np.array([0.1, 0.3, 1.0, 3.0, 8.0])
    enclosed = (weight * (1 - np.exp(-0.5 * (radius[:, None] / sigma) ** 2))).sum(axis=1)
    truth = gammainc(2 * index, b * radius ** (1 / index))
    assert enclosed == pytest.approx(truth, abs=1e-2 if index > 4 else 5e-4)


@pytest.mark.parametrize(("size", "x", "y"), [(48, 0.0, 0.0), (64, 0.31, -0.44), (96, -0.5, 0.5)])
def test_a_star_keeps_its_flux_place_and_width(size, x, y):
    image = render(one(0.0), size=size, x=x, y=y, fwhm=1.25)
    rows, columns = np.indices(image.shape) - (size - 1) / 2
    near = np.hypot(columns - x, rows - y) < 12
    assert image.sum() == pytest.approx(1.0, abs=1e-4)
    assert (image * columns)[near].sum() / image[near].sum() == pytest.approx(x, abs=0.02)
    assert (image * rows)[near].sum() / image[near].sum() == pytest.approx(y, abs=0.02)
    fine = (np.arange(size * 5) - (size * 5 - 1) / 2) / 5
    radius = np.hypot(fine[None, :] - x, fine[:, None] - y) * PIXEL_SCALE_ARCSEC
    width = 1.25 / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    moffat = (MOFFAT_BETA - 1) / (np.pi * width**2) * (1 + (radius / width) ** 2) ** -MOFFAT_BETA
    averaged = moffat.reshape(size, 5, size, 5).mean(axis=(1, 3)) * PIXEL_SCALE_ARCSEC**2
    assert np.abs(image - averaged).max() < 0.002 * averaged.max()


def test_an_inclined_galaxy_matches_a_brute_force_convolution():
    fine, size, fwhm = 8, 48, 1.2
    scale = PIXEL_SCALE_ARCSEC / fine
    axis = (np.arange(size * fine) - (size * fine - 1) / 2) * scale
    x, y = np.meshgrid(axis, axis)
    angle, q, radius = 0.6, 0.5, 0.9
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / q
    b = gammaincinv(2.0, 0.5)
    galaxy = np.exp(-b * np.hypot(along, across) / radius)
    galaxy /= galaxy.sum()
    width = fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    kernel = (1 + (x**2 + y**2) / width**2) ** -MOFFAT_BETA
    kernel /= kernel.sum()
    blurred = np.fft.fftshift(np.fft.irfft2(np.fft.rfft2(galaxy) * np.fft.rfft2(kernel), s=galaxy.shape))
    # Both grids are centred between pixels, so the product lies one fine pixel to the lower left.
    blurred = np.roll(blurred, (1, 1), axis=(0, 1)) * 0.25 + 0.75 * blurred
    native = blurred.reshape(size, fine, size, fine).sum(axis=(1, 3))
    image = render(one(1.0, radius, q, angle), size=size, fwhm=fwhm)
    assert np.abs(image - native).max() < 0.02 * native.max()


def test_cells_and_profiles_agree_on_a_disc():
    x0, y0, fine = 2.7, -1.3, 8
    axis = (np.arange(128 * fine) - (128 * fine - 1) / 2) / (2 * fine)
    b = gammaincinv(2.0, 0.5)
    radius = np.hypot(axis[None, :] - x0, axis[:, None] - y0) * PIXEL_SCALE_ARCSEC
    disc = np.exp(-b * radius / 0.6)
    cells = (disc / disc.sum()).reshape(128, fine, 128, fine).sum(axis=(1, 3))
    image = convolve_cells(
        cells[None], x_offset_px=0.2, y_offset_px=-0.1, fwhm_arcsec=np.array([1.3]), psf_e=ROUND_PSF
    )[0]
    profile = render(one(1.0, 0.6), x=x0 + 0.2, y=y0 - 0.1)
    assert np.abs(image - profile).max() < 2e-3 * profile.max()


def test_psf_shear_stretches_the_star():
    image = render(one(0.0), psf_e=np.array([[0.05, 0.0]]))
    rows, columns = np.indices(image.shape) - 31.5
    weight = image * np.exp(-(rows**2 + columns**2) / 50)
    assert (weight * columns**2).sum() > 1.05 * (weight * rows**2).sum()


@pytest.mark.parametrize("index", [0.0, 1.0, 4.0])
def test_aperture_fraction_is_the_light_inside_the_circle(index):
    image = render(one(index, 0.8), size=256, fwhm=1.0)
    radius = np.hypot(*(np.indices(image.shape) - 127.5)) * PIXEL_SCALE_ARCSEC
    inside = image[radius < 3.0].sum()
    fraction = aperture_fraction(one(index, 0.8), radius_arcsec=3.0, fwhm_arcsec=np.array([1.0]))[0]
    assert fraction == pytest.approx(inside, abs=0.01)
