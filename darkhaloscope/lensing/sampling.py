"""How finely the renderer samples light: quality levels, and where in a cell rays are shot.

Which cells are shot, and what rays see, is in ``kernels``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ConfigError, describe

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

_SOURCE_STEPS_PX = (0.4, 6.0)  # finer than the template's own pixels, coarser than any bound on aliasing asks


class Sampling(NamedTuple):
    """How finely light is sampled.

    Attributes
    ----------
    cells_per_px : int
        Cells along one side of a survey pixel.
    rays_per_cell : int
        Rays along one side of a cell, in every cell.
    aliasing : float or None
        If given, rays follow the source instead: every cell gets as many along x and
        along y as keep neighbours within d = 2 pi aliasing / roughness of each other
        in the source plane, where roughness is the template's rms gradient over its
        rms value. Rays so placed alias only structure of frequencies above 1 / d, and
        of the template's power at most the share aliasing^2 lies there (Chebyshev's
        inequality on its power spectrum).
    """

    cells_per_px: int
    rays_per_cell: int
    aliasing: float | None = None


class Accuracy(NamedTuple):
    """Errors over a sweep of scenes.

    Attributes
    ----------
    peak_median, peak_worst : float
        Largest difference of a pixel over the peak: median and worst of scenes and bands.
    flux_worst : float
        Flux on the stamp, over its true value, minus 1.
    centroid_worst_px : float
        Distance of the flux-weighted centroids.
    """

    peak_median: float
    peak_worst: float
    flux_worst: float
    centroid_worst_px: float


LENSED: Mapping[str, Sampling] = MappingProxyType(
    {"draft": Sampling(2, 1, 0.2), "standard": Sampling(2, 2, 0.05), "fine": Sampling(4, 2, 0.02)}
)
"""Sampling of lensed sources at each quality level; errors in :data:`LENSED_ACCURACY`."""

UNLENSED: Mapping[str, Sampling] = MappingProxyType(
    {"draft": Sampling(2, 2, 0.2), "standard": Sampling(2, 4, 0.05), "fine": Sampling(4, 4, 0.02)}
)
"""Sampling of unlensed sources; engines that ignore ``aliasing`` need more rays than for images."""

LENSED_ACCURACY: Mapping[str, Accuracy] = MappingProxyType(
    {
        "draft": Accuracy(1.7e-3, 1.3e-2, 2.0e-2, 0.16),
        "standard": Accuracy(3.1e-4, 3.9e-3, 2.1e-3, 0.015),
        "fine": Accuracy(5.0e-5, 5.0e-4, 6.0e-4, 0.004),
    }
)
"""Errors of lensed sources over ``trial.hard_scenes``: stamps of 63, 64 and 101 px, 2800 scenes, 3 bands.

Seeing 0.6 to 2.5 arcsec; against 64 x 64 rays per pixel. At 0.4 arcsec in every
band ``standard`` has 0.07 % (median) and 0.35 % (worst) of the peak, at 4 arcsec
0.02 % and 0.08 %. ``benchmarks/bench_render.py`` measures them again.
"""

UNLENSED_ACCURACY: Mapping[str, Accuracy] = MappingProxyType(
    {
        "draft": Accuracy(1.5e-3, 2.9e-2, 1e-4, 0.09),
        "standard": Accuracy(2.5e-4, 3.7e-3, 1e-4, 0.009),
        "fine": Accuracy(4.5e-5, 6.0e-4, 1e-4, 0.004),
    }
)
"""Errors of the same galaxies unlensed, within 3 arcsec of the stamp centre along x and y."""

QUALITIES = tuple(LENSED)


def sampling_of(quality: str | Sampling, levels: Mapping[str, Sampling]) -> Sampling:
    """Return the sampling a quality level stands for in ``levels``; a sampling stands for itself."""
    if isinstance(quality, Sampling):
        return quality
    if quality not in levels:
        raise ConfigError(
            describe("Renderer", field="quality", expected=f"one of {', '.join(levels)}", got=quality)
        )
    return levels[quality]


def source_steps_px(roughness: FloatArray, sampling: Sampling) -> Float32Array:
    """Return the greatest distance of rays in the source plane, from the rms gradient over the rms value.

    Unit: template pixels. Zeros if rays do not follow the source.
    """
    if sampling.aliasing is None:
        return np.zeros(roughness.shape, np.float32)
    finest, coarsest = _SOURCE_STEPS_PX
    with np.errstate(divide="ignore"):
        steps = 2.0 * np.pi * sampling.aliasing / roughness
    return np.clip(steps, finest, coarsest).astype(np.float32)


@cache
def ray_patterns(sampling: Sampling) -> tuple[Float32Array, NDArray[np.int32]]:
    """Return where j by k rays of a cell lie, for all j and k, as ``kernels.shoot_rays`` takes them."""
    from darkhaloscope.lensing.kernels import MOST_RAYS

    most = sampling.rays_per_cell if sampling.aliasing is None else MOST_RAYS
    offsets = np.zeros((most * most, 2, -(-most * most // 16) * 16), np.float32)
    counts = np.empty(most * most, np.int32)
    for across in range(1, most + 1):
        for upward in range(1, most + 1):
            row = (across - 1) + most * (upward - 1)
            y, x = np.mgrid[0:upward, 0:across] + 0.5
            counts[row] = across * upward
            offsets[row, 0, : counts[row]] = (x / across - 0.5).ravel()
            offsets[row, 1, : counts[row]] = (y / upward - 0.5).ravel()
    return offsets, counts
