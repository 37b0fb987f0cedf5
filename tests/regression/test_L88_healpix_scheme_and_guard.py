"""NESTED was mixed with RING, pixels were NaN, and a 0.5 deg guard was a 2 deg check."""

import healpy as hp
import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.config import Split
from darkhaloscope.errors import DataError
from darkhaloscope.survey.dealing import assign_splits
from darkhaloscope.survey.tiles import SplitMap, cell_ids


@pytest.fixture(scope="module")
def splits():
    ra, dec = (a.ravel() for a in np.meshgrid(np.arange(140, 154, 0.25), np.arange(20, 31, 0.25)))
    wide = 0.125 / np.cos(np.radians(dec))
    bricks = pa.table(
        {
            "ra1": ra - wide, "ra2": ra + wide, "dec1": dec - 0.125, "dec2": dec + 0.125,
            "n_galaxies": np.full(len(ra), 800), "area_deg2": np.full(len(ra), 0.0625),
            "status": ["ok"] * len(ra),
        }
    )  # fmt: skip
    return assign_splits(bricks, Split(guard_deg=0.5))


def test_cells_are_nested():
    # Children of a NESTED pixel carry its number in their upper bits; RING has no such rule.
    ra, dec = np.random.default_rng([1]).uniform([0, -80], [360, 80], (500, 2)).T
    assert np.array_equal(cell_ids(ra, dec, 64) // 4, cell_ids(ra, dec, 32))
    assert not np.array_equal(hp.ang2pix(32, ra, dec, nest=False, lonlat=True), cell_ids(ra, dec, 32))


def test_every_object_has_a_split_and_an_undefined_one_is_an_error(splits: SplitMap):
    ra, dec = np.random.default_rng([2]).uniform([140, 20], [153, 30], (3000, 2)).T
    assert set(splits.of(ra, dec)) == {"train", "val", "test", "guard"}
    with pytest.raises(DataError, match="not on the sky"):
        splits.of([np.nan], [25.0])


def test_measured_distance_of_train_to_test_is_the_declared_guard(splits: SplitMap):
    ra, dec = np.random.default_rng([3]).uniform([140, 20], [153, 30], (6000, 2)).T
    given = splits.of(ra, dec)
    vector = hp.ang2vec(ra, dec, lonlat=True)
    test = vector[given == "test"]
    for name in ("train", "val"):
        cosine = vector[given == name] @ test.T
        nearest = np.degrees(np.arccos(np.clip(cosine.max(axis=1), -1.0, 1.0)))
        assert nearest.min() >= 0.5
        assert nearest.min() < 0.7  # and no wider than declared
