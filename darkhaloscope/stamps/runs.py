"""Runs of neighbouring hosts: the one rule by which blocks are formed and work units are cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def run_ends(n_hosts: int, unit_hosts: int) -> NDArray[np.intp]:
    """Return where runs end when hosts in brick order are divided.

    Parameters
    ----------
    n_hosts : int
        Hosts of one split.
    unit_hosts : int
        Wanted length of a run.

    Returns
    -------
    ndarray of int, shape (runs,)
        One past the last host of each run; lengths differ by at most one.
    """
    runs = max(1, round(n_hosts / unit_hosts))
    return np.cumsum(np.bincount(np.arange(n_hosts) % runs, minlength=runs))
