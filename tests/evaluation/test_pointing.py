import anchor_world as world
import numpy as np
import pyarrow as pa
import pytest
import sky_tree

from darkhaloscope.evaluation.anchors import read_anchor_catalog
from darkhaloscope.evaluation.pointing import point_anchors


def point(survey_tree, tmp_path, rows):
    anchors = read_anchor_catalog(world.write_catalog(tmp_path / "known.csv", rows), release=world.RELEASE)
    return point_anchors(anchors, survey_root=survey_tree, release=world.RELEASE)


def test_a_position_is_believed_on_its_galaxy_only(survey_tree, tmp_path):
    galaxy = world.galaxy(0, 0)
    rows = [world.at(galaxy, 0.3), world.at(galaxy, 30.0), world.at(world.star())]
    found = point(survey_tree, tmp_path, rows)
    assert found.status.tolist() == ["ok", "no_source", "point_source"]
    assert found.host_id.tolist() == ["10000-1001-0", "", ""]
    assert found.separation_arcsec[0] == pytest.approx(0.3, abs=1e-3)


def test_just_outside_an_arcsecond_is_not_believed(survey_tree, tmp_path):
    galaxy = world.galaxy(0, 1)
    rows = [world.at(galaxy, 0.98), world.at(world.galaxy(0, 2), 1.02)]
    assert point(survey_tree, tmp_path, rows).status.tolist() == ["ok", "no_source"]


def test_one_source_is_one_object_and_the_better_graded_row_keeps_it(survey_tree, tmp_path):
    # Two catalogues that were never merged, each with its own position of one lens.
    galaxy = world.galaxy(0, 0)
    rows = [
        world.at(galaxy, 0.9, name="x", grading="probable"),
        world.at(galaxy, -0.9, name="y", grading="confident"),
    ]
    tables = [
        read_anchor_catalog(world.write_catalog(tmp_path / f"{i}.csv", [row]), release=world.RELEASE)
        for i, row in enumerate(rows)
    ]
    found = point_anchors(pa.concat_tables(tables), survey_root=survey_tree, release=world.RELEASE)
    assert found.status.tolist() == ["duplicate_source", "ok"]


def test_a_source_listed_as_lens_and_as_lookalike_is_neither(survey_tree, tmp_path):
    galaxy = world.galaxy(0, 0)
    rows = [world.at(galaxy, 0.9), world.at(galaxy, -0.9, type="ring", ref=world.RINGS)]
    tables = [
        read_anchor_catalog(world.write_catalog(tmp_path / f"{i}.csv", [row]), release=world.RELEASE)
        for i, row in enumerate(rows)
    ]
    found = point_anchors(pa.concat_tables(tables), survey_root=survey_tree, release=world.RELEASE)
    assert found.status.tolist() == ["class_conflict", "class_conflict"]


def test_a_source_without_flux_in_a_band_is_refused(tmp_path):
    bricks = sky_tree.pair()
    root = sky_tree.write_tree(tmp_path / "sky", bricks)
    path = sky_tree.sweep_path(root, bricks[0])
    rows = np.concatenate([sky_tree.sweep_rows(brick) for brick in bricks])
    rows["FLUX_G"][0] = -0.1
    sky_tree.write_sweep(path, rows)
    assert point(root, tmp_path, [world.at(world.galaxy(0, 0))]).status.tolist() == ["no_flux_g"]
