"""L143: a selection function of unrealistic injections was called completeness; every map says what it is."""

import numpy as np
from PIL import Image

from darkhaloscope.evaluation.selection import NOT_VALIDATED
from darkhaloscope.reports.figures import selection_figure
from darkhaloscope.statistics.rates import Rate


def record(statement):
    return {
        "theta_e_edges_arcsec": [0.6, 1.0],
        "seeing_edges_arcsec": [1.0, 1.2],
        "cells": [
            {"theta_e_index": 0, "seeing_index": 0, "n_hosts": 3, **Rate.exact(2, 3).to_dict()},
        ],
        "validity": {"validated": False, "statement": statement},
    }


def test_the_statement_is_printed_on_the_map_itself(tmp_path):
    with_claim = selection_figure(record(NOT_VALIDATED), tmp_path / "a.png")
    without = selection_figure(record(""), tmp_path / "b.png")
    pictures = [np.asarray(Image.open(path).convert("L")) for path in (with_claim, without)]
    assert with_claim.read_bytes() != without.read_bytes()
    assert (pictures[0][-28:] < 200).sum() > (pictures[1][-28:] < 200).sum()
    assert "not validated as completeness" in NOT_VALIDATED
