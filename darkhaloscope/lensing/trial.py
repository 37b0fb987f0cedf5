"""Trial scenes: synthetic sources behind deflectors of every kind, to test and time renderers.

Not a population: parameters cover the range in use evenly, and scene i is the
same whatever the number of scenes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

TEMPLATE_PX = 96
TEMPLATE_SCALE_ARCSEC = 0.03
_HST_FWHM_ARCSEC = 0.11


def trial_template(
    rng: np.random.Generator, half_light_range_arcsec: tuple[float, float] = (0.1, 0.6)
) -> FloatArray:
    """Draw a clumpy Sersic galaxy as the Hubble telescope sees it, noise included.

    Sersic index 0.7 to 2.5, up to 11 clumps, 0.11 arcsec FWHM blur, noise of
    0.2 to 2 % of the peak.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    half_light_range_arcsec : (float, float)
        Range of the half-light radius, before the blur.

    Returns
    -------
    ndarray, shape (96, 96)
        Sum 1.
    """
    from scipy.ndimage import gaussian_filter

    axis = (np.arange(TEMPLATE_PX) - (TEMPLATE_PX - 1) / 2.0) * TEMPLATE_SCALE_ARCSEC
    x, y = np.meshgrid(axis, axis)
    half_light_arcsec = rng.uniform(*half_light_range_arcsec)
    index = rng.choice([0.7, 1.0, 1.5, 2.5])
    q, angle = rng.uniform(0.4, 1.0), rng.uniform(0.0, np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    radius = np.sqrt(q * along**2 + across**2 / q) / half_light_arcsec
    image = np.exp(-(2.0 * index - 1.0 / 3.0) * (radius ** (1.0 / index) - 1.0))
    for _ in range(rng.integers(0, 12)):
        clump_x, clump_y = rng.normal(0.0, half_light_arcsec, 2)
        width = rng.uniform(0.045, 0.12)
        clump = np.exp(-((x - clump_x) ** 2 + (y - clump_y) ** 2) / (2.0 * width**2))
        image += rng.uniform(0.1, 0.6) * image.max() * clump
    image = gaussian_filter(image, _HST_FWHM_ARCSEC / 2.355 / TEMPLATE_SCALE_ARCSEC)
    image += rng.uniform(0.002, 0.02) * image.max() * rng.standard_normal(image.shape)
    image *= np.hypot(x, y) < 0.48 * TEMPLATE_PX * TEMPLATE_SCALE_ARCSEC
    return np.asarray(image / image.sum())


def trial_scenes(
    n: int,
    *,
    seed: int = 1,
    size_px: int = 64,
    pixel_scale_arcsec: float = 0.262,
    fwhm_arcsec: tuple[float, ...] = (1.45, 1.30, 1.25),
) -> dict[str, Any]:
    """Draw the arguments of ``render_lensed`` for n scenes.

    theta_E 0.5 to 2.5 arcsec, q 0.5 to 0.97, shear up to 0.08, source within
    0.5 theta_E, deflector scattered by 0.05 arcsec about the stamp centre, seeing
    within 0.1 arcsec of ``fwhm_arcsec``.

    Parameters
    ----------
    n : int
        Number of scenes.
    seed : int
        Seed.
    size_px, pixel_scale_arcsec
        Stamp.
    fwhm_arcsec : tuple of float, length bands
        Mean seeing per band.

    Returns
    -------
    dict
        Keyword arguments, templates included; arrays of n rows.
    """
    rows = [_trial_scene(generator(seed, "trial_scene", str(i)), fwhm_arcsec) for i in range(n)]
    return _batch(rows, size_px, pixel_scale_arcsec)


def hard_scenes(
    n: int,
    *,
    seed: int = 1,
    size_px: int = 64,
    pixel_scale_arcsec: float = 0.262,
    bands: int = 3,
) -> dict[str, Any]:
    """Draw the arguments of ``render_lensed`` for n scenes over the whole range promised.

    theta_E 0.3 to 3.5 arcsec, q 0.2 to 1, shear up to 0.2, source half-light
    radius 0.05 to 0.8 arcsec within 1.3 theta_E of the deflector, deflector
    within half a pixel of the stamp centre, seeing 0.6 to 2.5 arcsec in each
    band on its own.

    Parameters
    ----------
    n, seed, size_px, pixel_scale_arcsec
        As in :func:`trial_scenes`.
    bands : int
        Number of bands.

    Returns
    -------
    dict
        Keyword arguments, templates included; arrays of n rows.
    """
    rows = [
        _hard_scene(generator(seed, "hard_scene", str(i)), bands, 0.5 * pixel_scale_arcsec) for i in range(n)
    ]
    return _batch(rows, size_px, pixel_scale_arcsec)


def _batch(rows: list[dict[str, Any]], size_px: int, pixel_scale_arcsec: float) -> dict[str, Any]:
    scenes: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    scenes["templates"] = scenes["templates"].astype(np.float32)
    return scenes | {
        "template_scale_arcsec": TEMPLATE_SCALE_ARCSEC,
        "size_px": size_px,
        "pixel_scale_arcsec": pixel_scale_arcsec,
    }


def _hard_scene(rng: np.random.Generator, bands: int, lens_scatter_arcsec: float) -> dict[str, Any]:
    theta_e = rng.uniform(0.3, 3.5)
    shear, shear_angle = rng.uniform(0.0, 0.2), rng.uniform(0.0, np.pi)
    offset, azimuth = 1.3 * theta_e * np.sqrt(rng.uniform()), rng.uniform(0.0, 2.0 * np.pi)
    return {
        "templates": trial_template(rng, (0.05, 0.8)),
        "theta_e_arcsec": theta_e,
        "lens_q": rng.uniform(0.2, 1.0),
        "lens_phi_rad": rng.uniform(0.0, np.pi),
        "gamma1": shear * np.cos(2.0 * shear_angle),
        "gamma2": shear * np.sin(2.0 * shear_angle),
        "lens_x_arcsec": rng.uniform(-lens_scatter_arcsec, lens_scatter_arcsec),
        "lens_y_arcsec": rng.uniform(-lens_scatter_arcsec, lens_scatter_arcsec),
        "src_x_arcsec": offset * np.cos(azimuth),
        "src_y_arcsec": offset * np.sin(azimuth),
        "src_rotation_rad": rng.uniform(0.0, 2.0 * np.pi),
        "src_flip": bool(rng.uniform() < 0.5),
        "psf_fwhm_arcsec": rng.uniform(0.6, 2.5, bands),
        "flux_nmgy": rng.uniform(0.2, 3.0, bands),
    }


def _trial_scene(rng: np.random.Generator, fwhm_arcsec: tuple[float, ...]) -> dict[str, Any]:
    theta_e = rng.uniform(0.5, 2.5)
    shear, shear_angle = rng.uniform(0.0, 0.08), rng.uniform(0.0, np.pi)
    offset, azimuth = 0.5 * theta_e * np.sqrt(rng.uniform()), rng.uniform(0.0, 2.0 * np.pi)
    bands = len(fwhm_arcsec)
    return {
        "templates": trial_template(rng),
        "theta_e_arcsec": theta_e,
        "lens_q": rng.uniform(0.5, 0.97),
        "lens_phi_rad": rng.uniform(0.0, np.pi),
        "gamma1": shear * np.cos(2.0 * shear_angle),
        "gamma2": shear * np.sin(2.0 * shear_angle),
        "lens_x_arcsec": rng.normal(0.0, 0.05),
        "lens_y_arcsec": rng.normal(0.0, 0.05),
        "src_x_arcsec": offset * np.cos(azimuth),
        "src_y_arcsec": offset * np.sin(azimuth),
        "src_rotation_rad": rng.uniform(0.0, 2.0 * np.pi),
        "src_flip": bool(rng.uniform() < 0.5),
        "psf_fwhm_arcsec": np.asarray(fwhm_arcsec) + rng.uniform(-0.1, 0.1, bands),
        "flux_nmgy": rng.uniform(0.2, 3.0, bands),
    }
