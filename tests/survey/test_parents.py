import numpy as np
import pytest
import sky_tree

from darkhaloscope.errors import DataError
from darkhaloscope.schema import PARENTS
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import SELECTIONS, _box, select_parents
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS


def select(root, tile=None):
    bricks = read_footprint(root, DR10_SOUTH)
    return select_parents(root, DR10_SOUTH, tile or bricks["tile"][0].as_py(), bricks)


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
    expected = {"lrg_v3": True, "lrg_v4": True, "lrg_v5": True, "lrg_desi": True, "early_bright": True}
    for selection in SELECTIONS:
        assert set(parents[f"is_{selection}"].to_pylist()) == {expected.get(selection, False)}
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


def test_bricks_on_both_sides_of_ra_zero_are_one_tile(tmp_path):
    bricks = sky_tree.pair(ra=0.005)
    sky_tree.write_tree(tmp_path, bricks)
    # The box runs through 0, so only the sweeps on both sides of it are read.
    assert _box(read_footprint(tmp_path, DR10_SOUTH))[:2] == pytest.approx((359.9658, 0.0181), abs=1e-3)
    parents = select(tmp_path)
    assert set(parents["brickid"].to_pylist()) == {1001, 1002}
    assert min(parents["ra"].to_pylist()) < 0.02 < 359.0 < max(parents["ra"].to_pylist())
