"""The renderer: a source galaxy behind a deflector, on survey pixels, in every band.

Rays are shot once per scene through a grid of half-pixel cells, only where they
can meet the source; the cells are convolved per band with the PSF and integrated
over pixels (``convolution``). The image of a scene depends on that scene alone:
not on its batch, its place in it, the number of threads or processes.

The result is the noiseless expectation in nMgy per pixel. Noise is in ``noise``.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # ships no types

from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing.convolution import parity_basis
from darkhaloscope.lensing.grids import chunks, grids
from darkhaloscope.lensing.psf import moffat_scale_arcsec
from darkhaloscope.lensing.sampling import (
    LENSED,
    UNLENSED,
    Sampling,
    ray_patterns,
    sampling_of,
    source_steps_px,
)
from darkhaloscope.lensing.scene import (
    Scenes,
    check_scales,
    check_templates,
    require_sampled,
    scene_constants,
    unlensed_scene,
)
from darkhaloscope.lensing.workspace import buffers_of, evaluate, project

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

# One caller at a time inside: the number of BLAS threads is a setting of the process.
_ONE_RENDER = threading.RLock()


class Rendered(NamedTuple):
    """A batch of rendered scenes.

    Attributes
    ----------
    image : ndarray of float32, shape (n, bands, size, size)
        Unit: nMgy/px. Axes (y, x).
    magnification : ndarray of float64, shape (n,)
        Flux of the whole image, before PSF and stamp edges, over flux of the source.
    in_annuli : ndarray of float64, shape (n, annuli), or None
        Light of each annulus, if annuli were asked for: see :class:`Annuli`.
    """

    image: Float32Array
    magnification: FloatArray
    in_annuli: FloatArray | None = None


class Annuli(NamedTuple):
    """Rings about a point of every scene, in which light is summed before the PSF spreads it.

    Attributes
    ----------
    centre_arcsec : ndarray of float64, shape (n, 2)
        Their common centre, x and y relative to the stamp centre.
    width_arcsec : float
        Width of a ring.
    number : int
        How many there are; light beyond the last one is counted in it.
    """

    centre_arcsec: FloatArray
    width_arcsec: float
    number: int


def render_lensed(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    theta_e_arcsec: Any,
    lens_q: Any,
    lens_phi_rad: Any,
    gamma1: Any,
    gamma2: Any,
    lens_x_arcsec: Any,
    lens_y_arcsec: Any,
    src_x_arcsec: Any,
    src_y_arcsec: Any,
    src_rotation_rad: Any,
    src_flip: Any,
    psf_fwhm_arcsec: Any,
    flux_nmgy: Any,
    quality: str | Sampling = "standard",
    annuli: Annuli | None = None,
) -> Rendered:
    """Render lensed sources.

    Parameters
    ----------
    templates : array_like, shape (n, t, t)
        Share of the source's flux per template pixel; each sums to 1.
    template_scale_arcsec : float
        Side of a template pixel.
    size_px : int
        Side of the output, odd or even.
    pixel_scale_arcsec : float
        Side of an output pixel.
    theta_e_arcsec, lens_q, lens_phi_rad : array_like, shape (n,) or scalar
        SIE: Einstein radius (intermediate axis; 0 leaves the shear alone), axis ratio in [0.2, 1],
        position angle of the major axis from +x towards +y.
    gamma1, gamma2 : array_like, shape (n,) or scalar
        External shear, centred on the deflector, at most 0.5.
    lens_x_arcsec, lens_y_arcsec : array_like, shape (n,) or scalar
        Deflector relative to the stamp centre.
    src_x_arcsec, src_y_arcsec : array_like, shape (n,) or scalar
        Source relative to the deflector, in the source plane.
    src_rotation_rad : array_like, shape (n,) or scalar
        Angle of the template's x axis from +x towards +y.
    src_flip : array_like of bool, shape (n,) or scalar
        Whether the template is mirrored in its x before it is rotated.
    psf_fwhm_arcsec : array_like, shape (n, bands)
        Moffat FWHM in [0.4, 4] arcsec.
    flux_nmgy : array_like, shape (n, bands)
        Unlensed flux.
    quality : {"draft", "standard", "fine"} or Sampling
        A level of ``sampling.LENSED``, with the errors of ``sampling.LENSED_ACCURACY``
        (standard: 0.03 % of the peak in the median scene, 0.4 % in the worst, 0.2 % in
        flux, 0.015 px in the centroid), or rays and cells outright.
    annuli : Annuli, optional
        Where to sum the light on the stamp; any unit, the same for all rings of a scene.

    Returns
    -------
    Rendered
        Images and magnifications. ``magnification`` is 0 where no ray meets the source.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite, or a template does not sum to 1.
    ContractError
        If a shape is wrong.
    ConfigError
        If there is no such quality level.
    """
    templates = _stack(templates)
    scenes = Scenes.of(
        templates.shape[0],
        theta_e_arcsec=theta_e_arcsec,
        lens_q=lens_q,
        lens_phi_rad=lens_phi_rad,
        gamma1=gamma1,
        gamma2=gamma2,
        lens_x_arcsec=lens_x_arcsec,
        lens_y_arcsec=lens_y_arcsec,
        src_x_arcsec=src_x_arcsec,
        src_y_arcsec=src_y_arcsec,
        src_rotation_rad=src_rotation_rad,
        src_flip=src_flip,
        psf_fwhm_arcsec=psf_fwhm_arcsec,
        flux_nmgy=flux_nmgy,
    )
    return _render(
        templates,
        scenes,
        template_scale_arcsec,
        size_px,
        pixel_scale_arcsec,
        sampling_of(quality, LENSED),
        conserve_flux=False,
        annuli=annuli,
    )


def render_unlensed(
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
    quality: str | Sampling = "standard",
) -> Rendered:
    """Render sources as they would look without a deflector.

    Parameters
    ----------
    templates, template_scale_arcsec, size_px, pixel_scale_arcsec, psf_fwhm_arcsec, flux_nmgy
        As in :func:`render_lensed`.
    x_arcsec, y_arcsec : array_like, shape (n,) or scalar
        Source relative to the stamp centre.
    rotation_rad, flip : array_like, shape (n,) or scalar
        Orientation of the template.
    quality : {"draft", "standard", "fine"} or Sampling
        A level of ``sampling.UNLENSED``, with the errors of ``sampling.UNLENSED_ACCURACY``,
        or rays and cells outright.

    Returns
    -------
    Rendered
        ``magnification`` is 1: the sampled flux is scaled to the source's.

    Raises
    ------
    DataError, ContractError
        As in :func:`render_lensed`.
    """
    templates = _stack(templates)
    scenes = Scenes.of(
        templates.shape[0],
        **unlensed_scene(x_arcsec, y_arcsec, rotation_rad, flip),
        psf_fwhm_arcsec=psf_fwhm_arcsec,
        flux_nmgy=flux_nmgy,
    )
    return _render(
        templates,
        scenes,
        template_scale_arcsec,
        size_px,
        pixel_scale_arcsec,
        sampling_of(quality, UNLENSED),
        conserve_flux=True,
        annuli=None,
    )


def _stack(templates: NDArray[Any]) -> Float32Array:
    """Return templates as the compiled loops take them; no copy of those that are so already."""
    stack = np.ascontiguousarray(templates, dtype=np.float32)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise ContractError(describe("Templates", expected="shape (n, t, t)", got=stack.shape))
    return stack


def _render(
    templates: Float32Array,
    scenes: Scenes,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
    *,
    conserve_flux: bool,
    annuli: Annuli | None,
) -> Rendered:
    # The machine code is loaded on the first image, not with the package.
    from darkhaloscope.lensing import convolution_kernels, kernels, template_kernels

    n, bands = scenes.flux_nmgy.shape
    check_scales(
        template_scale_arcsec=template_scale_arcsec, pixel_scale_arcsec=pixel_scale_arcsec, size_px=size_px
    )
    sums, extents, roughness = np.empty((3, n))
    template_kernels.measure_templates(
        templates, sums, extents, roughness, np.empty((3, templates.shape[1]), np.float32)
    )
    check_templates(templates, sums)
    padded_px = templates.shape[1] + 2 * kernels.TEMPLATE_RING_PX
    constants = scene_constants(scenes, template_scale_arcsec, padded_px, extents)
    steps_px = source_steps_px(roughness, sampling)
    offsets, counts = ray_patterns(sampling)
    image = np.empty((n, bands, size_px, size_px), np.float32)
    magnification = np.empty(n)
    in_annuli = None if annuli is None else np.zeros((n, annuli.number))
    moffat_a = moffat_scale_arcsec(scenes.psf_fwhm_arcsec)
    with _ONE_RENDER, _blas().limit(limits=1, user_api="blas"):
        for spec, rows in chunks(grids(scenes, constants, size_px, pixel_scale_arcsec, sampling)):
            matrices = parity_basis(spec)
            buffers = buffers_of(spec, bands, padded_px, offsets.shape[2])
            count = rows.size
            cell_arcsec = pixel_scale_arcsec / spec.cells_per_px
            cell_flux = (cell_arcsec / template_scale_arcsec) ** 2  # template pixels per cell
            template_kernels.place_templates(templates, rows, buffers.templates[:count])
            kernels.shoot_rays(
                buffers.templates[:count].reshape(count, -1),
                constants[rows].astype(np.float32),
                steps_px[rows],
                template_scale_arcsec,
                cell_arcsec,
                offsets,
                counts,
                buffers.real,
                buffers.whole,
                buffers.ray_x,
                buffers.ray_y,
                buffers.corner,
                buffers.cells[:count].reshape(count, -1),
            )
            if annuli is not None:
                template_kernels.sum_annuli(
                    buffers.cells[:count],
                    rows,
                    annuli.centre_arcsec,
                    0.5 * size_px * pixel_scale_arcsec,
                    cell_arcsec,
                    annuli.width_arcsec,
                    in_annuli,
                )
            coefficients = project(matrices, buffers, count)
            flux_ratio = coefficients[:, 0, 0, 0, 0].astype(np.float64) * cell_flux
            magnification[rows] = flux_ratio
            amplitude = scenes.flux_nmgy[rows] * cell_flux
            if conserve_flux:
                require_sampled(flux_ratio, rows)
                magnification[rows] = 1.0
                amplitude /= flux_ratio[:, None]
            unit = 2.0 * np.pi / (spec.period_px * pixel_scale_arcsec)
            convolution_kernels.apply_transfer(
                coefficients,
                amplitude.astype(np.float32),
                (moffat_a[rows] * unit).astype(np.float32),
                matrices.radii,
                matrices.window,
                buffers.transfer,
                buffers.weighted[:count],
            )
            convolution_kernels.unfold(evaluate(matrices, buffers, count), rows, image)
    return Rendered(image, magnification, in_annuli)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
