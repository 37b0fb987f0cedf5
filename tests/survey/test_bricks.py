import numpy as np
import pytest
import sky_tree
from astropy.table import Table

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey.bricks import candidate_bricks, read_footprint, status_counts
from darkhaloscope.survey.healpix import tile_keys
from darkhaloscope.survey.release import DR10_SOUTH


def test_footprint_holds_geometry_depth_and_counts(pristine_tree):
    bricks = read_footprint(pristine_tree, DR10_SOUTH)
    assert bricks["brickname"].to_pylist() == ["0119p060", "0120p060"]
    assert status_counts(bricks) == {"ok": 2}
    row = bricks.to_pylist()[1]
    assert row["brickid"] == 1001
    assert row["tile"] == tile_keys(12.0, 6.0)[0]
    assert row["n_galaxies"] == 4 + 3 + 2 + 1
    assert row["area_deg2"] == pytest.approx(0.026**2, rel=1e-4)
    for band in sky_tree.BANDS:
        assert row[f"psfdepth_{band}_mag"] == pytest.approx(sky_tree.DEPTH_MAG[band], abs=1e-5)
        assert row[f"psfsize_{band}_arcsec"] == pytest.approx(sky_tree.SEEING[band], abs=1e-5)
        assert row[f"nexp_{band}"] == 3


@pytest.mark.parametrize(
    ("product", "band", "status"),
    [
        ("image", "z", "missing image-z"),
        ("psfsize", "g", "missing psfsize-g"),
        ("maskbits", None, "missing maskbits"),
    ],
)
def test_a_missing_file_is_named(tree, product, band, status):
    sky_tree.pair()[0].file(tree, product, band).unlink()
    bricks = read_footprint(tree, DR10_SOUTH)
    assert dict(zip(bricks["brickname"].to_pylist(), bricks["status"].to_pylist(), strict=True)) == {
        "0119p060": "ok",
        "0120p060": status,
    }


def test_uncovered_unlisted_absent_and_foreign_bricks_stay_as_rows(tmp_path):
    bricks = [
        *sky_tree.pair(),
        sky_tree.Brick("0200p050", 1, 20.0, 5.0, nexp=0),
        sky_tree.Brick("0300p050", 2, 30.0, 5.0, listed=False),
        sky_tree.Brick("0400p050", 3, 40.0, 5.0),
        sky_tree.Brick("2000p340", 4, 200.0, 34.0),  # north of the line and of the Galactic plane
    ]
    sky_tree.write_tree(tmp_path, bricks[:2])
    sky_tree.write_brick_tables(tmp_path, bricks)
    found = read_footprint(tmp_path, DR10_SOUTH)
    statuses = dict(zip(found["brickname"].to_pylist(), found["status"].to_pylist(), strict=True))
    assert statuses == {
        "0119p060": "ok",
        "0120p060": "ok",
        "0200p050": "no coverage",
        "0300p050": "no coverage",
        "0400p050": "missing coadd directory",
        "2000p340": "outside release",
    }
    unlisted = found.to_pylist()[found["brickname"].to_pylist().index("0300p050")]
    assert np.isnan(unlisted["psfdepth_r_mag"])
    assert unlisted["n_galaxies"] == 0


def test_one_band_without_exposures_is_named(tree):
    path = tree / "south" / "survey-bricks-dr10-south.fits.gz"
    summary = Table.read(path)
    summary["nexp_z"][0] = 0
    summary["psfsize_z"][0] = 0.0
    summary["psfdepth_z"][0] = 0.0
    summary.write(path, overwrite=True)
    bricks = read_footprint(tree, DR10_SOUTH)
    row = bricks.to_pylist()[bricks["brickname"].to_pylist().index(str(summary["brickname"][0]))]
    assert row["status"] == "no coverage in z"
    assert np.isnan(row["psfsize_z_arcsec"])
    assert np.isnan(row["psfdepth_z_mag"])


def test_tables_that_contradict_each_other_are_refused(tree):
    path = tree / "south" / "survey-bricks-dr10-south.fits.gz"
    summary = Table.read(path)
    summary["brickname"][0] = "9999p999"
    summary.write(path, overwrite=True)
    with pytest.raises(DataError, match="9999p999"):
        read_footprint(tree, DR10_SOUTH)
    summary["brickname"][0] = summary["brickname"][1]
    summary.write(path, overwrite=True)
    with pytest.raises(DataError, match="listed twice"):
        read_footprint(tree, DR10_SOUTH)


def test_missing_summary_names_the_path(tree):
    (tree / "south" / "survey-bricks-dr10-south.fits.gz").unlink()
    with pytest.raises(MissingDataError, match="survey-bricks-dr10-south"):
        read_footprint(tree, DR10_SOUTH)


def test_candidates_are_the_own_brick_then_overlapping_ones(pristine_tree):
    bricks = read_footprint(pristine_tree, DR10_SOUTH)
    edge = 12.0 - 0.013 / np.cos(np.radians(6.0))  # where the two boxes meet
    assert candidate_bricks(bricks, [12.01, edge + 1e-4, edge - 1e-4, 13.0], [6.0] * 4) == [
        ["0120p060"],
        ["0120p060", "0119p060"],
        ["0119p060", "0120p060"],
        [],
    ]


def test_candidates_across_ra_zero(tmp_path):
    sky_tree.write_brick_tables(tmp_path, sky_tree.pair(ra=0.005))
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    assert candidate_bricks(bricks, [359.9925, 359.9915], [6.0, 6.0]) == [
        ["0120p060", "0119p060"],
        ["0119p060", "0120p060"],
    ]
