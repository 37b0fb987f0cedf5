"""L6: is a catalogued lens or look-alike among the rows.

A known lens called a negative teaches the network to miss lenses; an object that
it will be graded on must not be known to it. Look-alikes that the catalogue
sets aside as hard negatives are rows by intention, of that class only.
"""

from __future__ import annotations

import healpy
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.gates.columns import Columns
from darkhaloscope.gates.columns.identities import names_of
from darkhaloscope.gates.columns.scan import class_cells
from darkhaloscope.gates.columns.sky import cells_of, coordinates, positions
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.population import KINDS, MetadataReader, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.stamps.kinds import HARD_NEGATIVE
from darkhaloscope.survey.neighbours import nearest_arcsec

_NAMED = 5
_NEAR_NSIDE = 1 << 9
"""Cells of 0.11 deg: hosts outside an object's cell and its neighbours are not measured."""

_FIELD_NSIDE = 1 << 6
"""Cells of 0.9 deg: what is called the field of an object."""


def measure_known_objects(
    columns: Columns, anchors: pa.Table, reader: MetadataReader, limits: Thresholds
) -> Measured:
    """Match every galaxy of the rows to the catalogue of known objects (L6).

    Parameters
    ----------
    columns : Columns
        All rows.
    anchors : pyarrow.Table
        ANCHORS: m objects.
    reader : MetadataReader
        Where ids of matched galaxies are looked up, if there are any.
    limits : Thresholds
        Largest distance of a match.

    Returns
    -------
    dict
        ``matches`` (galaxies by what they are: ``lens as paired``), ``first``
        (host, object and separation in arcsec), ``permitted`` hard negatives,
        ``objects``, ``objects_in_field`` and ``galaxies``.
    """
    columns.require("ra", "dec")
    galaxies = columns.galaxies
    ra, dec = floats(anchors["ra"]), floats(anchors["dec"])
    near = np.flatnonzero(np.isin(cells_of(galaxies.position, _NEAR_NSIDE), _around(ra, dec)))
    separation, which = nearest_arcsec(*coordinates(galaxies.position[near]), ra, dec)
    matched = separation <= limits.value("L6", "max_separation_arcsec")
    near, separation, which = near[matched], separation[matched], which[matched]
    use = np.asarray(anchors["use"].to_pylist(), dtype=object)[which]
    others = [cell for kind in KINDS if kind != HARD_NEGATIVE for cell in class_cells(kind)]
    only_hard = ~galaxies.within(others)[near]
    permitted = (use == "hard_negative") & only_hard
    kind = np.asarray(anchors["kind"].to_pylist(), dtype=object)[which]
    name = np.asarray(anchors["name"].to_pylist(), dtype=object)[which]
    wrong = np.flatnonzero(~permitted)
    matches = {
        f"{what} as {row_kind}": count
        for row_kind in KINDS
        for what in sorted(set(kind[wrong]))
        if (count := int((galaxies.within(class_cells(row_kind))[near[wrong]] & (kind[wrong] == what)).sum()))
    }
    first = wrong[:_NAMED]
    hosts = (
        names_of(reader.metadata(["host_id"])["host_id"], galaxies.host[near[first]]) if wrong.size else []
    )
    return {
        "matches": matches,
        "first": [
            [host, str(object_name), float(apart)]
            for host, object_name, apart in zip(hosts, name[first], separation[first], strict=True)
        ],
        "matched": int(wrong.size),
        "permitted": int(permitted.sum()),
        "objects": anchors.num_rows,
        "objects_in_field": _in_field(galaxies.position, positions(ra, dec)),
        "galaxies": len(galaxies),
    }


def judge_known_objects(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a known object is among the rows as what it may not be (L6)."""
    limit, n = limits.get("L6", "max_rows"), measured["galaxies"]
    if measured["objects"] == 0 or n == 0:
        reason = f"{measured['objects']} known objects and {n} galaxies: nothing to compare"
        return failed(limit, reason, measured, n=n)
    if measured["matched"] > limit.value:
        host, name, apart = measured["first"][0]
        reason = (
            f"{measured['matched']} galaxies are known objects ({measured['matches']}): {host} lies "
            f"{apart:.2f} arcsec from {name}"
        )
        return failed(limit, reason, measured, value=measured["matched"], n=n)
    reason = (
        f"none of {measured['objects']} known objects ({measured['objects_in_field']} in the field) is "
        f"among the rows; {measured['permitted']} hard negatives by intention"
    )
    return passed(limit, reason, measured, value=0, n=n)


def _around(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cell of each position and its neighbours."""
    if not len(ra_deg):
        return np.empty(0, dtype=np.int64)
    cell = healpy.ang2pix(_NEAR_NSIDE, ra_deg, dec_deg, nest=True, lonlat=True)
    beside = healpy.get_all_neighbours(_NEAR_NSIDE, cell, nest=True).reshape(-1)
    return np.unique(np.concatenate([cell, beside[beside >= 0]]))


def _in_field(galaxies: NDArray[np.int64], objects: NDArray[np.int64]) -> int:
    known = np.unique(cells_of(galaxies[galaxies >= 0], _FIELD_NSIDE))
    return int(np.isin(cells_of(objects, _FIELD_NSIDE), known).sum())
