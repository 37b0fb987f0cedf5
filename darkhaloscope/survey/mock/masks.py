"""The MASKBITS map of a brick: primary box, uncovered and saturated pixels, bright stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.schema import BANDS
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, MockBrick
from darkhaloscope.survey.mock.population import Sources
from darkhaloscope.survey.release import MASK_BITS

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]

SATURATION_NMGY = 30.0
"""Pixels brighter than this are saturated in at least one exposure."""


def maskbits(
    brick: MockBrick,
    config: MockSkyConfig,
    sources: Sources,
    x: FloatArray,
    y: FloatArray,
    light: Image,
    invvar: Image,
) -> NDArray[np.int32]:
    """Return the mask map.

    Parameters
    ----------
    brick : MockBrick
    config : MockSkyConfig
    sources : structured array, n rows
        Objects whose light reaches the stack.
    x, y : ndarray, shape (n,)
        Their pixel positions.
    light, invvar : ndarray of float32, shape (3, size, size)
        Noiseless light in nMgy per pixel; inverse variance.

    Returns
    -------
    ndarray of int32, shape (size, size)
    """
    size = config.brick_px
    masks = np.where(primary_map(brick, size), 0, 1 << MASK_BITS["NPRIMARY"]).astype(np.int32)
    for plane, band in enumerate(BANDS):
        masks[invvar[plane] == 0.0] |= 1 << MASK_BITS[f"ALLMASK_{band.upper()}"]
        masks[light[plane] > SATURATION_NMGY] |= 1 << MASK_BITS[f"SATUR_{band.upper()}"]
    r_mag = 22.5 - 2.5 * np.log10(sources["flux"][:, 1])
    for star in np.flatnonzero((sources["kind"] == "star") & (r_mag < 16.0)):
        # Radius-magnitude locus of the survey's bright-star mask; BRIGHT is half of it.
        radius = 1630.0 * 1.396 ** -r_mag[star] / PIXEL_SCALE_ARCSEC
        _mark_disc(masks, x[star], y[star], radius, 1 << MASK_BITS["MEDIUM"])
        if r_mag[star] < 13.0:
            _mark_disc(masks, x[star], y[star], radius / 2.0, 1 << MASK_BITS["BRIGHT"])
    return masks


def _mark_disc(masks: NDArray[np.int32], x: float, y: float, radius: float, bit: int) -> None:
    size = masks.shape[0]
    x0, x1 = (int(np.clip(v, 0, size)) for v in (x - radius, x + radius + 2))
    y0, y1 = (int(np.clip(v, 0, size)) for v in (y - radius, y + radius + 2))
    yy, xx = np.ogrid[y0:y1, x0:x1]
    masks[y0:y1, x0:x1][(xx - x) ** 2 + (yy - y) ** 2 <= radius**2] |= bit


def primary_map(brick: MockBrick, size: int) -> NDArray[np.bool_]:
    """Say which pixels of the stack lie in the brick's primary box.

    The borders are followed through the WCS at 65 points each and interpolated,
    which is exact to 1e-4 px over a brick.
    """
    wcs = brick.wcs(size)
    ra1, ra2, dec1, dec2 = brick.bounds_deg
    along = np.linspace(-0.1, 1.1, 65)
    ra, dec = ra1 + along * (ra2 - ra1), dec1 + along * (dec2 - dec1)
    pixel = np.arange(size)

    def vertical(at_ra: float) -> FloatArray:
        x, y = wcs.all_world2pix(np.full(65, at_ra), dec, 0)
        return np.asarray(np.interp(pixel, y, x))

    def horizontal(at_dec: float) -> FloatArray:
        x, y = wcs.all_world2pix(ra, np.full(65, at_dec), 0)
        return np.asarray(np.interp(pixel, x[::-1], y[::-1]))

    yy, xx = pixel[:, None], pixel[None, :]
    inside = (xx <= vertical(ra1)[:, None]) & (xx > vertical(ra2)[:, None])
    inside &= (yy >= horizontal(dec1)[None, :]) & (yy < horizontal(dec2)[None, :])
    return np.asarray(inside)
