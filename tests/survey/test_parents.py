import numpy as np
import pyarrow as pa
import pytest
import sky_tree

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.schema import PARENTS, SELECTIONS
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import ANCHOR_REACH_ARCSEC, select_parents
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS


def select(root, tile=None):
    bricks = read_footprint(root, DR10_SOUTH)
    return select_parents(root, DR10_SOUTH, tile or bricks["tile"][0].as_py(), bricks).table


def rewrite(root, change):
    """Write the sweep of both bricks again after ``change(rows)``."""
    bricks = sky_tree.pair()
    rows = np.concatenate([sky_tree.sweep_rows(b) for b in bricks])
    change(rows)
    sky_tree.write_sweep(sky_tree.sweep_path(root, bricks[0]), rows)


def test_every_selected_source_is_a_row_with_its_flags(pristine_tree):
    parents = select(pristine_tree)
    PARENTS.validate(parents)
    assert parents["host_id"].to_pylist() == [f"10000-{b}-{o}" for b in (1002, 1001) for o in range(3)]
    assert set(parents["reject_reason"].to_pylist()) == {""}
    # z - W1 = 1.19 is too blue for v1 and v2.
    for selection in SELECTIONS:
        expected = not selection.startswith(("lrg_v1", "lrg_v2"))
        assert set(parents[f"is_{selection}"].to_pylist()) == {expected}, selection
    assert parents["psfdepth_z_mag"].to_pylist() == pytest.approx([sky_tree.DEPTH_MAG["z"]] * 6, abs=1e-5)


def test_unfit_sources_stay_with_their_reason(tree):
    def change(rows):
        rows["TYPE"][0] = "PSF"
        rows["MASKBITS"][1] = 1 << MASK_BITS["MEDIUM"]
        rows["NOBS_G"][2] = 0

    rewrite(tree, change)
    parents = select(tree)
    by_id = dict(zip(parents["host_id"].to_pylist(), parents["reject_reason"].to_pylist(), strict=True))
    assert by_id["10000-1001-0"] == "type_point_source"
    assert by_id["10000-1001-1"] == "mask_medium"
    assert by_id["10000-1001-2"] == "no_exposures_g"
    assert len(by_id) == 6


def test_galaxies_of_other_tiles_and_of_no_sample_are_not_rows(tree):
    def change(rows):
        rows["FLUX_W1"][0], rows["TYPE"][0] = 1.0, "REX"

    rewrite(tree, change)
    assert "10000-1001-0" not in select(tree)["host_id"].to_pylist()
    with pytest.raises(DataError, match="no brick"):
        select(tree, tile="000")


def test_a_source_in_two_sweeps_is_refused(tree):
    rewrite(tree, lambda rows: rows.__setitem__(1, rows[0]))
    with pytest.raises(DataError, match=r"twice.*10000-1001-0"):
        select(tree)


def test_a_tile_with_no_selected_source_is_an_empty_table(tree):
    def change(rows):
        rows["FLUX_W1"], rows["TYPE"] = 0.5, "REX"

    rewrite(tree, change)
    parents = select(tree)
    assert parents.num_rows == 0
    PARENTS.validate(parents)


def test_every_quality_cut_has_a_flag_and_the_first_failure_is_the_reason(tree):
    def change(rows):
        rows["NOBS_G"][0], rows["EBV"][0], rows["MASKBITS"][0] = 0, 0.5, 1 << MASK_BITS["MEDIUM"]
        rows["DEC"][1] += 0.02  # beyond the box of its brick

    rewrite(tree, change)
    parents = {row["host_id"]: row for row in select(tree).to_pylist()}
    failing = {
        "10000-1001-0": ({"nobs", "ebv", "maskbits"}, "no_exposures_g"),
        "10000-1001-1": ({"primary"}, "not_primary"),
        "10000-1001-2": (set(), ""),
    }
    for host, (cuts_failed, reason) in failing.items():
        flags = {name.removeprefix("passes_"): v for name, v in parents[host].items() if "passes_" in name}
        assert {cut for cut, passes in flags.items() if not passes} == cuts_failed
        assert parents[host]["reject_reason"] == reason


def test_raw_and_corrected_magnitudes_give_different_samples(tree):
    def change(rows):
        # r - z = 0.45 raw; extinction takes 0.1 mag from it, and 0.3 from z, which v3 needs below 20.4.
        rows["FLUX_R"][0], rows["FLUX_Z"][0] = 8.0, 8.0 * 10 ** (0.4 * 0.45)
        rows["FLUX_W1"][0] = 4.0 * rows["FLUX_Z"][0]
        rows["MW_TRANSMISSION_R"][0], rows["MW_TRANSMISSION_Z"][0] = 10**-0.16, 10**-0.12

    rewrite(tree, change)
    row = {r["host_id"]: r for r in select(tree).to_pylist()}["10000-1001-0"]
    assert (row["is_lrg_v3_raw"], row["is_lrg_v3_dered"]) == (True, False)
    assert (row["is_early_bright_raw"], row["is_early_bright_dered"]) == (True, True)


def test_known_objects_and_their_neighbours_are_marked(tree):
    bricks = read_footprint(tree, DR10_SOUTH)
    tile = bricks["tile"][0].as_py()
    plain = select_parents(tree, DR10_SOUTH, tile, bricks).table
    row = plain.to_pylist()[0]
    known = pa.table({"ra": [row["ra"], 200.0], "dec": [row["dec"] + 12.0 / 3600.0, -60.0]})
    marked = select_parents(tree, DR10_SOUTH, tile, bricks, known).table
    separations = marked["anchor_separation_arcsec"].to_pylist()
    assert separations[0] == pytest.approx(12.0, abs=1e-6)
    assert all(s is None or 12.0 < s <= ANCHOR_REACH_ARCSEC for s in separations[1:])
    assert None in separations
    assert plain["anchor_separation_arcsec"].null_count == plain.num_rows
    assert marked.drop_columns("anchor_separation_arcsec").equals(
        plain.drop_columns("anchor_separation_arcsec")
    )


def test_a_missing_sweep_marks_the_tile_and_leaves_the_rest(tmp_path):
    bricks = sky_tree.pair(dec=5.0)  # half of each brick lies in the sweep to the south
    sky_tree.write_tree(tmp_path, bricks)
    found = read_footprint(tmp_path, DR10_SOUTH)
    parents = select_parents(tmp_path, DR10_SOUTH, found["tile"][0].as_py(), found)
    assert parents.table.num_rows == 6
    assert [(s.name, s.status) for s in parents.coverage.lost] == [("sweep-010p000-020p005.fits", "missing")]
    assert parents.coverage.area_lost_deg2 == pytest.approx(0.026**2, rel=1e-3)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.95])
def test_a_truncated_sweep_costs_its_area_and_not_the_tile(tmp_path, fraction):
    east = sky_tree.Brick("0103p060", 1, 10.03, 6.0, positions=[(200.0, 200.0)])
    west = sky_tree.Brick("0099p060", 2, 9.97, 6.0, positions=[(200.0, 200.0)])
    sky_tree.write_tree(tmp_path, [east, west])
    path = sky_tree.sweep_path(tmp_path, east)
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    parents = select_parents(tmp_path, DR10_SOUTH, bricks["tile"][0].as_py(), bricks)
    assert parents.table["brickid"].to_pylist() == [2]
    (lost,) = parents.coverage.lost
    assert (lost.name, lost.status) == (path.name, "damaged")
    assert str(path) in lost.reason
    assert parents.coverage.as_dict()["tile_status"] == "incomplete"
    assert parents.coverage.area_lost_deg2 == pytest.approx(0.026**2, rel=1e-3)
    sky_tree.sweep_path(tmp_path, west).unlink()
    with pytest.raises(MissingDataError, match=r"No sweep of the tile.*missing.*damaged"):
        select_parents(tmp_path, DR10_SOUTH, bricks["tile"][0].as_py(), bricks)


def test_a_sweep_of_another_format_is_an_error_not_a_loss(tree):
    rows = np.concatenate([sky_tree.sweep_rows(b) for b in sky_tree.pair()])
    names = [name for name in rows.dtype.names if name != "FIBERFLUX_Z"]
    sky_tree.write_sweep(sky_tree.sweep_path(tree, sky_tree.pair()[0]), rows[names])
    with pytest.raises(DataError, match="FIBERFLUX_Z"):
        select(tree)


def test_bricks_on_both_sides_of_ra_zero_are_one_tile(tmp_path):
    bricks = sky_tree.pair(ra=0.005)
    sky_tree.write_tree(tmp_path, bricks)
    parents = select(tmp_path)
    assert set(parents["brickid"].to_pylist()) == {1001, 1002}
    assert min(parents["ra"].to_pylist()) < 0.02 < 359.0 < max(parents["ra"].to_pylist())
