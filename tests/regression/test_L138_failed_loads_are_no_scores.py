"""L138: objects that could not be read entered the false-positive rate as zero."""

import anchor_world as world
import pytest
import sky_tree
import tiny_model

from darkhaloscope.errors import DataError
from darkhaloscope.evaluation.scoring import score_rows
from darkhaloscope.statistics.rates import freeze_threshold
from darkhaloscope.training.predict import load_model


def test_an_object_without_pixels_has_no_score(tmp_path):
    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    rows = [world.at(world.galaxy(0, 1)), world.at(world.galaxy(0, 0), 30.0)]
    stamps = world.stamps(root, rows, tmp_path)
    model = load_model(tiny_model.write_checkpoint(tmp_path / "c.pt"))
    with pytest.raises(DataError, match=r"no_source \(1 rows\)"):
        score_rows(model, stamps, id_column="anchor_id")


def test_a_score_that_failed_is_never_a_quiet_negative():
    with pytest.raises(DataError, match="finite score for every control"):
        freeze_threshold([0.2, float("nan"), 0.4], 0.01)
