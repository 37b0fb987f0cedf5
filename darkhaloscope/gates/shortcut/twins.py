"""Arcs against the light that stands for them: each positive beside its matched-light twin.

A matched-light control carries the flux and colour of one arc, its twin's. What
was added to either host is its stamp minus the host's cutout, free of the sky
and of the galaxy, so their difference is known to a thousandth where a
classifier that sees whole stamps would need ten times the galaxies. S2 asks
whether the twins are equally bright, S4 whether they have one colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.gates.features import MATCHED, Sample
from darkhaloscope.gates.hosts import HostSums
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut.classes import kinds_of
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, mean_interval

FloatArray = NDArray[np.float64]

REGIONS = ("r < 4 px", "r < 10 px", "stamp")
COLOURS = {"g-r": (0, 1), "r-z": (1, 2)}

_LARGEST_DIFFERENCE = 2.0
"""Differences relative to the mean of both lie within two; photon noise may carry one beyond."""

_LARGEST_COLOUR_MAG = 1.0
"""Colour differences beyond a magnitude count as one: a twin without light in a band has no colour."""


@dataclass(frozen=True)
class TwinLight:
    """The light that was added to m pairs of twins.

    Parameters
    ----------
    arc, matched : ndarray, shape (m, 3, 3)
        Flux within :data:`REGIONS`, per band. Unit: nMgy.
    host : ndarray of int, shape (m,)
        Galaxy of each arc.
    """

    arc: FloatArray
    matched: FloatArray
    host: NDArray[np.int64]


def twin_light(sample: Sample, hosts: HostSums) -> TwinLight | None:
    """Return the light of all pairs in the sample; None where there is no matched light.

    Parameters
    ----------
    sample : Sample
        Stamps.
    hosts : HostSums
        Their hosts before injection; rows without one are left out.
    """
    if MATCHED not in kinds_of(sample):
        return None
    table = sample.table
    row = np.flatnonzero(sample.population.where(MATCHED))
    twin = pc.index_in(table["twin_task_id"].take(row), value_set=table["task_id"].combine_chunks())
    of_row = np.asarray(pc.fill_null(twin, -1).to_numpy(), dtype=np.intp)
    at = hosts.rows(table["host_id"].to_pylist())
    known = (of_row >= 0) & (at[row] >= 0) & (at[of_row] >= 0)
    row, of_row = row[known], of_row[known]
    seen = np.concatenate([sample.raw.apertures, sample.total_nmgy[:, None]], axis=1)
    before = np.concatenate([hosts.apertures, hosts.total_nmgy[:, None]], axis=1)
    light = [seen[rows] - before[at[rows]] for rows in (of_row, row)]
    return TwinLight(light[0], light[1], np.asarray(sample.population.host[of_row]))


def measure_twin_flux(light: TwinLight | None) -> Measured:
    """Measure how much brighter arcs are than their twins, per region and band.

    Differences are relative to the mean of both lights on the stamp and averaged
    over pairs; their intervals hold together.
    """
    if light is None:
        return {}
    total = 0.5 * (light.arc[:, 2] + light.matched[:, 2])
    lit = (total > 0.0).all(axis=1)
    measured: Measured = {"pairs": int(lit.sum()), "difference": {}}
    if lit.sum() < 2:
        return measured
    confidence = simultaneous(len(REGIONS) * len(BANDS))
    relative = (light.arc[lit] - light.matched[lit]) / total[lit, None, :]
    relative = np.clip(relative, -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE)
    for i, region in enumerate(REGIONS):
        measured["difference"][region] = {
            band: mean_interval(relative[:, i, b], light.host[lit], confidence).to_dict()
            for b, band in enumerate(BANDS)
        }
    return measured


def measure_twin_colour(light: TwinLight | None) -> Measured:
    """Measure how much redder arcs are than their twins. Unit: mag."""
    if light is None:
        return {}
    arc, matched = light.arc[:, 2], light.matched[:, 2]
    lit = (arc > 0.0).all(axis=1) & (matched > 0.0).all(axis=1)
    measured: Measured = {"pairs": int(lit.sum()), "unlit": int((~lit).sum()), "difference": {}}
    if lit.sum() < 2:
        return measured
    redder = -2.5 * np.log10(arc[lit] / matched[lit])
    confidence = simultaneous(len(COLOURS))
    for name, (blue, red) in COLOURS.items():
        difference = np.clip(redder[:, blue] - redder[:, red], -_LARGEST_COLOUR_MAG, _LARGEST_COLOUR_MAG)
        measured["difference"][name] = mean_interval(difference, light.host[lit], confidence).to_dict()
    return measured


def judge_twin_flux(measured: Measured, limits: Thresholds) -> Verdict | None:
    """Fail when arcs and their twins differ in brightness (S2); None without matched light."""
    if not measured:
        return None
    few = _too_few(measured, limits)
    if few is not None:
        return few
    names = ("max_twin_flux_small", "max_twin_flux_core", "max_twin_flux")
    worst = None
    for region, name in zip(REGIONS, names, strict=True):
        limit = limits.get("S2", name)
        for band, raw in measured["difference"][region].items():
            value = Interval(**raw)
            excess = value.magnitude().lower - limit.value
            if worst is None or excess > worst[0]:
                worst = (excess, limit, f"{region} in {band}", value)
    assert worst is not None
    excess, limit, where, value = worst
    reason = f"arcs are brighter than their matched light by {value} of it, {where}"
    return (failed if excess > 0.0 else passed)(limit, reason, measured).measured(value)


def judge_twin_colour(measured: Measured, limits: Thresholds) -> Verdict | None:
    """Fail when arcs and their twins differ in colour (S4); None without matched light."""
    if not measured:
        return None
    few = _too_few(measured, limits)
    if few is not None:
        return few
    limit = limits.get("S4", "max_twin_colour_mag")
    colours = {name: Interval(**raw) for name, raw in measured["difference"].items()}
    name, value = max(colours.items(), key=lambda item: item[1].magnitude().lower)
    reason = f"arcs are redder than their matched light by {value} mag in {name}"
    return (failed if value.magnitude().above(limit.value) else passed)(limit, reason, measured).measured(
        value
    )


def _too_few(measured: Measured, limits: Thresholds) -> Verdict | None:
    limit = limits.get("S", "min_galaxies")
    n = measured["pairs"]
    if n >= limit.value:
        return None
    return failed(
        limit, f"{n} arcs with their matched light in the sample; {limit.value:g} needed", measured, n=n
    )
