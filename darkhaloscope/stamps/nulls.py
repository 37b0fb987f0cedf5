"""Injection of nothing: rows sent through the whole path with sources of no flux.

What the path does to a stamp besides adding light shows in these, and in nothing
else. Whether it may leave a mark is judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.schema import MANIFEST, per_band
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.compose import make_stamps
from darkhaloscope.stamps.hostpixels import HostStamps

NULL_MAG = 100.0
"""A source of 1e-31 nMgy: it and its photon noise pass through every step and leave no mark."""

MARK_NMGY = 1e-12
"""A pixel changed by more was marked by the path; the null source itself shows only on exact zeros."""


class _FlatSources:
    """A source library of one flat template: with no flux, what it shows cannot matter."""

    pixel_scale_arcsec = 0.03

    def index_of(self, source_id: str) -> int:
        """Return the only template's index, whatever the source."""
        del source_id
        return 0

    def templates(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return flat templates of sum 1, shape (k, 96, 96)."""
        return np.full((len(indices), 96, 96), 1.0 / 96**2, dtype=np.float32)


def null_injections(rows: pa.Table, hosts: HostStamps, experiment: Experiment) -> pa.Table:
    """Return STAMPS of positives whose sources have no flux, through the real path.

    Parameters
    ----------
    rows : pyarrow.Table
        MANIFEST or STAMPS rows of n positives.
    hosts : HostStamps
        Their hosts.
    experiment : Experiment
        The path: renderer, noise, release, seed.

    Returns
    -------
    pyarrow.Table
        STAMPS, n rows in the same order.
    """
    rows = rows.select(MANIFEST.names())
    for name in per_band("src_mag_{b}"):
        place = rows.column_names.index(name)
        magnitude = pa.array(np.full(rows.num_rows, NULL_MAG), pa.float64())
        rows = rows.set_column(place, rows.schema.field(name), magnitude)
    # no flux reaches an S/N
    place = rows.column_names.index("target_snr")
    rows = rows.set_column(place, rows.schema.field("target_snr"), pa.nulls(rows.num_rows, pa.float64()))
    # only what make_stamps asks of a library is there: ids and sizes play no part in rendering
    sources = cast("SourceLibrary", _FlatSources())
    return make_stamps(rows, hosts=hosts, sources=sources, experiment=experiment)
