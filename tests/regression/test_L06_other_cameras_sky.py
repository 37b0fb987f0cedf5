"""L06: 6 of 15 anchors lay north of Dec 32.375 deg, where a merged layer serves another camera."""

import anchor_world as world

from darkhaloscope.evaluation.anchors import read_anchor_catalog


def test_anchors_of_the_northern_camera_are_excluded(tmp_path):
    # The tier-list lenses either side of the line, at their catalogued positions.
    north = [(112.02069, 38.59048), (116.85046, 50.92708), (120.27208, 47.46377)]
    south = [(114.36864, 32.27183), (128.07110, 4.06789), (7.28243, -0.93070)]
    rows = [{"name": "x", "ra": ra, "dec": dec} for ra, dec in (*north, *south)]
    table = read_anchor_catalog(world.write_catalog(tmp_path / "k.csv", rows), release=world.RELEASE)
    assert table["use"].to_pylist() == ["exclude"] * 3 + ["grade"] * 3
    assert all(reason.startswith("photsys") for reason in table["exclude_reason"].to_pylist()[:3])
