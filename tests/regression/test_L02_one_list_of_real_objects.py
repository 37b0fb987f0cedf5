"""L02: three lists of the same anchors disagreed; there is one catalogue, and every row names it."""

from dagster_project.definitions import defs
from darkhaloscope.schema import ANCHORS


def test_real_objects_come_from_one_asset():
    graph = defs.resolve_asset_graph()
    named = [key.to_user_string() for key in graph.get_all_asset_keys()]
    assert [name for name in named if "catalog" in name] == ["anchor_catalog"]
    stamps = graph.get(next(key for key in graph.get_all_asset_keys() if key.path == ["anchor_stamps"]))
    assert {"anchor_catalog", "footprint"} == {key.to_user_string() for key in stamps.parent_keys}


def test_every_row_names_the_file_and_the_line_it_came_from():
    assert {"anchor_id", "catalog_sha256", "catalog_row"} <= set(ANCHORS.names())
