"""The leakage gates: what each reads, and which figure it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.gates import figures
from darkhaloscope.gates.columns import Galaxies
from darkhaloscope.gates.columns.identities import GalaxyTally, hashes
from darkhaloscope.gates.columns.scan import class_cells, gathered
from darkhaloscope.gates.columns.sky import coordinates
from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.leakage import figures as drawings
from darkhaloscope.gates.leakage import known_objects, metadata, proportions, splits
from darkhaloscope.gates.population import KINDS, SPLITS, floats, known_codes
from darkhaloscope.gates.result import Verdict
from darkhaloscope.survey.tiles import cell_ids
from darkhaloscope.tabular import iter_batches

_SHOWN_GALAXIES = 50_000
"""Galaxies drawn on the map, those with the smallest hashes: an unbiased sample."""


def ask_sky(data: DataSet) -> list[Verdict]:
    """L1: cells and guard band."""
    measured = splits.measure_sky(data.columns, data.experiment.split.guard_deg)
    galaxies = data.columns.galaxies
    shown = galaxies.position[:_SHOWN_GALAXIES]
    name = figures.draw_sky(
        data.folder / "L1.png", *coordinates(shown), _split_of(galaxies)[:_SHOWN_GALAXIES]
    )
    return [replace(splits.judge_sky(measured, data.limits), figure=name)]


def ask_galaxies(data: DataSet) -> list[Verdict]:
    """L2: hosts in two splits."""
    measured = splits.measure_shared_hosts(data.columns, data.shards, data.limits)
    return [splits.judge_hosts(measured, data.limits)]


def ask_sources(data: DataSet) -> list[Verdict]:
    """L3: sources in two splits."""
    return [splits.judge_sources(splits.measure_sources(data.columns, data.shards), data.limits)]


def ask_proportions(data: DataSet) -> list[Verdict]:
    """L4: shares of galaxies and area."""
    usable = data.bricks.filter(pc.equal(data.bricks["status"], "ok"))
    cell = cell_ids(floats(usable["ra"]), floats(usable["dec"]), data.splits.nside)
    measured = proportions.measure_proportions(
        cell=cell,
        split=np.array([data.splits.cells.get(int(c), "none") for c in cell]),
        galaxies=floats(usable["n_galaxies"]),
        area_deg2=floats(usable["area_deg2"]),
        fractions=data.experiment.split.fractions,
        available=_hosts_per_split(_planned_galaxies(data)),
        kept=_hosts_per_split(data.columns.galaxies),
    )
    return [proportions.judge_proportions(measured, data.limits)]


def ask_metadata(data: DataSet) -> list[Verdict]:
    """L5: what conditions tell of the class."""
    measured = metadata.measure_metadata(
        data.columns,
        data.experiment.preprocess.metadata,
        seed=data.experiment.seed,
        n_boot=data.profile.bootstrap,
        limits=data.limits,
    )
    name = drawings.draw_metadata(data.folder / "L5.png", measured, data.limits.value("L5", "max_auc"))
    return [replace(metadata.judge_metadata(measured, data.limits), figure=name)]


def ask_known_objects(data: DataSet) -> list[Verdict]:
    """L6: known lenses and anchors among the rows."""
    measured = known_objects.measure_known_objects(data.columns, data.anchors, data.shards, data.limits)
    return [known_objects.judge_known_objects(measured, data.limits)]


def _planned_galaxies(data: DataSet) -> Galaxies:
    tally = GalaxyTally()
    for table in gathered(iter_batches(data.manifest_paths, ["control_kind", "split", "host_id"], 1 << 17)):
        kind, split = known_codes(table, "control_kind", KINDS), known_codes(table, "split", SPLITS)
        cell = (kind * len(SPLITS) + split).astype(np.uint8)
        tally.update(hashes(table["host_id"]), cell, np.full(len(cell), -1, dtype=np.int64))
    return tally.result()


def _hosts_per_split(galaxies: Galaxies) -> dict[str, int]:
    return {split: int(galaxies.within(class_cells(split=split)).sum()) for split in SPLITS}


def _split_of(galaxies: Galaxies) -> NDArray[np.int64]:
    """Return one split of each galaxy, the last where it is in several."""
    return np.log2(np.maximum(galaxies.splits(), 1)).astype(np.int64)


GATES: dict[str, Ask] = {
    "L1": ask_sky,
    "L2": ask_galaxies,
    "L3": ask_sources,
    "L4": ask_proportions,
    "L5": ask_metadata,
    "L6": ask_known_objects,
}
"""The gates of this family, in the order they run."""
