"""L08: one lens stood twice in the catalogue, 25 arcsec apart; rows are merged by source, never by name."""

import anchor_world as world
import sky_tree


def test_of_two_positions_under_one_name_only_the_one_on_a_galaxy_is_scored(tmp_path):
    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    rows = [
        world.at(world.galaxy(0, 1), 25.0, name="J1016+3859", grading="confident"),
        world.at(world.galaxy(0, 1), 0.2, name="J1016+3859", grading="probable"),
    ]
    stamps = world.stamps(root, rows, tmp_path)
    assert stamps["status"].to_pylist() == ["no_source", "ok"]


def test_one_name_on_two_galaxies_is_two_objects(tmp_path):
    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    rows = [world.at(world.galaxy(0, n), name="same") for n in (0, 1)]
    stamps = world.stamps(root, rows, tmp_path)
    assert stamps["status"].to_pylist() == ["ok", "ok"]
    assert len(set(stamps["host_id"].to_pylist())) == 2
