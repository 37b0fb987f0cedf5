"""Runs of neighbouring hosts."""

import numpy as np
import pytest

from darkhaloscope.stamps.runs import run_ends


@pytest.mark.parametrize("unit_hosts", [1, 7, 24, 256])
def test_runs_are_even_and_cover_all_hosts(unit_hosts):
    for n in (1, 2, 23, 36, 37, 500, 1001):
        ends = run_ends(n, unit_hosts)
        lengths = np.diff(np.concatenate([[0], ends]))
        assert ends[-1] == n
        assert lengths.max() - lengths.min() <= 1
        assert len(ends) == max(1, round(n / unit_hosts))
