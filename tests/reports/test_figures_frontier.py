"""The figure of error against time."""

import numpy as np
import pytest
from PIL import Image

from darkhaloscope.errors import DataError
from darkhaloscope.reports.figures_frontier import frontier_figure

RECORD = {
    "budget": {"error_of_peak_median": 0.0012, "error_of_peak_worst": 0.005},
    "implementations": {
        "darkhaloscope standard": {
            "us_per_stamp": 100.0,
            "error_of_peak_median": 4e-4,
            "error_of_peak_worst": 3e-3,
        },
        "lenstronomy native": {
            "us_per_stamp": 2e4,
            "error_of_peak_median": 3e-3,
            "error_of_peak_worst": 2e-2,
        },
    },
}


def test_figure_is_drawn_and_follows_the_numbers(tmp_path):
    slower = RECORD | {
        "implementations": RECORD["implementations"]
        | {
            "darkhaloscope standard": RECORD["implementations"]["darkhaloscope standard"]
            | {"us_per_stamp": 1e3}
        }
    }
    pictures = []
    for name, record in (("a", RECORD), ("b", RECORD), ("c", slower), ("d", RECORD | {"budget": {}})):
        frontier_figure(tmp_path / f"{name}.png", record)
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert pictures[0].shape[1] > 800
    for other in pictures[2:]:
        assert (pictures[0] != other).any()


def test_a_record_without_renderers_is_refused(tmp_path):
    with pytest.raises(DataError, match="implementations"):
        frontier_figure(tmp_path / "a.png", {})
