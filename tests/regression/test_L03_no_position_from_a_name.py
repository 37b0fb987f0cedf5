"""L03: positions parsed from J-names were off by 38 arcsec to minutes; no parser may exist."""

import ast
from pathlib import Path

import anchor_world as world

from darkhaloscope.evaluation.anchors import read_anchor_catalog

ROOM = Path(__file__).resolve().parents[2] / "darkhaloscope"
PARSERS = {"from_name", "get_icrs_coordinates", "parse_designation", "Angle", "hms", "dms"}


def test_no_name_resolver_is_called_in_the_library():
    called = [
        (path.name, node.lineno)
        for path in sorted(ROOM.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in PARSERS
    ]
    assert called == []


def test_the_position_is_the_columns_whatever_the_name_says(tmp_path):
    rows = [{"name": "SDSSJ095944.07+041017.0", "ra": 12.0, "dec": 6.0}]
    table = read_anchor_catalog(world.write_catalog(tmp_path / "k.csv", rows), release=world.RELEASE)
    assert (table["ra"][0].as_py(), table["dec"][0].as_py()) == (12.0, 6.0)
