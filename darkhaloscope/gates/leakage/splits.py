"""L1 to L4: do the splits share sky, galaxies or sources, and are they as large as promised.

Disjointness is measured on what reached the shards, not on the plan that made
them. Proportions are those of the plan, and what the shards kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import healpy
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from darkhaloscope.config import Split
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import SPLITS, MetadataReader, Population, codes, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import clopper_pearson

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_ARCSEC_DEG = 1.0 / 3600.0
_NAMED = 5
_ROUNDING = 1e-9


def measure_sky(
    shards: MetadataReader, population: Population, split: Split, planned: NDArray[Any] | None
) -> Measured:
    """Compare cells and positions between splits (L1).

    Parameters
    ----------
    shards, population
        All rows.
    split : config.Split
        Resolution of the cells and the guard band.
    planned : ndarray of str, shape (rows,) or None
        Split of each position by the split map (``SplitMap.of``); None if not at hand.

    Returns
    -------
    dict
        ``shared_cells``, ``wrong_cells`` (rows whose stored cell is not that of
        their position), ``misplaced`` (rows in another split than the map
        says), ``separation_deg`` per pair of splits, ``guard_deg``, ``galaxies``.
    """
    table = shards.metadata(["healpix", "ra", "dec"])
    ra, dec = floats(table["ra"]), floats(table["dec"])
    cell = np.asarray(table["healpix"].to_numpy(), dtype=np.int64)
    truth = healpy.ang2pix(split.nside, ra, dec, nest=True, lonlat=True) if population.rows else cell
    pairs = np.unique(np.stack([cell, population.split]), axis=1)
    values, splits_of_cell = np.unique(pairs[0], return_counts=True)
    shared = values[splits_of_cell > 1]
    names = np.asarray(SPLITS)[population.split]
    return {
        "cells": int(values.size),
        "shared_cells": [int(c) for c in shared],
        "wrong_cells": int((cell != truth).sum()),
        "misplaced": None if planned is None else int((names != planned).sum()),
        "separation_deg": separations_deg(ra, dec, population),
        "guard_deg": split.guard_deg,
        "galaxies": population.galaxies(),
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
        if value < guard:
            reason = f"{pair}: {value:.3f} deg between the nearest galaxies, guard {guard} deg"
            return failed(limit, reason, measured, value=value, n=n)
    closest = (
        f"{min(nearest)[0]:.2f} deg from test to the nearest other galaxy" if nearest else "no test rows"
    )
    reason = f"no cell of {measured['cells']} is shared; {closest}"
    return passed(limit, reason, measured, value=0, n=n)


def measure_shared_hosts(shards: MetadataReader, population: Population) -> Measured:
    """Look for host galaxies in two splits, by id and by position (L2)."""
    pairs = np.unique(np.stack([population.host, population.split]), axis=1)
    hosts, splits_of_host = np.unique(pairs[0], return_counts=True)
    twice = hosts[splits_of_host > 1]
    table = shards.metadata(["host_id", "ra", "dec"])
    ids = codes(table["host_id"])[1]
    separation = separations_deg(floats(table["ra"]), floats(table["dec"]), population)
    return {
        "shared_hosts": int(twice.size),
        "first": [str(ids[i]) for i in twice[:_NAMED]],
        "separation_arcsec": {
            pair: None if value is None else value / _ARCSEC_DEG for pair, value in separation.items()
        },
        "galaxies": int(hosts.size),
        "splits": int(np.unique(population.split).size),
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
    for pair, value in measured["separation_arcsec"].items():
        if value is not None and value <= close.value:
            reason = f"{pair}: galaxies {value:.2f} arcsec apart are one galaxy under two ids"
            return failed(close, reason, measured, value=value, n=n)
    return passed(limit, f"none of {n} galaxies is in two splits", measured, value=0, n=n)


def measure_sources(shards: MetadataReader, population: Population) -> Measured:
    """Look for source galaxies in two splits (L3)."""
    source, ids = codes(shards.metadata(["source_id"])["source_id"])
    lit = source >= 0
    pairs = np.unique(np.stack([source[lit], population.split[lit]]), axis=1)
    sources, splits_of_source = np.unique(pairs[0], return_counts=True)
    twice = sources[splits_of_source > 1]
    by_split = {
        name: int((pairs[1] == i).sum()) for i, name in enumerate(SPLITS) if bool((pairs[1] == i).any())
    }
    return {
        "shared_sources": int(twice.size),
        "first": [str(ids[i]) for i in twice[:_NAMED]],
        "sources": int(sources.size),
        "by_split": by_split,
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


def measure_proportions(
    *,
    cell: IntArray,
    split: NDArray[Any],
    galaxies: FloatArray,
    area_deg2: FloatArray,
    fractions: Sequence[float],
    available: Mapping[str, int],
    kept: Mapping[str, int],
) -> Measured:
    """Measure the share of galaxies and of area in each split (L4).

    Parameters
    ----------
    cell : ndarray of int, shape (b,)
        Split cell of each usable brick.
    split : ndarray of str, shape (b,)
        Split of that cell, the guard band not taken out.
    galaxies, area_deg2 : ndarray, shape (b,)
        Catalogued galaxies and primary area of each brick.
    fractions : (train, val, test)
        Promised shares.
    available, kept : mapping of str to int
        Hosts per split outside the guard band that were cut out, and that are
        in the shards.

    Returns
    -------
    dict
        Shares per split, and the largest cell's share, below which no
        assignment of whole cells can be.
    """
    measured: Measured = {
        "promised": dict(zip(SPLITS, map(float, fractions), strict=True)),
        "cells": int(np.unique(cell).size),
        "available": {name: int(available.get(name, 0)) for name in SPLITS},
        "kept": {name: int(kept.get(name, 0)) for name in SPLITS},
    }
    for label, weight in (("galaxies", galaxies), ("area", area_deg2)):
        total = float(weight.sum())
        if total > 0.0:
            by_cell = np.bincount(np.unique(cell, return_inverse=True)[1], weights=weight)
            measured[label] = {name: float(weight[split == name].sum()) / total for name in SPLITS}
            measured[f"largest_cell_{label}"] = float(by_cell.max()) / total
    return measured


def judge_proportions(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a split has not the promised share, or the shards changed the shares (L4).

    The tolerance is the limit, or the share of the largest cell where whole
    cells cannot do better.
    """
    limit = limits.get("L4", "max_error")
    n = measured["cells"]
    if n == 0 or "galaxies" not in measured or "area" not in measured:
        return failed(limit, "no usable brick with galaxies and area", measured, n=n)
    worst = (0.0, "")
    for label in ("galaxies", "area"):
        tolerance = max(limit.value, measured[f"largest_cell_{label}"])
        for name, promised in measured["promised"].items():
            share = measured[label][name]
            text = f"{name} has {share:.3f} of the {label}, promised {promised:.2f}"
            if abs(share - promised) > tolerance + _ROUNDING:
                reason = f"{text} (tolerance {tolerance:.3f}, {n} cells)"
                return failed(limit, reason, measured, value=abs(share - promised), n=n)
            worst = max(worst, (abs(share - promised), text))
    available, kept = measured["available"], measured["kept"]
    if sum(available.values()) == 0 or sum(kept.values()) == 0:
        return failed(limit, "no hosts", measured, n=n)
    confidence = simultaneous(len(SPLITS))
    for name in SPLITS:
        share = clopper_pearson(kept[name], sum(kept.values()), confidence)
        expected = available[name] / sum(available.values())
        if share.below(expected - limit.value) or share.above(expected + limit.value):
            reason = f"{name} has {share} of the hosts in the shards, {expected:.3f} of those cut out"
            return failed(limit, reason, measured).measured(share)
    return passed(limit, f"largest deviation: {worst[1]}; {n} cells", measured, value=worst[0], n=n)


def separations_deg(
    ra_deg: FloatArray, dec_deg: FloatArray, population: Population
) -> dict[str, float | None]:
    """Return the smallest angle between galaxies of each pair of splits; None where one is empty."""
    _, first = np.unique(population.host * len(SPLITS) + population.split, return_index=True)
    vectors = healpy.ang2vec(ra_deg[first], dec_deg[first], lonlat=True).reshape(-1, 3)
    split = population.split[first]
    trees = [cKDTree(vectors[split == i]) if bool((split == i).any()) else None for i in range(len(SPLITS))]
    nearest: dict[str, float | None] = {}
    for i, j in combinations(range(len(SPLITS)), 2):
        a, b = trees[i], trees[j]
        chord = None if a is None or b is None else float(a.query(b.data)[0].min())
        angle = None if chord is None else float(np.degrees(2.0 * np.arcsin(min(1.0, chord / 2.0))))
        nearest[f"{SPLITS[i]}-{SPLITS[j]}"] = angle
    return nearest
