"""Which grid each scene is rendered on: from the reach of its light and from its seeing.

A grid follows from its scene alone; scenes of one grid are rendered together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.convolution import GridSpec
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.scene import Scenes
from darkhaloscope.lensing.workspace import CHUNK

FloatArray = NDArray[np.float64]

_BOX_STEP_PX = 8
_BOX_MAX_PX = 512
_SHARP_FWHM_PX = 3.0  # below it light moved to the centre of a half-pixel cell is seen
_PERIOD_BOX_PX = 32  # boxes smaller than this have the period of this one
_ALIAS_FWHM = 5.6  # nearest alias of any light, in FWHM of the widest band
_ALIAS_STEP_PX = 4
_CUTOFFS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.75, 1.0)
_CUTOFF_FWHM = 2.1  # cutoff times FWHM in px: the transfer function is below 1e-4 beyond


def grids(
    scenes: Scenes,
    constants: FloatArray,
    size_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
) -> Iterator[tuple[GridSpec, NDArray[np.intp]]]:
    """Group scenes by the grid each of them needs: its sizes, and the rows of its scenes."""
    side_px = 2.0 * constants[:, 16] / pixel_scale_arcsec
    box = np.maximum(np.ceil(side_px / _BOX_STEP_PX) * _BOX_STEP_PX, _BOX_STEP_PX).astype(np.int64)
    if (box > _BOX_MAX_PX).any():
        row = int(np.argmax(box))
        raise DataError(
            describe(
                "Lensed image is too large",
                row=row,
                expected=f"light within {_BOX_MAX_PX} px",
                got=f"{side_px[row]:.0f} px",
                hint="check theta_e_arcsec, the source offset and the pixel scale",
            )
        )
    fwhm_px = scenes.psf_fwhm_arcsec / pixel_scale_arcsec
    cutoff = np.searchsorted(_CUTOFFS, _CUTOFF_FWHM / fwhm_px.min(axis=1)).clip(max=len(_CUTOFFS) - 1)
    alias = np.ceil(fwhm_px.max(axis=1) * _ALIAS_FWHM / _ALIAS_STEP_PX).astype(np.int64) * _ALIAS_STEP_PX
    sharp = (fwhm_px.min(axis=1) < _SHARP_FWHM_PX) & (sampling.aliasing is not None)
    cells = sampling.cells_per_px + sharp
    keys = np.stack([box, cutoff, alias, cells], axis=1)
    for key in np.unique(keys, axis=0):
        rows = np.flatnonzero((keys == key).all(axis=1))
        box_px, at, alias_px, cells_per_px = (int(v) for v in key)
        spec = GridSpec(
            size_px=size_px,
            box_px=box_px,
            cells_per_px=cells_per_px,
            period_px=2 * math.ceil((max(box_px, _PERIOD_BOX_PX) + size_px) / 4.0) + alias_px,
            cutoff=min(_CUTOFFS[at], 0.5 * cells_per_px),
        )
        yield spec, rows


def chunks(
    groups: Iterator[tuple[GridSpec, NDArray[np.intp]]],
) -> Iterator[tuple[GridSpec, NDArray[np.intp]]]:
    """Yield the scenes of every grid, at most ``CHUNK`` at a time."""
    for spec, rows in groups:
        for start in range(0, rows.size, CHUNK):
            yield spec, rows[start : start + CHUNK]
