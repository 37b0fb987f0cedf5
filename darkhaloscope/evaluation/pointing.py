"""Does a catalogued position show the galaxy it claims? Matching to survey sources.

A position is believed when an extended source of the declared release lies
within an arcsecond. Rows that land on one source are one object, whatever their
names. What the pixels say is added in ``anchor_stamps``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.schema import BANDS
from darkhaloscope.survey.cuts import GALAXY_TYPES
from darkhaloscope.survey.fits_tables import Columns
from darkhaloscope.survey.parents import host_ids
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root
from darkhaloscope.survey.sweeps import match_sources

MATCH_RADIUS_ARCSEC = 1.0
"""Farther from the nearest extended source than this, a position is not believed."""

OK = "ok"

_COLUMNS = (
    "EBV",
    "MASKBITS",
    "SHAPE_R",
    *(f"{name}_{band.upper()}" for name in ("FLUX", "NOBS", "PSFSIZE", "PSFDEPTH") for band in BANDS),
)


@dataclass(frozen=True)
class Pointed:
    """What the survey's catalogue says at each position.

    Parameters
    ----------
    status : ndarray of str, shape (n,)
        ``ok``; ``no_source``, ``point_source``, ``no_flux_<b>``,
        ``duplicate_source`` or ``class_conflict``.
    host_id : ndarray of str, shape (n,)
        Matched source, empty if none.
    separation_arcsec : ndarray of float64, shape (n,)
        NaN where nothing was matched.
    columns : dict of str to ndarray, shape (n,)
        Sweep columns of the match; meaningless where nothing was matched.
    """

    status: NDArray[np.str_]
    host_id: NDArray[np.str_]
    separation_arcsec: NDArray[np.float64]
    columns: Columns


def point_anchors(anchors: pa.Table, *, survey_root: Root, release: Release) -> Pointed:
    """Match catalogue positions to extended survey sources.

    Parameters
    ----------
    anchors : pyarrow.Table
        Schema ``ANCHORS``, n rows that are not excluded.
    survey_root : Root
        Survey root with sweeps.
    release : Release
        Declared release.

    Returns
    -------
    Pointed
        Of rows that match one source, the best graded (then the first) keeps it;
        a source claimed as lens and as look-alike is kept by neither.
    """
    ra, dec = anchors["ra"].to_numpy(), anchors["dec"].to_numpy()
    extended = match_sources(
        survey_root, release, ra, dec, _COLUMNS, radius_arcsec=MATCH_RADIUS_ARCSEC, types=GALAXY_TYPES
    )
    anything = match_sources(survey_root, release, ra, dec, (), radius_arcsec=MATCH_RADIUS_ARCSEC)
    status = np.full(len(ra), OK, dtype=object)
    status[~extended.found] = np.where(anything.found[~extended.found], "point_source", "no_source")
    found = np.flatnonzero(extended.found)
    ids = np.full(len(ra), "", dtype=object)
    if found.size:
        ids[found] = host_ids({name: values[found] for name, values in extended.columns.items()})
        for band in BANDS:
            dark = found[~(extended.columns[f"FLUX_{band.upper()}"][found] > 0.0)]
            status[dark] = f"no_flux_{band}"
    _keep_one_per_source(status, ids, anchors)
    return Pointed(status.astype(str), ids.astype(str), extended.separation_arcsec, extended.columns)


def _keep_one_per_source(status: NDArray[np.object_], ids: NDArray[np.object_], anchors: pa.Table) -> None:
    kinds, grades = anchors["kind"].to_pylist(), anchors["grade"].to_pylist()
    members: dict[str, list[int]] = {}
    for index in np.flatnonzero(status == OK):
        members.setdefault(str(ids[index]), []).append(int(index))
    for group in members.values():
        if len({kinds[index] for index in group}) > 1:
            status[group] = "class_conflict"
            continue
        best = min(group, key=lambda index: (grades[index] != "confident", index))
        status[[index for index in group if index != best]] = "duplicate_source"
