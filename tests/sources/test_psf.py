import numpy as np
import pytest
from scipy.signal import fftconvolve

from darkhaloscope.sources.mock_cosmos import NOISE_SIGMA, write_mock_cosmos
from darkhaloscope.sources.psf import TARGET_FWHM_ARCSEC, match_psf, smoothing_sigma_px
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog

SCALE_ARCSEC = 0.03
TARGET_PX = TARGET_FWHM_ARCSEC / SCALE_ARCSEC / 2.3548


def gaussian(size, sigma_x, sigma_y=None, centre=None):
    x0, y0 = centre or ((size - 1) / 2.0, (size - 1) / 2.0)
    y, x = np.indices((size, size))
    image = np.exp(-((x - x0) ** 2) / (2 * sigma_x**2) - (y - y0) ** 2 / (2 * (sigma_y or sigma_x) ** 2))
    return image / image.sum()


def moments(image):
    y, x = np.indices(image.shape)
    total = image.sum()
    x0, y0 = (image * x).sum() / total, (image * y).sum() / total
    return x0, y0, (image * (x - x0) ** 2).sum() / total, (image * (y - y0) ** 2).sum() / total


def white(shape, key):
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(shape)


@pytest.mark.parametrize("size", [40, 41])
def test_elliptical_psf_becomes_the_round_target(size):
    psf = gaussian(size, 1.7, 1.3)
    galaxy = gaussian(101, 4.0)
    seen = fftconvolve(galaxy, gaussian(41, 1.7, 1.3), mode="same")
    x0, y0, xx, yy = moments(match_psf(seen, psf))
    assert (x0, y0) == pytest.approx((50.0, 50.0), abs=0.01)
    assert xx == pytest.approx(16.0 + TARGET_PX**2, rel=0.02)
    assert yy == pytest.approx(16.0 + TARGET_PX**2, rel=0.02)


def test_without_a_psf_the_nominal_telescope_is_widened_to_the_target():
    telescope_px = 0.11 / SCALE_ARCSEC / 2.3548
    seen = gaussian(81, telescope_px)
    _, _, xx, yy = moments(match_psf(seen, None))
    assert xx == pytest.approx(TARGET_PX**2, rel=0.01)
    assert yy == pytest.approx(TARGET_PX**2, rel=0.01)
    assert smoothing_sigma_px() == pytest.approx(0.98, abs=0.01)


@pytest.mark.parametrize("shape", [(81, 82), (60, 45)])
@pytest.mark.parametrize("psf", [None, gaussian(41, 1.6)])
def test_flux_and_position_are_kept(shape, psf):
    image = np.zeros(shape)
    image[shape[0] // 2 - 3 : shape[0] // 2 + 4, shape[1] // 2 - 3 : shape[1] // 2 + 4] = gaussian(7, 2.5)
    matched = match_psf(image, psf)
    assert matched.shape == shape
    assert matched.sum() == pytest.approx(image.sum(), rel=0.01)
    assert moments(matched)[:2] == pytest.approx(moments(image)[:2], abs=0.05)


@pytest.mark.parametrize("psf", [None, gaussian(41, 1.55)])
def test_noise_beyond_the_telescopes_band_limit_is_gone(psf):
    """D / lambda is 0.43 cycles per pixel; what lies there is noise and costs the renderer accuracy."""
    sky = match_psf(white((128, 128), 5), psf)
    power = np.abs(np.fft.fft2(sky)) ** 2
    f = np.fft.fftfreq(128)
    beyond = np.hypot(f[:, None], f[None, :]) > 0.43
    assert power[beyond].sum() < 0.002 * power.sum()
    assert sky.std() < 0.5


def test_noise_is_bounded_where_the_telescope_passes_nothing():
    assert match_psf(white((120, 120), 6), gaussian(61, 4.0)).std() < 10.0


def galsim_images(galsim, rng):
    """A knotty galaxy seen by an ACS-like telescope, its PSF, and the truth at the target resolution."""
    telescope = galsim.Convolve(
        galsim.OpticalPSF(
            lam=814.0,
            diam=2.4,
            obscuration=0.33,
            aberrations=[0.0] * 4 + list(0.012 * rng.standard_normal(7)),
        ),
        galsim.Gaussian(fwhm=0.05),
        galsim.Pixel(0.05),
    )
    galaxy = galsim.Exponential(half_light_radius=0.3, flux=20.0).shear(q=0.6, beta=0.5 * galsim.radians)
    for _ in range(6):
        galaxy += galsim.Gaussian(sigma=0.03, flux=0.8).shift(*(0.25 * rng.standard_normal(2)))
    target = galsim.Gaussian(fwhm=TARGET_FWHM_ARCSEC)

    def draw(thing, size):
        return thing.drawImage(nx=size, ny=size, scale=SCALE_ARCSEC, method="no_pixel").array.astype(float)

    seen, truth = (draw(galsim.Convolve(galaxy, psf), 140) for psf in (telescope, target))
    return seen, draw(telescope, 81), truth


def galsim_match(galsim, seen, psf):
    image, kernel = (galsim.InterpolatedImage(galsim.Image(a, scale=SCALE_ARCSEC)) for a in (seen, psf))
    bare = galsim.Convolve(image, galsim.Deconvolve(kernel.withFlux(1.0)))
    seen_by_target = galsim.Convolve(bare, galsim.Gaussian(fwhm=TARGET_FWHM_ARCSEC))
    ny, nx = seen.shape
    return seen_by_target.drawImage(nx=nx, ny=ny, scale=SCALE_ARCSEC, method="no_pixel").array


def test_agrees_with_galsim_and_passes_no_more_noise():
    galsim = pytest.importorskip("galsim")
    rng = np.random.Generator(np.random.Philox(key=11))
    for _ in range(3):
        seen, psf, truth = galsim_images(galsim, rng)
        theirs = galsim_match(galsim, seen, psf)
        assert np.abs(match_psf(seen, psf) - theirs).max() < 1e-3 * truth.max()
        assert np.abs(match_psf(seen, psf) - truth).max() < 0.06 * truth.max()
        noise = rng.standard_normal(seen.shape)
        assert match_psf(noise, psf).std() < 1.01 * galsim_match(galsim, noise, psf).std() < 0.5


def test_a_written_catalogue_is_galsims_and_its_realgalaxy_agrees(tmp_path):
    galsim = pytest.importorskip("galsim")
    write_mock_cosmos(tmp_path, 12, seed=1)
    known = galsim.RealGalaxyCatalog("real_galaxy_catalog_mock.fits", dir=str(tmp_path))
    with RealGalaxyCatalog.open(tmp_path) as catalog:
        for row in range(12):
            stamp = catalog.stamp(row).astype(float)
            if not np.isfinite(stamp).all():
                continue
            galaxy = galsim.Convolve(
                galsim.RealGalaxy(known, index=row), galsim.Gaussian(fwhm=TARGET_FWHM_ARCSEC)
            )
            ny, nx = stamp.shape
            theirs = galaxy.drawImage(nx=nx, ny=ny, scale=SCALE_ARCSEC, method="no_pixel").array
            ours = match_psf(stamp, catalog.psf(row).astype(float))
            inner = slice(8, -8)
            assert np.abs(ours - theirs)[inner, inner].max() < max(1e-3 * ours.max(), 0.1 * NOISE_SIGMA)
