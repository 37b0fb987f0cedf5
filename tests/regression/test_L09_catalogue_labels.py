"""L09: 13,775 "galaxy" rows of lenscat are clusters; labels are not taken at face value."""

import anchor_world as world
import pytest

from darkhaloscope.evaluation.anchors import exclusion_counts, read_anchor_catalog


def test_a_cluster_search_is_a_cluster_although_labelled_galaxy(tmp_path):
    rows = [{"ra": 12.0, "dec": 6.0, "type": "galaxy", "ref": "Lopes et al. (2004) - doi:10.1086/423038"}]
    table = read_anchor_catalog(world.write_catalog(tmp_path / "k.csv", rows), release=world.RELEASE)
    assert table["object_class"].to_pylist() == ["cluster"]
    assert table["use"].to_pylist() == ["exclude"]


@pytest.mark.realdata
def test_no_cluster_search_is_left_among_the_anchors_of_lenscat(realdata):
    table = read_anchor_catalog(realdata / "catalogs" / "lenscat_1.1.3.csv", release=world.RELEASE)
    used = [row for row in table.to_pylist() if row["use"] != "exclude"]
    assert not [r for r in used if "Lopes" in r["reference"] or "Gonzalez et al. (2001)" in r["reference"]]
    assert exclusion_counts(table)["cluster"] > 13_775
    assert not [r["name"] for r in used if r["name"].startswith("000008+0226") and r["name"][-2:] != "58"]
