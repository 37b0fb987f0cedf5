"""L1 to L3: do the splits share sky, galaxies or sources.

Disjointness is measured on what reached the shards, not on the plan that made
them: on all rows, from one pass (``gates.columns``).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.columns import Columns
from darkhaloscope.gates.columns.identities import names_of
from darkhaloscope.gates.columns.sky import POSITION_ERROR_DEG, nearest_deg, vectors
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.population import SPLITS, MetadataReader
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds

_ARCSEC_DEG = 1.0 / 3600.0
_NAMED = 5
_CELL_BITS = np.uint64(4)


def measure_sky(columns: Columns, guard_deg: float) -> Measured:
    """Compare cells and positions between splits (L1).

    Parameters
    ----------
    columns : Columns
        All rows, read beside the plan of the splits where there is one.
    guard_deg : float
        Width of the declared guard band about test cells.

    Returns
    -------
    dict
        ``shared_cells``, ``wrong_cells`` (rows whose stored cell is not that of
        their position), ``misplaced`` (rows in another split than the plan
        says), ``separation_deg`` per pair of splits, ``guard_deg``, ``galaxies``.
    """
    columns.require("healpix", "ra", "dec")
    return {
        "cells": columns.sky_cells.distinct,
        "shared_cells": (columns.sky_cells.twice() >> _CELL_BITS).astype(int).tolist(),
        "wrong_cells": columns.wrong_cells,
        "misplaced": columns.misplaced,
        "separation_deg": separations_deg(columns),
        "guard_deg": guard_deg,
        "galaxies": len(columns.galaxies),
    }


def judge_sky(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when two splits share a cell, or a test host lies inside the guard band (L1)."""
    limit = limits.get("L1", "max_shared_cells")
    n = measured["galaxies"]
    separation: dict[str, float | None] = measured["separation_deg"]
    if n == 0 or all(value is None for value in separation.values()):
        return failed(limit, "rows of one split only: nothing to compare", measured, n=n)
    shared = measured["shared_cells"]
    if len(shared) > limit.value:
        reason = f"{len(shared)} of {measured['cells']} cells lie in two splits, first {shared[:_NAMED]}"
        return failed(limit, reason, measured, value=len(shared), n=n)
    if measured["wrong_cells"]:
        reason = f"{measured['wrong_cells']} rows carry a cell that is not that of their position"
        return failed(limit, reason, measured, value=measured["wrong_cells"], n=n)
    if measured["misplaced"]:
        reason = f"{measured['misplaced']} rows lie in another split than the split map says"
        return failed(limit, reason, measured, value=measured["misplaced"], n=n)
    guard = measured["guard_deg"]
    nearest = [(value, pair) for pair, value in separation.items() if value is not None and "test" in pair]
    for value, pair in sorted(nearest):
        if value < guard - POSITION_ERROR_DEG:
            reason = f"{pair}: {value:.3f} deg between the nearest galaxies, guard {guard} deg"
            return failed(limit, reason, measured, value=value, n=n)
    closest = (
        f"{min(nearest)[0]:.2f} deg from test to the nearest other galaxy" if nearest else "no test rows"
    )
    reason = f"no cell of {measured['cells']} is shared; {closest}"
    return passed(limit, reason, measured, value=0, n=n)


def measure_shared_hosts(columns: Columns, reader: MetadataReader, limits: Thresholds) -> Measured:
    """Look for host galaxies in two splits, by id and by position (L2).

    Parameters
    ----------
    columns : Columns
        All rows.
    reader : MetadataReader
        Where the ids of shared galaxies are looked up, if there are any.
    limits : Thresholds
        Distance below which two galaxies are one.
    """
    columns.require("ra", "dec")
    galaxies = columns.galaxies
    splits = galaxies.splits()
    twice = galaxies.host[np.bitwise_count(splits) > 1]
    radius = limits.value("L2", "max_separation_arcsec")
    pairs = columns.close_pairs(radius)
    apart = splits[pairs[:, 0]] != splits[pairs[:, 1]]
    first, second = (vectors(galaxies.position[pairs[apart, side]]) for side in (0, 1))
    chord = np.linalg.norm(first - second, axis=1)
    return {
        "shared_hosts": int(twice.size),
        "first": names_of(reader.metadata(["host_id"])["host_id"], twice[:_NAMED]) if twice.size else [],
        "close_pairs": int(apart.sum()),
        "closest_arcsec": float(np.degrees(chord.min()) / _ARCSEC_DEG) if chord.size else None,
        "galaxies": len(galaxies),
        "splits": sum(columns.count(split=split) > 0 for split in SPLITS),
    }


def judge_hosts(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a galaxy is in two splits (L2)."""
    limit = limits.get("L2", "max_shared")
    n = measured["galaxies"]
    if measured["splits"] < 2:
        return failed(limit, "rows of one split only: nothing to compare", measured, n=n)
    if measured["shared_hosts"] > limit.value:
        reason = f"{measured['shared_hosts']} of {n} galaxies in two splits, first {measured['first']}"
        return failed(limit, reason, measured, value=measured["shared_hosts"], n=n)
    close = limits.get("L2", "max_separation_arcsec")
    if measured["close_pairs"]:
        reason = (
            f"{measured['close_pairs']} galaxies of two splits are one galaxy under two ids: within "
            f"{close.value:g} arcsec of each other, the closest {measured['closest_arcsec']:.2f}"
        )
        return failed(close, reason, measured, value=measured["closest_arcsec"], n=n)
    return passed(limit, f"none of {n} galaxies is in two splits", measured, value=0, n=n)


def measure_sources(columns: Columns, reader: MetadataReader) -> Measured:
    """Look for source galaxies in two splits (L3), and count how often each is used."""
    columns.require("source_id")
    sources = columns.sources
    twice = sources.twice()
    uses = np.bincount(np.unique(sources.thing, return_inverse=True)[1], weights=sources.rows)
    return {
        "shared_sources": int(twice.size),
        "first": names_of(reader.metadata(["source_id"])["source_id"], twice[:_NAMED]) if twice.size else [],
        "sources": sources.distinct,
        "by_split": {
            name: int((sources.split == i).sum())
            for i, name in enumerate(SPLITS)
            if bool((sources.split == i).any())
        },
        "median_uses": float(np.median(uses)) if uses.size else None,
        "most_uses": float(uses.max()) if uses.size else None,
    }


def judge_sources(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a source galaxy is in two splits (L3)."""
    limit = limits.get("L3", "max_shared")
    n = measured["sources"]
    if n == 0 or len(measured["by_split"]) < 2:
        return failed(
            limit, f"{n} sources in {len(measured['by_split'])} splits: nothing to compare", measured
        )
    shared = measured["shared_sources"]
    if shared > limit.value:
        reason = f"{shared} of {n} sources in two splits, first {measured['first']}"
        return failed(limit, reason, measured, value=shared, n=n)
    return passed(limit, f"none of {n} sources is in two splits", measured, value=0, n=n)


def separations_deg(columns: Columns) -> dict[str, float | None]:
    """Return the smallest angle between galaxies of each pair of splits; None where one is empty."""
    splits = columns.galaxies.splits()

    def of(split: int) -> NDArray[np.int64]:
        return np.asarray(columns.galaxies.position[(splits & (1 << split)) != 0])

    return {
        f"{SPLITS[i]}-{SPLITS[j]}": nearest_deg(of(i), of(j)) for i, j in combinations(range(len(SPLITS)), 2)
    }
