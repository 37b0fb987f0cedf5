"""L05: the brightest Tier A anchor was a lensed quasar; the class comes from the catalogue's reference."""

import anchor_world as world
import pytest

from darkhaloscope.evaluation.anchors import read_anchor_catalog


@pytest.mark.parametrize("label", ["galaxy", "quasar"])
def test_a_lensed_quasar_is_no_anchor_whatever_its_label(tmp_path, label):
    rows = [{"name": "J0832+0404", "ra": 12.0, "dec": 6.0, "type": label, "ref": world.QUASARS}]
    row = read_anchor_catalog(
        world.write_catalog(tmp_path / "k.csv", rows), release=world.RELEASE
    ).to_pylist()[0]
    assert row["object_class"] == "quasar"
    assert row["use"] == "exclude"
