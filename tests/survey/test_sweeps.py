import numpy as np
import pytest
import sky_tree

from darkhaloscope.errors import DataError
from darkhaloscope.survey import fits_tables, sweeps
from darkhaloscope.survey.cuts import GALAXY_TYPES
from darkhaloscope.survey.release import DR10_SOUTH


def read(root, columns=("FLUX_R", "PSFDEPTH_R"), brickids=(1001,), where=None):
    path = root / sky_tree.SWEEP.replace("000p000-010p005", "010p005-020p010")
    runs = list(sweeps.iter_sources(path, DR10_SOUTH, columns, brickids=brickids, where=where))
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]} if runs else {}


def test_only_the_bricks_asked_for_come_with_depth_as_a_magnitude(pristine_tree):
    rows = read(pristine_tree)
    assert set(rows["BRICKNAME"]) == {"0120p060"}
    assert len(rows["OBJID"]) == 4
    assert "PSFDEPTH_R" not in rows
    assert rows["PSFDEPTH_R_MAG"] == pytest.approx(sky_tree.DEPTH_MAG["r"], abs=1e-5)
    assert read(pristine_tree, brickids=[7]) == {}


def test_the_buffer_does_not_change_what_is_read(pristine_tree, monkeypatch):
    whole = read(pristine_tree, brickids=[1001, 1002])
    monkeypatch.setattr(fits_tables, "BUFFER_BYTES", 600)
    parts = read(pristine_tree, brickids=[1001, 1002])
    assert len(whole["OBJID"]) == 8
    for name in whole:
        assert np.array_equal(parts[name], whole[name])


def test_rows_are_chosen_before_they_are_converted(pristine_tree):
    rows = read(pristine_tree, where=lambda rows: rows["OBJID"] == 2)
    assert (rows["OBJID"].tolist(), rows["BRICKID"].tolist()) == ([2], [1001])


def test_another_release_is_refused_by_number(tree):
    path = sky_tree.sweep_path(tree, sky_tree.pair()[0])
    rows = sky_tree.sweep_rows(sky_tree.pair()[0])
    rows["RELEASE"][2] = 9010
    sky_tree.write_sweep(path, rows)
    with pytest.raises(DataError, match=r"another release.*RELEASE.*9010"):
        read(tree)


def test_match_finds_the_nearest_within_the_radius(pristine_tree):
    rows = sky_tree.sweep_rows(sky_tree.pair()[0])
    arcsec = 1.0 / 3600.0
    ra = [rows["RA"][0], rows["RA"][1], rows["RA"][2], 200.0]
    dec = [rows["DEC"][0] + 0.4 * arcsec, rows["DEC"][1] + 1.5 * arcsec, rows["DEC"][2], 5.0]
    match = sweeps.match_sources(pristine_tree, DR10_SOUTH, ra, dec, ("FLUX_R",), radius_arcsec=1.0)
    assert match.found.tolist() == [True, False, True, False]
    assert match.separation_arcsec[0] == pytest.approx(0.4, abs=1e-4)
    assert np.isnan(match.separation_arcsec[1])
    assert match.columns["OBJID"][[0, 2]].tolist() == [0, 2]
    assert match.columns["BRICKNAME"][0] == "0120p060"
    assert match.columns["FLUX_R"][0] == pytest.approx(sky_tree.LRG_FLUX["r"])


def test_match_passes_over_a_star_that_is_nearer(tree):
    brick = sky_tree.pair()[0]
    rows = sky_tree.sweep_rows(brick)
    rows["RA"][-1], rows["DEC"][-1] = rows["RA"][0], rows["DEC"][0] + 0.3 / 3600.0
    sky_tree.write_sweep(sky_tree.sweep_path(tree, brick), rows)
    where = {"ra_deg": rows["RA"][-1], "dec_deg": rows["DEC"][-1], "columns": ()}
    any_type = sweeps.match_sources(tree, DR10_SOUTH, **where)
    galaxies = sweeps.match_sources(tree, DR10_SOUTH, **where, types=GALAXY_TYPES)
    assert any_type.columns["TYPE"].tolist() == ["PSF"]
    assert galaxies.columns["TYPE"].tolist() == ["DEV"]
    assert galaxies.separation_arcsec[0] == pytest.approx(0.3, abs=1e-3)


def test_match_with_nothing_near_has_all_columns(pristine_tree):
    match = sweeps.match_sources(pristine_tree, DR10_SOUTH, [200.0], [-60.0], ("FLUX_R",))
    assert not match.found.any()
    assert set(match.columns) >= {"FLUX_R", "TYPE", "RA"}
