"""Other people's renderers on our scenes, and the truth all are measured against.

Each function takes the arguments of ``render_lensed`` as a dictionary and returns
images, shape (n, bands, size, size). What belongs here is their use as a user of
theirs would write it; timing and tables are in ``bench_render``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.psf import moffat_kernel, moffat_scale_arcsec, moffat_transfer
from darkhaloscope.lensing.sie import ellipticity_from_axis_ratio

Array = NDArray[Any]
Scenes = dict[str, Any]

SUPERSAMPLING = 4
TRUTH_RAYS_PER_PX = 20
TRUTH_MARGIN_PX = 16


def lenstronomy_models(scenes: Scenes, row: int) -> tuple[Any, Any, list[Any], list[Any]]:
    """Return lens model, light model and their arguments; a new light model because INTERPOL caches."""
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    x, y = float(scenes["lens_x_arcsec"][row]), float(scenes["lens_y_arcsec"][row])
    e1, e2 = ellipticity_from_axis_ratio(scenes["lens_q"][row], scenes["lens_phi_rad"][row])
    template = scenes["templates"][row].astype(np.float64)
    if scenes["src_flip"][row]:
        template = template[:, ::-1]
    lens = [
        {
            "theta_E": scenes["theta_e_arcsec"][row],
            "e1": float(e1),
            "e2": float(e2),
            "center_x": x,
            "center_y": y,
        },
        {"gamma1": scenes["gamma1"][row], "gamma2": scenes["gamma2"][row], "ra_0": x, "dec_0": y},
    ]
    light = [
        {
            "image": template / scenes["template_scale_arcsec"] ** 2,
            "amp": 1.0,
            "center_x": x + scenes["src_x_arcsec"][row],
            "center_y": y + scenes["src_y_arcsec"][row],
            "phi_G": scenes["src_rotation_rad"][row],
            "scale": scenes["template_scale_arcsec"],
        }
    ]
    return LensModel(["SIE", "SHEAR"]), LightModel(["INTERPOL"]), lens, light


def lenstronomy_image(scenes: Scenes, row: int, band: int, *, accurate: bool) -> Array:
    """Render one scene in one band with lenstronomy's ImageModel, built anew.

    ``accurate`` convolves on the fine grid with the full kernel, otherwise on survey pixels.
    """
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel

    size, px = scenes["size_px"], scenes["pixel_scale_arcsec"]
    corner = -px * (size - 1) / 2
    data = ImageData(
        image_data=np.zeros((size, size)),
        transform_pix2angle=np.eye(2) * px,
        ra_at_xy_0=corner,
        dec_at_xy_0=corner,
    )
    factor = SUPERSAMPLING if accurate else 1
    kernel = moffat_kernel(float(scenes["psf_fwhm_arcsec"][row, band]), px / factor, subsampling=1)
    psf = PSF(
        "PIXEL",
        kernel_point_source=kernel,
        pixel_size=px,
        point_source_supersampling_factor=factor,
        kernel_point_source_normalisation=True,
    )
    numerics: dict[str, Any] = {"supersampling_factor": SUPERSAMPLING, "supersampling_convolution": accurate}
    if accurate:
        numerics |= {"supersampling_kernel_size": None, "point_source_supersampling_factor": factor}
    lens_model, light_model, lens, light = lenstronomy_models(scenes, row)
    model = ImageModel(data, psf, lens_model, light_model, kwargs_numerics=numerics)
    image: Array = model.image(lens, [light[0] | {"amp": scenes["flux_nmgy"][row, band]}])
    return image


def lenstronomy_per_band(scenes: Scenes, *, accurate: bool) -> Array:
    """Render every scene with one ``ImageModel`` per band."""
    n, bands = scenes["flux_nmgy"].shape
    return np.array(
        [[lenstronomy_image(scenes, i, b, accurate=accurate) for b in range(bands)] for i in range(n)]
    )


def _grid(scenes: Scenes, rays_per_px: int, margin_px: int) -> Array:
    count = (scenes["size_px"] + 2 * margin_px) * rays_per_px
    return np.asarray((np.arange(count) - (count - 1) / 2.0) * (scenes["pixel_scale_arcsec"] / rays_per_px))


def _lenstronomy_light(scenes: Scenes, row: int, rays_per_px: int, margin_px: int) -> Array:
    """Return surface brightness of a source of unit flux on a fine grid, 1/arcsec^2."""
    axis = _grid(scenes, rays_per_px, margin_px)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    lens_model, light_model, lens, light = lenstronomy_models(scenes, row)
    return np.asarray(light_model.surface_brightness(*lens_model.ray_shooting(x, y, lens), light)).reshape(
        axis.size, axis.size
    )


def _convolve_bands(scenes: Scenes, row: int, light: Array, rays_per_px: int, margin_px: int) -> Array:
    """Average rays over survey pixels and convolve there, once per band."""
    from scipy.signal import fftconvolve

    size, px = scenes["size_px"], scenes["pixel_scale_arcsec"]
    field = size + 2 * margin_px
    pixels = light.reshape(field, rays_per_px, field, rays_per_px).mean(axis=(1, 3)) * px**2
    inner = slice(margin_px, margin_px + size)
    return np.array(
        [
            flux
            * fftconvolve(pixels, moffat_kernel(float(fwhm), px, subsampling=1), mode="same")[inner, inner]
            for fwhm, flux in zip(scenes["psf_fwhm_arcsec"][row], scenes["flux_nmgy"][row], strict=True)
        ]
    )


def lenstronomy_rays_once(scenes: Scenes) -> Array:
    """Shoot lenstronomy's rays once per scene, and convolve once per band with scipy."""
    n = len(scenes["flux_nmgy"])
    lights = (_lenstronomy_light(scenes, i, SUPERSAMPLING, 0) for i in range(n))
    return np.array([_convolve_bands(scenes, i, light, SUPERSAMPLING, 0) for i, light in enumerate(lights)])


def caustics_rays_once(scenes: Scenes) -> Array:
    """Shoot caustics' rays once per scene, and convolve once per band with scipy."""
    n = len(scenes["flux_nmgy"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # caustics hands tensors to scipy in a way numpy 2 dislikes
        lights = [_caustics_light(scenes, i) for i in range(n)]
    return np.array([_convolve_bands(scenes, i, light, SUPERSAMPLING, 0) for i, light in enumerate(lights)])


def _caustics_light(scenes: Scenes, row: int) -> Array:
    import caustics
    import torch

    def number(value: Any) -> Any:
        return torch.as_tensor(float(value), dtype=torch.float64)

    x, y = float(scenes["lens_x_arcsec"][row]), float(scenes["lens_y_arcsec"][row])
    at = {"x0": number(x), "y0": number(y)}
    cosmology = caustics.FlatLambdaCDM()
    lenses = [
        caustics.SIE(
            cosmology=cosmology,
            q=number(scenes["lens_q"][row]),
            phi=number(scenes["lens_phi_rad"][row]),
            Rein=number(scenes["theta_e_arcsec"][row]),
            **at,
        ),
        caustics.ExternalShear(
            cosmology=cosmology,
            gamma_1=number(scenes["gamma1"][row]),
            gamma_2=number(scenes["gamma2"][row]),
            **at,
        ),
    ]
    plane = caustics.SinglePlane(cosmology=cosmology, lenses=lenses, z_l=number(0.5), z_s=number(1.5))
    plane.to(dtype=torch.float64)
    template = scenes["templates"][row].astype(np.float64)
    scale = scenes["template_scale_arcsec"]
    image = torch.as_tensor((template[:, ::-1] if scenes["src_flip"][row] else template).copy() / scale**2)
    source = caustics.Pixelated(image=image, x0=number(0), y0=number(0), pixelscale=number(scale))
    source.to(dtype=torch.float64)
    axis = torch.as_tensor(_grid(scenes, SUPERSAMPLING, 0))
    grid_y, grid_x = torch.meshgrid(axis, axis, indexing="ij")
    beta_x, beta_y = plane.raytrace(grid_x, grid_y)
    cos, sin = np.cos(scenes["src_rotation_rad"][row]), np.sin(scenes["src_rotation_rad"][row])
    right = beta_x - (x + scenes["src_x_arcsec"][row])
    up = beta_y - (y + scenes["src_y_arcsec"][row])
    return np.asarray(source.brightness(cos * right + sin * up, cos * up - sin * right))


def truth(scenes: Scenes) -> Array:
    """Return images from 20 by 20 lenstronomy rays per pixel and the PSF's closed-form transfer function.

    In double precision on a period of twice the field and to twice the Nyquist
    frequency: no kernel image, no truncation, no native-pixel convolution.
    """
    n = len(scenes["flux_nmgy"])
    size, px, rays = scenes["size_px"], scenes["pixel_scale_arcsec"], TRUTH_RAYS_PER_PX
    period = 2 * (size + 2 * TRUTH_MARGIN_PX)
    k = np.arange(period)
    fine = _grid(scenes, rays, TRUTH_MARGIN_PX) / px
    pixels = np.arange(size) - (size - 1) / 2.0

    def functions(position: Array, weight: Array) -> Array:
        phase = 2.0 * np.pi * np.outer(k, position) / period
        return np.concatenate([weight[:, None] * np.cos(phase), weight[:, None] * np.sin(phase)])

    project = functions(fine, np.ones(period))
    evaluate = functions(pixels, np.where(k == 0, 1.0, 2.0) / period)
    window = np.sinc(k / period) / np.sinc(k / period / rays)
    wavenumber = 2.0 * np.pi * np.hypot(k[:, None], k) / (period * px)
    images = np.empty((*scenes["flux_nmgy"].shape, size, size))
    for row in range(n):
        light = _lenstronomy_light(scenes, row, rays, TRUTH_MARGIN_PX)
        edge = max(np.abs(light[[0, -1]]).max(), np.abs(light[:, [0, -1]]).max())
        if edge > 0.0:
            raise ValueError(f"scene {row}: light beyond the field of the truth")
        coefficients = project @ light @ project.T * (px / rays) ** 2
        for band, fwhm in enumerate(scenes["psf_fwhm_arcsec"][row]):
            weight = moffat_transfer(wavenumber * float(moffat_scale_arcsec(fwhm))) * np.outer(window, window)
            both = np.tile(weight, (2, 2)) * scenes["flux_nmgy"][row, band]
            images[row, band] = evaluate.T @ (coefficients * both) @ evaluate
    return images


PEERS: dict[str, Callable[[Scenes], Array]] = {
    "lenstronomy accurate": lambda scenes: lenstronomy_per_band(scenes, accurate=True),
    "lenstronomy native": lambda scenes: lenstronomy_per_band(scenes, accurate=False),
    "lenstronomy rays once": lenstronomy_rays_once,
    "caustics rays once": caustics_rays_once,
}
"""Accurate: one ImageModel per band, 4 x 4 rays per pixel, convolved on the fine grid with the full
kernel. Native: the same, convolved on survey pixels. The others also shoot 4 x 4 rays per pixel."""
