"""L01: anchor coordinates were invented below the arcminute; 0 of 153 lay on a lens."""

import re
import tokenize
from pathlib import Path

import anchor_world as world
import pytest
import sky_tree

from darkhaloscope.gates.anchors.pointing import run_anchor_gates
from darkhaloscope.gates.enforce import require_gate

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("darkhaloscope", "assets", "resources", "jobs", "dagster_project")


def number_literals(path: Path):
    with path.open("rb") as handle:
        for token in tokenize.tokenize(handle.readline):
            if token.type == tokenize.NUMBER:
                yield token.string, token.start[0]


def test_no_sky_position_is_typed_into_the_code():
    # A position good to an arcsecond needs four decimals of a degree before the point of two or three digits.
    typed = [
        f"{path.relative_to(PROJECT)}:{line} {text}"
        for room in ROOMS
        for path in sorted((PROJECT / room).rglob("*.py"))
        for text, line in number_literals(path)
        if re.fullmatch(r"\d{2,3}\.\d{4,}", text)
    ]
    assert typed == []


def test_positions_arcminutes_off_are_refused_before_anything_is_scored(tmp_path):
    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    rows = [world.at(world.galaxy(0, n), 20.0 + n, name=f"J{n}") for n in range(3)]
    stamps = world.stamps(root, rows, tmp_path)
    assert stamps["status"].to_pylist() == ["no_source"] * 3
    assert stamps["image"].null_count == 3
    report = run_anchor_gates(stamps, artefact_hash="h", release=world.RELEASE)
    with pytest.raises(Exception, match="no object can be scored"):
        require_gate(report, "h", ["A1"])
