"""The sky level under a coadd, which sets the photon noise of added light.

The level is that of the exposures before sky subtraction. Where a brick lists
its CCDs it is their weighted mean; otherwise the brick table's value is taken
if it can be a night sky at all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import read_columns
from darkhaloscope.survey.photometry import sky_nmgy_per_px
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, open_root

SKY_RANGE_MAG_ARCSEC2 = (16.0, 24.0)
"""Brighter is twilight, darker is no sky: ``cosky`` of the real brick table is the small
residual taken off the stack, far below this range, and must not pass for the sky."""


def brick_sky_nmgy(
    root: Root, release: Release, brickname: str, table_nmgy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sky level of a brick per band.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Bands and pixel scale.
    brickname : str
        Brick.
    table_nmgy : ndarray, shape (bands,)
        Sky level of the brick table, nMgy/px.

    Returns
    -------
    ndarray, shape (bands,)
        nMgy/px; NaN where no source gives a believable level.
    """
    scale = release.pixel_scale_arcsec
    bright, dark = (float(sky_nmgy_per_px(mu, scale)) for mu in SKY_RANGE_MAG_ARCSEC2)
    try:
        table = open_root(root).path(layout.ccd_table(release, brickname))
    except MissingDataError:
        level = np.full(len(release.bands), np.nan)
    else:
        level = _from_ccds(table, release)
    level = np.where(np.isfinite(level), level, np.asarray(table_nmgy, dtype=np.float64))
    believable = (level >= dark) & (level <= bright)
    return np.where(believable, level, np.nan)


def _from_ccds(path: Path, release: Release) -> NDArray[np.float64]:
    """Average 10^((22.5 - ccdskysb)/2.5) x pixel area over the CCDs, weighted by 1/sig1^2."""
    nothing = np.full(len(release.bands), np.nan)
    if not path.is_file():
        return nothing
    try:
        ccds = read_columns(path, ("filter", "ccdskysb", "sig1"), "CCD table of a brick")
    except DataError:
        # The brick table is the documented second source; the level is range-checked either way.
        return nothing
    sky = sky_nmgy_per_px(ccds["ccdskysb"], release.pixel_scale_arcsec)
    weight = 1.0 / np.maximum(ccds["sig1"].astype(np.float64), 1e-12) ** 2
    level = nothing.copy()
    for k, band in enumerate(release.bands):
        mine = ccds["filter"] == band
        if mine.any():
            level[k] = float(np.average(sky[mine], weights=weight[mine]))
    return level
