import anchor_world as world
import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.evaluation.anchors import exclusion_counts, read_anchor_catalog
from darkhaloscope.hashing import sha256_file
from darkhaloscope.schema import ANCHORS


def read(tmp_path, rows, **options) -> pa.Table:
    return read_anchor_catalog(
        world.write_catalog(tmp_path / "known.csv", rows), release=world.RELEASE, **options
    )


def one(tmp_path, **row) -> dict:
    return read(tmp_path, [{"ra": 12.0, "dec": 6.0, **row}]).to_pylist()[0]


class Halves:
    """Train east of RA 100, test west of it."""

    def of(self, ra, dec):
        assert len(ra) == len(dec)
        return np.where(np.asarray(ra) > 100.0, "train", "test")


def test_a_lens_is_graded_and_carries_its_provenance(tmp_path):
    row = one(tmp_path, name="J1", zlens="0.4", ref=world.SPECTROSCOPIC)
    assert (row["kind"], row["object_class"], row["discovery"]) == ("lens", "galaxy lens", "spectroscopic")
    assert (row["use"], row["exclude_reason"], row["z_lens"]) == ("grade", "", 0.4)
    assert row["catalog_sha256"] == sha256_file(tmp_path / "known.csv")
    assert row["catalog_row"] == 0
    assert row["anchor_id"] == f"{row['catalog_sha256'][:8]}-0"


def test_table_follows_the_schema(tmp_path):
    ANCHORS.validate(read(tmp_path, [{"ra": 12.0, "dec": 6.0}]))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"ref": world.QUASARS}, "quasar"),
        ({"ref": "Lopes et al. (2004) - doi:10.1086/423038"}, "cluster"),
        ({"type": "cluster"}, "cluster"),
        ({"type": "group"}, "group"),
        ({"type": "nebula"}, "unknown_type"),
        ({"type": "galaxy | cluster"}, "multi_valued"),
        ({"grading": "confident | probable"}, "multi_valued"),
        ({"ref": ""}, "no_reference"),
        ({"ref": "Somebody et al. (2031)"}, "unknown_reference"),
        ({"ref": "Moustakas et al. (2012) - adsabs:2012hst..prop12833M"}, "no_discovery"),
        ({"type": "ring", "ref": "Placeholder"}, "unknown_reference"),
    ],
)
def test_a_row_that_is_no_anchor_is_kept_with_its_reason(tmp_path, row, reason):
    found = one(tmp_path, **row)
    assert found["exclude_reason"].split(":")[0] == reason
    assert found["use"] == "exclude"


def test_imaging_claims_win_over_spectroscopic_ones(tmp_path):
    both = one(tmp_path, ref=f"{world.SPECTROSCOPIC} | {world.IMAGING} | {world.NETWORK}")
    assert both["discovery"] == "imaging"
    assert one(tmp_path, ref=f"{world.SPECTROSCOPIC} | {world.NETWORK}")["discovery"] == "network"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.4", 0.4), ("-", None), ("measured", None), ("0.4?", None), ("0.41 | 0.41 | nan", 0.41),
     ("0.40 | 0.45", None), ("nan", None), ("0.4 | maybe 0.4", None)],
)  # fmt: skip
def test_redshifts_are_numbers_that_agree_or_nothing(tmp_path, text, expected):
    assert one(tmp_path, zlens=text)["z_lens"] == (None if expected is None else pytest.approx(expected))


def test_lookalikes_of_train_cells_may_be_hard_negatives_and_lenses_never(tmp_path):
    rows = [
        {"ra": ra, "dec": 6.0, "type": kind, "ref": world.RINGS if kind == "ring" else world.IMAGING}
        for ra in (12.0, 200.0)
        for kind in ("ring", "galaxy")
    ]
    for index, row in enumerate(rows):
        row["dec"] += index
    table = read(tmp_path, rows, splits=Halves())
    assert table["use"].to_pylist() == ["grade", "grade", "hard_negative", "grade"]
    assert read(tmp_path, rows)["use"].to_pylist() == ["grade"] * 4


def test_rows_at_one_position_are_one_object_whatever_their_names(tmp_path):
    rows = [
        world.at((12.0, 6.0), 0.0, name="first", grading="probable"),
        world.at((12.0, 6.0), 1.0, name="second", grading="confident"),
        world.at((12.0, 6.0), 30.0, name="first", grading="probable"),
    ]
    table = read(tmp_path, rows)
    kept = table["anchor_id"][1].as_py()
    assert table["exclude_reason"].to_pylist() == [f"duplicate: of {kept}", "", ""]


def test_lens_and_lookalike_at_one_position_use_neither(tmp_path):
    rows = [world.at((12.0, 6.0)), world.at((12.0, 6.0), 0.5, type="ring", ref=world.RINGS)]
    assert exclusion_counts(read(tmp_path, rows)) == {"class_conflict": 2}


def test_names_filled_by_a_spreadsheet_lose_their_identity(tmp_path):
    rows = [{"name": f"000008+0226{58 + i}", "ra": 0.5 + 3.0 * i, "dec": 2.4 - 0.7 * i} for i in range(3)]
    # A list's own running numbers are labels, however far apart the objects are.
    rows += [{"name": str(11 + i), "ra": 100.0 + 5.0 * i, "dec": -3.0} for i in range(3)]
    counts = exclusion_counts(read(tmp_path, rows))
    assert counts == {"name_series": 2, "used": 4}


def test_sky_of_another_camera_is_excluded(tmp_path):
    # Dec 40 at RA 150 lies north of the Galactic plane: BASS/MzLS; at RA 30 it lies south of it: DECam.
    rows = [{"ra": 150.0, "dec": 40.0}, {"ra": 30.0, "dec": 40.0}, {"ra": 150.0, "dec": 32.0}]
    reasons = read(tmp_path, rows)["exclude_reason"].to_pylist()
    assert [bool(reason) for reason in reasons] == [True, False, False]
    assert reasons[0].startswith("photsys")


@pytest.mark.parametrize("position", [("", 6.0), ("12.0 | 13.0", 6.0), (12.0, 95.0), ("nan", 6.0)])
def test_a_row_without_one_position_stops_the_reader_and_is_named(tmp_path, position):
    rows = [{"ra": 12.0, "dec": 6.0}, {"ra": position[0], "dec": position[1]}]
    with pytest.raises(DataError, match="row 1"):
        read(tmp_path, rows)


def test_missing_file_missing_column_and_no_row_are_typed(tmp_path):
    with pytest.raises(MissingDataError, match=r"known\.csv"):
        read_anchor_catalog(tmp_path / "known.csv", release=world.RELEASE)
    (tmp_path / "known.csv").write_text("name,RA [deg],DEC [deg],zlens,type,grading\na,1,2,-,galaxy,x\n")
    with pytest.raises(DataError, match="field ref"):
        read_anchor_catalog(tmp_path / "known.csv", release=world.RELEASE)
    with pytest.raises(DataError, match="empty"):
        read(tmp_path, [])


@pytest.mark.realdata
def test_lenscat_is_read_with_every_row_accounted_for(realdata):
    table = read_anchor_catalog(realdata / "catalogs" / "lenscat_1.1.3.csv", release=world.RELEASE)
    assert table.num_rows == 32_838
    assert exclusion_counts(table) == {
        "cluster": 15_044,
        "duplicate": 55,
        "group": 48,
        "name_series": 24,
        "no_discovery": 1_348,
        "photsys": 1_782,
        "quasar": 301,
        "unknown_reference": 67,
        "used": 14_169,
    }
    used = [row for row in table.select(["discovery", "grade", "use"]).to_pylist() if row["use"] != "exclude"]
    # survey-wide count of confident SLACS, BELLS, S4TM and SILO lenses below Dec 32.375 deg
    assert sum(r["discovery"] == "spectroscopic" and r["grade"] == "confident" for r in used) == 428


@pytest.mark.realdata
def test_the_brightest_anchor_of_the_predecessor_is_a_lensed_quasar(realdata):
    table = read_anchor_catalog(realdata / "catalogs" / "lenscat_1.1.3.csv", release=world.RELEASE)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    near = np.flatnonzero((np.abs(ra - 128.07110) < 1e-3) & (np.abs(dec - 4.06789) < 1e-3))
    assert near.size
    assert all(table["exclude_reason"][int(i)].as_py().startswith("quasar") for i in near)
