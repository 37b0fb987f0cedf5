import healpy as hp
import numpy as np
import pytest
from footprints import bricks, cell_centres, demo, like_dr10, patch

from darkhaloscope.config import Split
from darkhaloscope.errors import DataError
from darkhaloscope.survey.dealing import assign_splits, usable_shares
from darkhaloscope.survey.tiles import SPLITS, cell_ids

FRACTIONS = dict(zip(SPLITS, (0.70, 0.15, 0.15), strict=True))


def off_by(splits, names=("galaxies", "area")):
    shares = splits.shares()
    return max(abs(shares[name][what] - FRACTIONS[name]) for name in SPLITS for what in names)


@pytest.fixture(scope="module")
def survey():
    return like_dr10()


@pytest.mark.parametrize("nside", [32, 64, 128])
@pytest.mark.parametrize("seed", [1, 13])
def test_a_survey_is_divided_within_a_point_in_galaxies_and_in_area(survey, nside, seed):
    splits = assign_splits(survey, Split(nside=nside, seed=seed))
    assert len(splits.cells) > 4000
    assert off_by(splits) < 0.002
    # No split is a region: each holds its share of every band in declination too.
    dec = hp.pix2ang(nside, sorted(splits.cells), nest=True, lonlat=True)[1]
    side = np.array([splits.cells[cell] for cell in sorted(splits.cells)])
    for low in (-60.0, -30.0, 0.0):
        inside = (dec > low) & (dec < low + 30.0)
        assert (side[inside] == "test").mean() == pytest.approx(0.15, abs=0.05)


@pytest.mark.parametrize("nside", [32, 64, 128])
@pytest.mark.parametrize("seed", [1, 13, 77])
def test_the_sky_of_the_demo_is_divided_within_a_point(nside, seed):
    splits = assign_splits(demo(), Split(nside=nside, seed=seed))
    assert set(splits.cells.values()) == set(SPLITS)
    assert off_by(splits) < 0.01


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


def dealt_in_steps(table, split, steps):
    """Deal a footprint that grows; return the last map, having seen that no cell ever moved."""
    published = None
    edges = np.linspace(0, table.num_rows, steps + 1).astype(int)[1:]
    for rows in edges:
        splits = assign_splits(table.slice(0, rows), split, published=published)
        if published is not None:
            assert {cell: splits.cells[cell] for cell in published.cells} == published.cells
        published = splits
    return published


def test_a_footprint_that_grows_brick_by_brick_moves_no_cell_and_stays_balanced():
    table = patch(30.0, density=lambda ra: 1000 + 100 * (ra - 30))
    # In the order of a survey: stripes of declination, so that a cell fills over many steps.
    order = np.lexsort((table["ra1"].to_numpy(), table["dec1"].to_numpy()))
    table = table.take(order)
    start, published = 200, None
    for rows in range(start, start + 120):
        splits = assign_splits(table.slice(0, rows), Split(nside=64), published=published)
        if published is not None:
            assert {cell: splits.cells[cell] for cell in published.cells} == published.cells
            assert 0 <= len(splits.cells) - len(published.cells) <= 6
        published = splits
    grown = dealt_in_steps(table, Split(nside=64), 60)
    at_once = assign_splits(table, Split(nside=64))
    assert set(grown.cells) == set(at_once.cells)
    assert grown.n_galaxies == at_once.n_galaxies
    assert off_by(grown) < 0.01
    assert grown.cells != at_once.cells, "the whole sky dealt anew would have moved cells"


def test_a_survey_that_grows_by_tenths_stays_within_a_point(survey):
    order = np.argsort(survey["ra1"].to_numpy(), kind="stable")
    assert off_by(dealt_in_steps(survey.take(order), Split(), 10)) < 0.01


def test_bricks_that_vanish_leave_their_cells_where_they_were():
    table = patch()
    first = assign_splits(table, Split())
    fewer = assign_splits(table.slice(0, table.num_rows // 2), Split(), published=first)
    assert fewer.cells == first.cells
    empty = [cell for cell in fewer.cells if fewer.area_deg2[cell] == 0.0]
    assert empty
    again = assign_splits(table, Split(), published=fewer)
    assert again == first


def test_new_cells_mend_a_map_that_is_out_of_balance():
    table = patch()
    half = assign_splits(table.slice(0, table.num_rows // 3), Split(fractions=(0.4, 0.3, 0.3)))
    assert off_by(half) > 0.1
    grown = assign_splits(table, Split(), published=half)
    assert off_by(grown) < 0.011


def test_a_published_map_of_other_cells_is_an_error():
    published = assign_splits(patch(), Split(nside=32))
    with pytest.raises(DataError, match="publish another beside it"):
        assign_splits(patch(), Split(nside=64), published=published)


def test_the_guard_band_is_what_the_splits_may_not_use():
    table = patch()
    splits = assign_splits(table, Split())
    usable = usable_shares(splits, table)
    assert sum(usable.values()) == pytest.approx(1.0)
    assert usable["test"] == pytest.approx(splits.shares()["test"]["galaxies"], abs=1e-9)
    assert usable["guard"] > 0.05
    assert usable["train"] + usable["val"] + usable["guard"] == pytest.approx(1.0 - usable["test"])
    assert usable_shares(assign_splits(table, Split(guard_deg=0.0)), table)["guard"] == 0.0


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
