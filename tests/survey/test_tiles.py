import healpy as hp
import numpy as np
import pytest
from footprints import patch

from darkhaloscope.config import Split
from darkhaloscope.errors import DataError
from darkhaloscope.survey.dealing import assign_splits
from darkhaloscope.survey.healpix import unit_vectors
from darkhaloscope.survey.tiles import SPLIT_CODES, cell_ids, tile_keys


def test_cells_are_nested_pixels_of_known_positions():
    # The centre of a NESTED pixel is in it, and its parent is its number / 4 per level.
    ra, dec = hp.pix2ang(32, [0, 777, 12287], nest=True, lonlat=True)
    assert cell_ids(ra, dec, 32).tolist() == [0, 777, 12287]
    assert tile_keys(ra, dec) == ["000", f"{777 >> 4:03d}", f"{12287 >> 4:03d}"]


def test_a_position_off_the_sky_names_its_row():
    for ra, dec in ((np.nan, 0.0), (10.0, 91.0), (10.0, np.nan)):
        with pytest.raises(DataError, match="row 1"):
            cell_ids([1.0, ra], [1.0, dec], 32)


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


def test_codes_are_the_names_in_any_company():
    """Many positions cross block borders and meet remembered pixels; the answer of each is its own."""
    splits = assign_splits(patch(), Split())
    rng = np.random.default_rng([4])
    ra, dec = rng.uniform(29.0, 47.0, (1 << 20) + 500), rng.uniform(-9.0, 9.0, (1 << 20) + 500)
    names = splits.of(ra, dec)
    assert set(names) == set(SPLIT_CODES)
    for rows in (slice(0, 50), slice((1 << 20) - 50, (1 << 20) + 50)):
        alone = assign_splits(patch(), Split())
        assert [str(alone.of([a], [d])[0]) for a, d in zip(ra[rows], dec[rows], strict=True)] == names[
            rows
        ].tolist()
