"""L04: placeholders among the look-alikes; the pointing gate and provenance apply to negatives too."""

import anchor_world as world
import sky_tree

from darkhaloscope.evaluation.anchors import read_anchor_catalog


def test_a_placeholder_is_refused_for_want_of_a_reference(tmp_path):
    rows = [
        {"name": "GZRing001", "ra": 12.0, "dec": 6.0, "type": "ring", "ref": "Placeholder"},
        {"name": "Merger001", "ra": 13.0, "dec": 6.0, "type": "merger", "ref": ""},
    ]
    table = read_anchor_catalog(world.write_catalog(tmp_path / "k.csv", rows), release=world.RELEASE)
    assert table["use"].to_pylist() == ["exclude", "exclude"]


def test_a_lookalike_at_a_blank_place_is_not_scored(tmp_path):
    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    rows = [world.at(world.galaxy(0, 1), 40.0, type="ring", ref=world.RINGS)]
    stamps = world.stamps(root, rows, tmp_path)
    assert stamps["status"].to_pylist() == ["no_source"]
    assert stamps["tier"].to_pylist() == [""]
