"""A viewer layer that mixes two releases served another camera's pixels, without a word."""

import pytest
import sky_tree

from darkhaloscope.config import Experiment
from darkhaloscope.errors import ConfigError
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.release import DR10_SOUTH, get_release

BELOW, ABOVE = (180.0, 32.3), (180.0, 32.45)  # either side of Dec 32.375, Galactic b = +80
SOUTH_OF_PLANE = (10.0, 34.0)  # Galactic b = -29: DECam pixels above the line


def test_positions_either_side_of_the_line():
    ra, dec = zip(BELOW, ABOVE, SOUTH_OF_PLANE, strict=True)
    assert DR10_SOUTH.covers(ra, dec).tolist() == [True, False, True]


def test_bricks_beyond_the_line_are_never_ok(tmp_path):
    bricks = [sky_tree.Brick("1800p323", 1, *BELOW), sky_tree.Brick("1800p324", 2, *ABOVE)]
    sky_tree.write_tree(tmp_path, bricks)
    assert read_footprint(tmp_path, DR10_SOUTH)["status"].to_pylist() == ["ok", "outside release"]


@pytest.mark.parametrize("layer", ["ls-dr10", "ls-dr10-grz", "ls-dr9"])
def test_split_layers_are_refused_by_name(layer):
    with pytest.raises(ConfigError, match=r"two cameras.*dr10-south"):
        get_release(layer)


def test_default_experiment_names_one_release():
    experiment = Experiment(name="x", title="x", description="x")
    assert get_release(experiment.survey.release).photsys == "S"
