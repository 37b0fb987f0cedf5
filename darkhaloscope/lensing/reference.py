"""The oracle: the same scenes rendered by lenstronomy.

Slow and independent: deflection, interpolation and the PSF profile are
lenstronomy's own code, and the PSF is a kernel image, not a transfer function.
lenstronomy is imported on first use. Each source gets a new light model, because
``INTERPOL`` keeps the first image it is given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.psf import (
    MOFFAT_BETA,
    convolve,
    moffat_kernel,
    moffat_radius_arcsec,
    moffat_scale_arcsec,
)
from darkhaloscope.lensing.render import Rendered
from darkhaloscope.lensing.scene import Scenes, check_templates, require_sampled, unlensed_scene
from darkhaloscope.lensing.sie import ellipticity_from_axis_ratio

FloatArray = NDArray[np.float64]

KERNEL_ENCLOSED_FLUX = 0.9999


def reference_render(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    supersampling: int = 4,
    margin_px: int | None = 16,
    with_psf: bool = True,
    **parameters: Any,
) -> Rendered:
    """Render lensed sources with lenstronomy.

    Parameters
    ----------
    templates, template_scale_arcsec, size_px, pixel_scale_arcsec
        As in :func:`darkhaloscope.lensing.render.render_lensed`.
    supersampling : int
        Rays along one side of a pixel; the PSF is convolved on the same grid.
    margin_px : int or None
        Pixels rendered beyond each edge, so that light outside the stamp reaches it
        through the PSF and counts for the magnification. None takes as many as the
        image of each scene can reach.
    with_psf : bool
        False returns the image before the PSF.
    **parameters
        The remaining parameters of ``render_lensed``.

    Returns
    -------
    Rendered
        Image in single precision, computed in double.
    """
    templates = np.asarray(templates, dtype=np.float64)
    check_templates(templates)
    n = templates.shape[0]
    scenes = Scenes.of(n, **parameters)
    bands = scenes.flux_nmgy.shape[1]
    if margin_px is None:
        half_diagonal_arcsec = (templates.shape[-1] / 2.0 + 1.0) * np.sqrt(2.0) * template_scale_arcsec
        margins = _margins_px(scenes, half_diagonal_arcsec, size_px, pixel_scale_arcsec)
    else:
        margins = [margin_px] * n
    image = np.empty((n, bands, size_px, size_px), np.float32)
    magnification = np.empty(n)
    for i, margin in enumerate(margins):
        field_px = size_px + 2 * margin
        fine = _surface_brightness(
            templates[i], scenes, i, template_scale_arcsec, field_px, pixel_scale_arcsec, supersampling
        )
        ray_area = (pixel_scale_arcsec / supersampling) ** 2
        magnification[i] = fine.sum() * ray_area
        for band in range(bands):
            light = fine
            if with_psf:
                light = _convolve(
                    fine, float(scenes.psf_fwhm_arcsec[i, band]), pixel_scale_arcsec / supersampling
                )
            pixels = light.reshape(field_px, supersampling, field_px, supersampling).sum(axis=(1, 3))
            inner = pixels[margin : margin + size_px, margin : margin + size_px]
            image[i, band] = scenes.flux_nmgy[i, band] * ray_area * inner
    return Rendered(image, magnification)


def reference_unlensed(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    x_arcsec: Any,
    y_arcsec: Any,
    rotation_rad: Any,
    flip: Any,
    psf_fwhm_arcsec: Any,
    flux_nmgy: Any,
    supersampling: int = 8,
) -> Rendered:
    """Render sources with lenstronomy as they would look without a deflector.

    Parameters
    ----------
    templates, template_scale_arcsec, size_px, pixel_scale_arcsec, x_arcsec, y_arcsec, rotation_rad, flip
        As in :func:`darkhaloscope.lensing.render.render_unlensed`.
    psf_fwhm_arcsec, flux_nmgy
        As there.
    supersampling : int
        Rays along one side of a pixel.

    Returns
    -------
    Rendered
        ``magnification`` is 1: the sampled flux is scaled to the source's.

    Raises
    ------
    DataError, ContractError
        As there.
    """
    sampled = reference_render(
        templates,
        template_scale_arcsec=template_scale_arcsec,
        size_px=size_px,
        pixel_scale_arcsec=pixel_scale_arcsec,
        supersampling=supersampling,
        margin_px=None,
        **unlensed_scene(x_arcsec, y_arcsec, rotation_rad, flip),
        psf_fwhm_arcsec=psf_fwhm_arcsec,
        flux_nmgy=flux_nmgy,
    )
    require_sampled(sampled.magnification)
    image = sampled.image / sampled.magnification[:, None, None, None]
    return Rendered(image.astype(np.float32), np.ones_like(sampled.magnification))


def _margins_px(
    scenes: Scenes, source_extent_arcsec: float, size_px: int, pixel_scale_arcsec: float
) -> list[int]:
    offset = np.maximum(np.abs(scenes.lens_x_arcsec), np.abs(scenes.lens_y_arcsec))
    reach_px = (scenes.reach_arcsec(source_extent_arcsec) + offset) / pixel_scale_arcsec
    return [max(math.ceil(side), 0) for side in reach_px - size_px / 2.0]


def oracle_flux_nmgy(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    supersampling: int = 4,
    margin_px: int = 16,
    **parameters: Any,
) -> FloatArray:
    """Return the flux that an arc puts on the stamp in each band, by lenstronomy.

    The sum over the stamp of the convolved image is the sum of the unconvolved
    light weighted with the share of the PSF that falls on the stamp, so no image
    is convolved per row and band.

    Parameters
    ----------
    templates, template_scale_arcsec, size_px, pixel_scale_arcsec, supersampling, margin_px, **parameters
        As in :func:`reference_render`.

    Returns
    -------
    ndarray, shape (n, bands)
        Unit: nMgy.
    """
    templates = np.asarray(templates, dtype=np.float64)
    check_templates(templates)
    n = templates.shape[0]
    scenes = Scenes.of(n, **parameters)
    field_px = size_px + 2 * margin_px
    ray_area = (pixel_scale_arcsec / supersampling) ** 2
    on_stamp = np.pad(np.ones((size_px, size_px)), margin_px)
    flux = np.empty(scenes.flux_nmgy.shape)
    for i in range(n):
        fine = _surface_brightness(
            templates[i], scenes, i, template_scale_arcsec, field_px, pixel_scale_arcsec, supersampling
        )
        pixels = fine.reshape(field_px, supersampling, field_px, supersampling).sum(axis=(1, 3)) * ray_area
        for band, fwhm_arcsec in enumerate(scenes.psf_fwhm_arcsec[i]):
            share = convolve(on_stamp, moffat_kernel(float(fwhm_arcsec), pixel_scale_arcsec))
            flux[i, band] = scenes.flux_nmgy[i, band] * float((pixels * share).sum())
    return flux


def oracle_images_nmgy(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    supersampling: int = 4,
    margin_px: int = 16,
    **parameters: Any,
) -> FloatArray:
    """Return the image of an arc in each band, by lenstronomy, for comparison of many rows.

    Light is collected in survey pixels before it is convolved, with the profile
    sampled at their centres: for a PSF of 3 pixels and more what is folded over by
    that is below 0.1 % of the peak, and one convolution costs a millisecond.

    Parameters
    ----------
    templates, template_scale_arcsec, size_px, pixel_scale_arcsec, supersampling, margin_px, **parameters
        As in :func:`reference_render`.

    Returns
    -------
    ndarray, shape (n, bands, size_px, size_px)
        Unit: nMgy/px.
    """
    templates = np.asarray(templates, dtype=np.float64)
    check_templates(templates)
    n = templates.shape[0]
    scenes = Scenes.of(n, **parameters)
    field_px = size_px + 2 * margin_px
    ray_area = (pixel_scale_arcsec / supersampling) ** 2
    inner = slice(margin_px, margin_px + size_px)
    image = np.empty((*scenes.flux_nmgy.shape, size_px, size_px))
    for i in range(n):
        fine = _surface_brightness(
            templates[i], scenes, i, template_scale_arcsec, field_px, pixel_scale_arcsec, supersampling
        )
        pixels = fine.reshape(field_px, supersampling, field_px, supersampling).sum(axis=(1, 3)) * ray_area
        for band, fwhm_arcsec in enumerate(scenes.psf_fwhm_arcsec[i]):
            kernel = moffat_kernel(float(fwhm_arcsec), pixel_scale_arcsec, enclosed=0.999, subsampling=1)
            image[i, band] = scenes.flux_nmgy[i, band] * convolve(pixels, kernel)[inner, inner]
    return image


def _axis_arcsec(field_px: int, pixel_scale_arcsec: float, supersampling: int) -> FloatArray:
    count = field_px * supersampling
    return np.asarray((np.arange(count) - (count - 1) / 2.0) * (pixel_scale_arcsec / supersampling))


def _surface_brightness(
    template: FloatArray,
    scenes: Scenes,
    row: int,
    template_scale_arcsec: float,
    field_px: int,
    pixel_scale_arcsec: float,
    supersampling: int,
) -> FloatArray:
    """Return the lensed surface brightness of a source of unit flux on the fine grid. Unit: 1/arcsec^2."""
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    axis = _axis_arcsec(field_px, pixel_scale_arcsec, supersampling)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    lens_x, lens_y = scenes.lens_x_arcsec[row], scenes.lens_y_arcsec[row]
    e1, e2 = ellipticity_from_axis_ratio(scenes.lens_q[row], scenes.lens_phi_rad[row])
    lens = LensModel(["SIE", "SHEAR"])
    source_x, source_y = lens.ray_shooting(
        x,
        y,
        [
            {
                "theta_E": scenes.theta_e_arcsec[row],
                "e1": float(e1),
                "e2": float(e2),
                "center_x": lens_x,
                "center_y": lens_y,
            },
            {
                "gamma1": scenes.gamma1[row],
                "gamma2": scenes.gamma2[row],
                "ra_0": lens_x,
                "dec_0": lens_y,
            },
        ],
    )
    image = template[:, ::-1] if scenes.src_flip[row] else template
    light = LightModel(["INTERPOL"])
    brightness = light.surface_brightness(
        source_x,
        source_y,
        [
            {
                "image": image / template_scale_arcsec**2,
                "amp": 1.0,
                "center_x": lens_x + scenes.src_x_arcsec[row],
                "center_y": lens_y + scenes.src_y_arcsec[row],
                "phi_G": scenes.src_rotation_rad[row],
                "scale": template_scale_arcsec,
            }
        ],
    )
    return np.asarray(brightness).reshape(axis.size, axis.size)


def _convolve(fine: FloatArray, fwhm_arcsec: float, step_arcsec: float) -> FloatArray:
    """Convolve the fine grid with lenstronomy's Moffat, drawn to 99.99 % of its flux."""
    from lenstronomy.LightModel.Profiles.moffat import Moffat
    from scipy.signal import fftconvolve

    radius = float(moffat_radius_arcsec(KERNEL_ENCLOSED_FLUX, fwhm_arcsec))
    half = int(np.ceil(radius / step_arcsec))
    axis = np.arange(-half, half + 1) * step_arcsec
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    values = Moffat().function(x, y, 1.0, float(moffat_scale_arcsec(fwhm_arcsec)), MOFFAT_BETA)
    kernel = np.asarray(values).reshape(axis.size, axis.size)
    return np.asarray(fftconvolve(fine, kernel / kernel.sum(), mode="same"))
