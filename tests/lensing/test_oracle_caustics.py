"""The renderer at default quality against caustics: deflectors, ray tracing and source by another group.

Nothing is shared with the lenstronomy oracle but the scenes: rays and source
are caustics', and light is blurred by the PSF's transfer function from its
Bessel form, not by a kernel.
"""

import warnings

import numpy as np
import oracle_lenstronomy
import oracle_scenes
import pytest
from scipy.special import gamma, kv

from darkhaloscope.lensing.render import render_lensed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the peer's own imports warn
    torch = pytest.importorskip("torch")
    caustics = pytest.importorskip("caustics")

# caustics 1.7 hands a torch tensor to scipy, which numpy 2 will refuse one day.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

RAYS_PER_PX = 10
BETA = 3.5


def tensor(value):
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def simulator(scene):
    """Return a function from image positions to surface brightness of a source of unit flux, 1/arcsec^2."""
    cosmology = caustics.FlatLambdaCDM()
    x, y = scene["lens_x_arcsec"], scene["lens_y_arcsec"]
    at = {"x0": tensor(x), "y0": tensor(y)}
    deflectors = [
        caustics.SIE(
            cosmology=cosmology,
            q=tensor(scene["lens_q"]),
            phi=tensor(scene["lens_phi_rad"]),
            Rein=tensor(scene["theta_e_arcsec"]),
            **at,
        ),
        caustics.ExternalShear(
            cosmology=cosmology,
            gamma_1=tensor(scene["gamma1"]),
            gamma_2=tensor(scene["gamma2"]),
            **at,
        ),
    ]
    plane = caustics.SinglePlane(cosmology=cosmology, lenses=deflectors, z_l=tensor(0.5), z_s=tensor(1.5))
    plane.to(dtype=torch.float64)
    template = scene["templates"][0][:, ::-1] if scene["src_flip"] else scene["templates"][0]
    scale = scene["template_scale_arcsec"]
    source = caustics.Pixelated(
        image=tensor(template.copy()) / scale**2,
        x0=tensor(0.0),
        y0=tensor(0.0),
        pixelscale=tensor(scale),
    )
    source.to(dtype=torch.float64)
    cos, sin = np.cos(scene["src_rotation_rad"]), np.sin(scene["src_rotation_rad"])

    def brightness(image_x, image_y):
        beta_x, beta_y = plane.raytrace(tensor(image_x), tensor(image_y))
        right = beta_x - (x + scene["src_x_arcsec"])
        up = beta_y - (y + scene["src_y_arcsec"])
        return source.brightness(cos * right + sin * up, cos * up - sin * right).numpy()

    return brightness


def transfer(frequency, fwhm_arcsec):
    """Fourier transform of the Moffat at a frequency in cycles/arcsec."""
    a = fwhm_arcsec / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    x = np.maximum(2 * np.pi * frequency * a, 1e-9)
    return 2 * (x / 2) ** (BETA - 1) * kv(BETA - 1, x) / gamma(BETA - 1)


def truth(scene):
    """Image of a scene by caustics, shape (bands, size, size)."""
    size, px = scene["size_px"], scene["pixel_scale_arcsec"]
    field = size + (24 if size < 80 else 4)
    step = px / RAYS_PER_PX
    axis = (np.arange(field * RAYS_PER_PX) - (field * RAYS_PER_PX - 1) / 2) * step
    x, y = np.meshgrid(axis, axis)
    brightness_at = simulator(scene)
    brightness = brightness_at(x, y)
    assert not brightness[[0, -1]].any(), "the oracle's field is too small"
    assert not brightness[:, [0, -1]].any(), "the oracle's field is too small"
    # The image inside theta_E of a source near the caustic is thinner than the rays' spacing.
    distance = np.hypot(x - scene["lens_x_arcsec"], y - scene["lens_y_arcsec"])
    for low, high, fine in ((0.3, 1.0, 4), (0.0, 0.3, 16)):
        cells = (distance >= low) & (distance < high)
        inside = ((np.arange(fine) + 0.5) / fine - 0.5) * step
        fine_x, fine_y = np.broadcast_arrays(
            x[cells][:, None, None] + inside, y[cells][:, None, None] + inside[:, None]
        )
        brightness[cells] = brightness_at(fine_x, fine_y).mean(axis=(1, 2))
    # Zeros beyond the field: the wings of one edge do not come back at the other.
    period = 2 * field * RAYS_PER_PX
    spectrum = np.fft.rfft2(brightness, (period, period))
    frequency = np.hypot(np.fft.fftfreq(period, step)[:, None], np.fft.rfftfreq(period, step))
    table = np.linspace(0.0, frequency.max(), 20001)
    first = (field - size) // 2 * RAYS_PER_PX
    inner = slice(first, first + size * RAYS_PER_PX)
    images = []
    for fwhm, flux in zip(scene["psf_fwhm_arcsec"][0], scene["flux_nmgy"][0], strict=True):
        values = np.interp(frequency, table, transfer(table, fwhm))
        blurred = np.fft.irfft2(spectrum * values, (period, period))[inner, inner]
        images.append(flux * step**2 * blurred.reshape(size, RAYS_PER_PX, size, RAYS_PER_PX).sum(axis=(1, 3)))
    return np.array(images)


def test_two_oracles_agree():
    """So what the renderer is held to is the physics, not one code's habit."""
    for scene in oracle_scenes.sweep(9)[:9:2]:
        worst, flux, centroid = oracle_scenes.errors(truth(scene), oracle_lenstronomy.truth(scene))
        assert worst.max() < 1e-4
        assert flux.max() < 2e-4  # lenstronomy's kernel ends at 99.99 % of its flux
        assert centroid.max() < 1e-3


def test_default_quality_keeps_the_budget():
    scenes = oracle_scenes.sweep(14)
    images = [render_lensed(**scene).image[0] for scene in scenes]
    oracle_scenes.check(scenes, images, [truth(scene) for scene in scenes])


@pytest.mark.slow
def test_default_quality_keeps_the_budget_over_many_scenes():
    scenes = oracle_scenes.sweep(120, seed=13)
    images = [render_lensed(**scene).image[0] for scene in scenes]
    oracle_scenes.check(scenes, images, [truth(scene) for scene in scenes])
