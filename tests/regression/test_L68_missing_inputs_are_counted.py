"""Bricks and files that were absent vanished from the outputs; here every one is a row."""

import sky_tree

from darkhaloscope.survey.bricks import read_footprint, status_counts
from darkhaloscope.survey.hosts import UNIT_FUNCTION, plan_host_units
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.tabular import read_table
from darkhaloscope.units import run_unit


def test_ok_and_missing_add_up_to_what_was_planned(tmp_path):
    east, west = sky_tree.pair()
    root = sky_tree.write_tree(tmp_path / "survey", [east, west])
    before = read_footprint(root, DR10_SOUTH)
    parents = select_parents(root, DR10_SOUTH, before["tile"][0].as_py(), before).table
    east.file(root, "invvar", "g").unlink()  # a 404 that the survey never mends
    west.file(root, "maskbits").write_bytes(b"")  # a download that broke off

    bricks = read_footprint(root, DR10_SOUTH)
    assert sum(status_counts(bricks).values()) == before.num_rows
    assert status_counts(bricks) == {"missing invvar-g": 1, "ok": 1}
    # The parents do not depend on the coadds, so the loss is counted where pixels are missed.
    assert select_parents(root, DR10_SOUTH, before["tile"][0].as_py(), bricks).table.equals(parents)

    units = plan_host_units(
        parents,
        bricks,
        survey_root=root,
        release=DR10_SOUTH,
        size_px=41,
        staging=tmp_path / "staging",
        unit_hosts=3,
        profile_max_hosts=None,
    )
    results = [run_unit(UNIT_FUNCTION, unit) for unit in units]
    hosts = read_table([unit["output"] for unit in units], ["host_id", "status"])
    assert hosts["host_id"].to_pylist() == parents["host_id"].to_pylist()
    assert [r["statuses"] for r in results] == [{"unreadable_maskbits": 3}, {"missing_invvar_g": 3}]
