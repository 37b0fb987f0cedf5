import healpy as hp
import numpy as np
import pytest

from darkhaloscope.survey.healpix import CellBoundary, unit_vectors


def finely_sampled(nside, cells):
    """Outline of cells at 20 times the density that the boundary uses."""
    corners = hp.boundaries(nside, cells, step=20 * 4096 // nside // 4, nest=True)
    return np.moveaxis(corners, 1, 2).reshape(-1, 3)


def separation_deg(outline, ra, dec):
    chords = [np.sqrt(((outline - v) ** 2).sum(axis=1).min()) for v in unit_vectors(ra, dec)]
    return np.degrees(2.0 * np.arcsin(np.array(chords) / 2.0))


def around(ra0, dec0, n, radius_deg, seed):
    """Positions spread evenly in a cap, which may hold a pole or cross RA 0."""
    rng = np.random.default_rng([seed])
    centre = unit_vectors([ra0], [dec0])[0]
    vector = rng.normal(size=(n, 3)) * np.radians(radius_deg) / 2.0 + centre
    lon, lat = hp.vec2ang(vector, lonlat=True)
    return np.asarray(lon), np.asarray(lat)


PLACES = {
    "north pole": (0.0, 90.0),
    "south pole": (123.0, -90.0),
    "RA 0 on the equator": (0.0, 0.0),
    "RA 0 at high declination": (359.99, 60.0),
    "elsewhere": (211.0, -33.0),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("nside", "radius"), [(32, 0.5), (64, 0.2), (128, 0.5)])
def test_band_is_that_of_brute_force(place, nside, radius):
    ra0, dec0 = PLACES[place]
    cells = np.unique(hp.ang2pix(nside, *around(ra0, dec0, 3, 1.0, seed=1), nest=True, lonlat=True))
    boundary = CellBoundary(nside, cells)
    ra, dec = around(ra0, dec0, 1500, 3.0, seed=2)
    true = separation_deg(finely_sampled(nside, cells), ra, dec)
    near = boundary.within(ra, dec, radius)
    assert boundary.margin_deg < 0.012
    assert near[true < radius].all(), "a position nearer than the radius is never missed"
    assert not near[true > radius + 2.0 * boundary.margin_deg].any()
    assert 50 < near.sum() < 1450
    # Remembered pixels give the same answer, alone and in any order.
    order = np.random.default_rng([3]).permutation(len(ra))
    assert np.array_equal(boundary.within(ra[order], dec[order], radius), near[order])
    assert [
        bool(boundary.within([a], [d], radius)[0]) for a, d in zip(ra[:40], dec[:40], strict=True)
    ] == near[:40].tolist()


def test_radii_are_remembered_apart():
    boundary = CellBoundary(32, [777])
    ra, dec = hp.pix2ang(32, [777], nest=True, lonlat=True)
    ra, dec = np.repeat(ra, 200) + np.linspace(-3.0, 3.0, 200), np.repeat(dec, 200)
    narrow, wide = boundary.within(ra, dec, 0.1), boundary.within(ra, dec, 1.0)
    assert narrow.sum() < wide.sum()
    assert np.array_equal(wide, CellBoundary(32, [777]).within(ra, dec, 1.0))
    assert np.array_equal(boundary.within(ra, dec, 0.1), narrow)


def test_no_cells_and_no_radius_mean_no_band():
    assert not CellBoundary(32, []).within([10.0], [5.0], 0.5).any()
    assert not CellBoundary(32, [777]).within(*hp.pix2ang(32, [777], nest=True, lonlat=True), 0.0).any()
