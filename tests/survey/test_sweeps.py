import numpy as np
import pytest
import sky_tree

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey import sweeps
from darkhaloscope.survey.cuts import GALAXY_TYPES
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.roots import open_root

BOX = (11.0, 13.0, 5.5, 6.5)


def read(root, **change):
    given = {"columns": ("FLUX_R", "PSFDEPTH_R"), "brickids": [1001], "box": BOX, **change}
    return list(sweeps.iter_sources(root, DR10_SOUTH, given.pop("columns"), **given))


def test_only_the_bricks_asked_for_come_with_depth_as_a_magnitude(pristine_tree):
    (chunk,) = read(pristine_tree)
    assert set(chunk["BRICKNAME"]) == {"0120p060"}
    assert len(chunk["OBJID"]) == 4
    assert "PSFDEPTH_R" not in chunk
    assert chunk["PSFDEPTH_R_MAG"] == pytest.approx(sky_tree.DEPTH_MAG["r"], abs=1e-5)


def test_chunks_do_not_change_what_is_read(pristine_tree, monkeypatch):
    whole = read(pristine_tree, brickids=[1001, 1002])
    monkeypatch.setattr(sweeps, "CHUNK_ROWS", 3)
    parts = read(pristine_tree, brickids=[1001, 1002])
    assert len(parts) > 1
    for name in whole[0]:
        assert np.array_equal(np.concatenate([p[name] for p in parts]), whole[0][name])


def test_sweeps_are_chosen_by_their_box(tmp_path):
    low = sky_tree.Brick("0050p050", 1, 5.0, 5.1, positions=[(200.0, 200.0)])
    across = sky_tree.Brick("3599m001", 2, 359.995, -0.1, positions=[(200.0, 200.0)])
    sky_tree.write_tree(tmp_path, [low, across])

    def names(box):
        return [
            s.relative.rpartition("/")[2] for s in sweeps.sweeps_of_box(open_root(tmp_path), DR10_SOUTH, box)
        ]

    assert names((4.9, 5.2, 5.05, 5.2)) == ["sweep-000p005-010p010.fits"]
    assert names((359.9, 0.05, -0.2, 0.0)) == ["sweep-350m005-360p000.fits"]
    with pytest.raises(MissingDataError, match=r"RA 100\.00 to 101\.00"):
        names((100.0, 101.0, 5.0, 6.0))


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
