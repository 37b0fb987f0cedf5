"""Nearest galaxies and close pairs against measuring every pair."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from darkhaloscope.gates.columns import sky


def scattered(key, n, ra, dec, wide_deg):
    rng = np.random.Generator(np.random.Philox(key=key))
    return (ra + wide_deg * rng.uniform(-1, 1, n)) % 360.0, np.clip(
        dec + wide_deg * rng.uniform(-1, 1, n), -90, 90
    )


def angles(a, b):
    return SkyCoord(*a, unit="deg")[:, None].separation(SkyCoord(*b, unit="deg")[None, :]).to_value(units.deg)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((40.0, -10.0, 2.0), (43.5, -10.0, 1.0)),
        ((359.9, 5.0, 0.5), (0.9, 5.3, 0.5)),
        ((10.0, 89.5, 0.5), (200.0, 89.2, 0.3)),
        ((10.0, 0.0, 5.0), (11.0, 1.0, 5.0)),
        ((0.0, 0.0, 0.1), (180.0, 0.0, 0.1)),
    ],
)
def test_the_nearest_pair_is_that_of_all_pairs(first, second):
    a, b = scattered(1, 300, *first), scattered(2, 200, *second)
    found = sky.nearest_deg(sky.positions(*a), sky.positions(*b))
    assert found == pytest.approx(angles(a, b).min(), abs=sky.POSITION_ERROR_DEG)


def test_nothing_is_near_an_empty_set():
    here = sky.positions(np.array([1.0]), np.array([2.0]))
    assert sky.nearest_deg(here, here[:0]) is None
    assert sky.nearest_deg(here, sky.positions(np.array([np.nan]), np.array([2.0]))) is None


@pytest.mark.parametrize("radius_arcsec", [0.5, 1.0, 20.0])
def test_close_pairs_are_those_of_all_pairs(radius_arcsec):
    ra, dec = scattered(3, 400, 0.0, 60.0, 0.05)
    apart = angles((ra, dec), (ra, dec)) * 3600.0
    pairs = set(map(tuple, sky.close_pairs(sky.positions(ra, dec), radius_arcsec).tolist()))
    within, near = (
        set(zip(*(side.tolist() for side in np.nonzero(np.triu(apart < r, 1))), strict=True))
        for r in (radius_arcsec, radius_arcsec + 0.01)
    )
    assert within <= pairs <= near


def test_a_galaxy_at_the_place_of_another_is_a_pair():
    place = sky.positions(np.array([12.0, 12.0, 50.0]), np.array([3.0, 3.0, 3.0]))
    assert sky.close_pairs(place, 1.0).tolist() == [[0, 1]]


def test_cells_are_those_of_healpix():
    import healpy

    ra, dec = scattered(4, 100, 100.0, 10.0, 40.0)
    expected = healpy.ang2pix(32, ra, dec, nest=True, lonlat=True)
    assert np.array_equal(sky.cells_of(sky.positions(ra, dec), 32), expected)
