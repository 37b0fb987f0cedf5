"""A hash of large regions planned 20/70/10 and put 81 % of the sky into test."""

import healpy as hp
import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.config import Split
from darkhaloscope.survey.dealing import assign_splits


def region(name_start, cells, galaxies):
    ra, dec = hp.pix2ang(32, np.arange(name_start, name_start + cells), nest=True, lonlat=True)
    return [(a, d, galaxies) for a, d in zip(ra, dec, strict=True)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.2, 0.7, 0.1)])
def test_two_regions_that_dominate_the_sky_still_split_as_declared(seed, fractions):
    # Sizes as the predecessor's: two regions of 115 and 91, and scraps; the small ones are twice as rich.
    rows = region(1000, 115, 900) + region(5000, 91, 1100) + region(9000, 6, 2000)
    ra, dec, galaxies = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    bricks = pa.table(
        {
            "ra1": ra - 0.1, "ra2": ra + 0.1, "dec1": dec - 0.1, "dec2": dec + 0.1,
            "n_galaxies": galaxies.astype(np.int64), "area_deg2": np.full(len(ra), 0.04),
            "status": ["ok"] * len(ra),
        }
    )  # fmt: skip
    shares = assign_splits(bricks, Split(seed=seed, fractions=fractions)).shares()
    for name, fraction in zip(("train", "val", "test"), fractions, strict=True):
        assert shares[name]["galaxies"] == pytest.approx(fraction, abs=0.01)
        assert shares[name]["area"] == pytest.approx(fraction, abs=0.01)
