"""Bricks: names, cells, boxes and the border of the primary region."""

import healpy as hp
import numpy as np
import pytest

from darkhaloscope.errors import ConfigError
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import CELL_NSIDE, grid_brick, plan_bricks
from darkhaloscope.survey.mock.masks import primary_map


def cell(brick):
    return int(hp.ang2pix(CELL_NSIDE, brick.ra, brick.dec, nest=True, lonlat=True))


def test_the_demo_sky_has_the_bricks_that_splits_need():
    bricks = plan_bricks(MockSkyConfig())
    usable = [b for b in bricks if b.kind == "ok"]
    assert len(usable) == 20
    assert len({cell(b) for b in usable}) == 18
    assert len({cell(b) // 16 for b in usable}) == 3
    assert sorted(b.kind for b in bricks if b.kind != "ok") == ["missing_band", "zero_coverage"]
    assert len({b.name for b in bricks}) == len(bricks)


def test_bricks_of_other_cells_are_farther_than_a_guard_band():
    bricks = plan_bricks(MockSkyConfig())
    v = np.array([hp.ang2vec(b.ra, b.dec, lonlat=True) for b in bricks])
    apart = np.rad2deg(np.arccos(np.clip(v @ v.T, -1, 1)))
    other = np.array([[cell(a) != cell(b) for b in bricks] for a in bricks])
    assert apart[other].min() > 0.5 + 0.2


def test_pairs_overlap_and_share_a_border():
    for config in (MockSkyConfig(), MockSkyConfig.tiny()):
        usable = [b for b in plan_bricks(config) if b.kind == "ok"]
        pairs = [(a, b) for a in usable for b in usable if a.ra < b.ra and cell(a) == cell(b)]
        assert len(pairs) == config.n_pairs
        for west, east in pairs:
            assert west.bounds_deg[1] == pytest.approx(east.bounds_deg[0])
            assert west.name != east.name


def test_dr10_bricks_have_dr10_names_and_size():
    brick = grid_brick(451, 496, 0.25, "ok")
    assert (brick.name, brick.ra, brick.dec) == ("1241p228", 124.125, 22.875)
    ra, dec = brick.wcs(3600).all_pix2world([-0.5, 3599.5], [-0.5, 3599.5], 0)
    assert dec[1] - dec[0] == pytest.approx(3600 * 0.262 / 3600, rel=1e-4)
    assert ra[0] > ra[1], "RA increases to the left"


def test_primary_map_follows_the_box():
    brick = grid_brick(833, 336, 0.1, "ok")
    size = 1540
    inside = primary_map(brick, size)
    rng = np.random.default_rng(np.random.Philox(key=5))
    x, y = rng.integers(0, size, (2, 4000))
    assert np.array_equal(inside[y, x], brick.contains(*brick.wcs(size).all_pix2world(x, y, 0)))
    for edge in (inside[:, size // 2], inside[size // 2]):
        assert 60 < np.flatnonzero(edge)[0] < 130


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n_pairs": 30}, "n_bricks"),
        ({"hosts_per_brick": 5000}, "hosts_per_brick"),
        ({"brick_px": 200}, "brick_px"),
        ({"missing_band": "i"}, "missing_band"),
        ({"tiles": ()}, "tiles"),
    ],
)
def test_impossible_skies_are_refused(changes, field):
    with pytest.raises(ConfigError, match=field):
        MockSkyConfig(**changes)


def test_too_many_bricks_for_the_tiles():
    with pytest.raises(ConfigError, match="add a tile"):
        plan_bricks(MockSkyConfig(tiles=("276",)))
