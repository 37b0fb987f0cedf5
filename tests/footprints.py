"""Footprints in bricks for tests of the splits: a patch, lone cells, the demo's sky, a survey like DR10."""

import healpy as hp
import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord

from darkhaloscope.survey.mock import MockSkyConfig
from darkhaloscope.survey.mock.geometry import plan_bricks


def bricks(ra, dec, galaxies, status=None, side=0.25):
    n = len(ra)
    half = side / 2.0
    wide = half / np.cos(np.radians(dec))
    return pa.table(
        {
            "ra1": ra - wide,
            "ra2": ra + wide,
            "dec1": dec - half,
            "dec2": dec + half,
            "n_galaxies": np.asarray(galaxies, dtype=np.int64),
            "area_deg2": np.full(n, side**2),
            "status": ["ok"] * n if status is None else status,
        }
    )


def patch(width=16.0, density=lambda ra: np.full(len(ra), 2000)):
    """A contiguous patch of bricks, 0.25 deg apart."""
    ra, dec = (a.ravel() for a in np.meshgrid(np.arange(30, 30 + width, 0.25), np.arange(-8, 8, 0.25)))
    return bricks(ra, dec, density(ra))


def cell_centres(n, nside=32, start=5000):
    ra, dec = hp.pix2ang(nside, np.arange(start, start + n), nest=True, lonlat=True)
    return ra, dec


def demo():
    """The bricks of the demo's mock sky with as many galaxies as its catalogue lists, give or take."""
    planned = plan_bricks(MockSkyConfig())
    ra1, ra2, dec1, dec2 = np.array([brick.bounds_deg for brick in planned]).T
    return pa.table(
        {
            "ra1": ra1, "ra2": ra2, "dec1": dec1, "dec2": dec2,
            "n_galaxies": np.random.default_rng([5]).poisson(600, len(planned)),
            "area_deg2": [brick.area_deg2 for brick in planned],
            "status": ["ok" if brick.kind == "ok" else brick.kind for brick in planned],
        }
    )  # fmt: skip


def like_dr10(side=0.5):
    """Half-degree bricks off the Galactic plane south of Dec 34, across RA 0, with uneven density."""
    rows = []
    for dec in np.arange(-68.0, 34.0, side) + side / 2.0:
        count = int(360.0 * np.cos(np.radians(dec)) / side)
        ra = (np.arange(count) + 0.5) * 360.0 / count
        kept = ra[np.abs(SkyCoord(ra, np.full(count, dec), unit="deg").galactic.b.deg) > 25.0]
        rows.append(np.stack([kept, np.full(len(kept), dec)]))
    ra, dec = np.concatenate(rows, axis=1)
    density = 6000.0 * (1.0 + 0.4 * np.sin(np.radians(2.0 * ra)) * np.cos(np.radians(3.0 * dec)))
    return bricks(ra, dec, np.random.default_rng([6]).poisson(density), side=side)
