"""L10: network candidates were called spectroscopic truth; provenance has closed values and tiers use it."""

import anchor_world as world
import pytest

from darkhaloscope.evaluation.anchor_stamps import tier_of
from darkhaloscope.evaluation.anchors import read_anchor_catalog
from darkhaloscope.evaluation.references import REFERENCES, Discovery


def test_a_network_candidate_stays_one_however_confident(tmp_path):
    rows = [{"ra": 12.0, "dec": 6.0, "grading": "confident", "ref": world.NETWORK}]
    table = read_anchor_catalog(world.write_catalog(tmp_path / "k.csv", rows), release=world.RELEASE)
    assert table["discovery"].to_pylist() == ["network"]


def test_provenance_takes_no_other_value():
    assert {r.discovery for r in REFERENCES} == {*Discovery, None}
    with pytest.raises(ValueError, match="hearsay"):
        tier_of("lens", "grade", "hearsay", 5.0)
