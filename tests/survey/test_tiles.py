import json

import healpy as hp
import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.config import Split
from darkhaloscope.errors import DataError
from darkhaloscope.survey.healpix import CellBoundary, unit_vectors
from darkhaloscope.survey.tiles import SplitMap, assign_splits, cell_ids, tile_keys


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


def test_cells_are_nested_pixels_of_known_positions():
    # The centre of a NESTED pixel is in it, and its parent is its number / 4 per level.
    ra, dec = hp.pix2ang(32, [0, 777, 12287], nest=True, lonlat=True)
    assert cell_ids(ra, dec, 32).tolist() == [0, 777, 12287]
    assert tile_keys(ra, dec) == ["000", f"{777 >> 4:03d}", f"{12287 >> 4:03d}"]


def test_a_position_off_the_sky_names_its_row():
    for ra, dec in ((np.nan, 0.0), (10.0, 91.0), (10.0, np.nan)):
        with pytest.raises(DataError, match="row 1"):
            cell_ids([1.0, ra], [1.0, dec], 32)


@pytest.mark.parametrize("seed", [1, 13, 99])
def test_galaxies_and_area_both_reach_the_fractions(seed):
    # Density rises threefold across the patch, so balance in area alone would miss the galaxies.
    sky = patch(density=lambda ra: 1000 + 125 * (ra - 30))
    shares = assign_splits(sky, Split(seed=seed)).shares()
    for name, fraction in zip(("train", "val", "test"), (0.70, 0.15, 0.15), strict=True):
        assert shares[name]["galaxies"] == pytest.approx(fraction, abs=0.01)
        assert shares[name]["area"] == pytest.approx(fraction, abs=0.01)


def test_twenty_lone_bricks_fill_every_split():
    ra, dec = cell_centres(20)
    splits = assign_splits(bricks(ra, dec, 900 + 20 * np.arange(20)), Split())
    counts = {name: list(splits.cells.values()).count(name) for name in ("train", "val", "test")}
    assert counts == {"train": 14, "val": 3, "test": 3}


def test_seed_decides_and_order_of_rows_does_not():
    sky = patch()
    first = assign_splits(sky, Split(seed=1))
    order = np.random.default_rng([1]).permutation(sky.num_rows)
    assert assign_splits(sky.take(order), Split(seed=1)).cells == first.cells
    assert assign_splits(sky, Split(seed=2)).cells != first.cells


def test_bricks_that_are_not_ok_do_not_count():
    ra, dec = cell_centres(20)
    status = ["ok"] * 19 + ["missing image-z"]
    splits = assign_splits(bricks(ra, dec, np.full(20, 1000), status), Split())
    assert int(cell_ids(ra[-1:], dec[-1:], 32)[0]) not in splits.cells
    assert len(splits.cells) == 19


def test_positions_get_the_split_of_their_cell_or_guard():
    splits = assign_splits(patch(), Split(guard_deg=0.0))
    ra, dec = hp.pix2ang(32, sorted(splits.cells), nest=True, lonlat=True)
    assert splits.of(ra, dec).tolist() == [splits.cells[c] for c in sorted(splits.cells)]
    assert splits.of([200.0], [60.0]).tolist() == ["guard"]  # no footprint there


def test_guard_is_never_nearer_than_stated_and_hardly_wider():
    radius = 0.5
    splits = assign_splits(patch(), Split(guard_deg=radius))
    rng = np.random.default_rng([3])
    ra, dec = rng.uniform(29.0, 47.0, 4000), rng.uniform(-9.0, 9.0, 4000)
    given = splits.of(ra, dec)
    test_cells = [c for c, s in splits.cells.items() if s == "test"]
    # Distance to the test cells by brute force: every fine pixel inside them.
    fine = np.concatenate([np.arange(c * 4**6, (c + 1) * 4**6) for c in test_cells])
    inside = unit_vectors(*hp.pix2ang(2048, fine, nest=True, lonlat=True))
    position = unit_vectors(ra, dec)
    separation = np.array([np.degrees(np.arccos(np.clip((inside @ p).max(), -1, 1))) for p in position])
    fine_size = np.degrees(hp.max_pixrad(2048))
    used = np.isin(given, ("train", "val"))
    assert (separation[used] > radius - 1e-9).all()
    assert (given[np.isin(cell_ids(ra, dec, 32), test_cells)] == "test").all()
    guarded = (given == "guard") & np.isin(cell_ids(ra, dec, 32), sorted(splits.cells))
    assert guarded.sum() > 100
    assert (separation[guarded] < radius + 0.011 + fine_size).all()


def test_no_test_cells_means_no_guard():
    assert not CellBoundary(32, []).within([10.0], [5.0], 0.5).any()


def test_map_survives_json():
    splits = assign_splits(patch(6.0), Split(fractions=(0.5, 0.25, 0.25), guard_deg=0.2))
    again = SplitMap.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert again == splits
    assert again.table().equals(splits.table())


def test_too_few_cells_and_empty_skies_are_errors():
    ra, dec = cell_centres(2)
    with pytest.raises(DataError, match="Too few sky cells"):
        assign_splits(bricks(ra, dec, [10, 10]), Split())
    with pytest.raises(DataError, match="No usable brick"):
        assign_splits(bricks(ra, dec, [10, 10], ["missing image-z"] * 2), Split())
    ra, dec = cell_centres(20)
    with pytest.raises(DataError, match="no galaxies"):
        assign_splits(bricks(ra, dec, np.zeros(20)), Split())


def test_a_split_of_zero_fraction_stays_empty():
    splits = assign_splits(patch(6.0), Split(fractions=(0.8, 0.0, 0.2)))
    assert "val" not in splits.cells.values()
