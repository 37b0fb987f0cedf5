"""The leakage gates: what each reads, and which figure it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from darkhaloscope.gates import figures
from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.leakage import splits
from darkhaloscope.gates.population import SPLITS, Population, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.survey.tiles import cell_ids
from darkhaloscope.tabular import read_table


def ask_sky(data: DataSet) -> list[Verdict]:
    """L1: cells and guard band."""
    table = data.shards.metadata(["ra", "dec"])
    ra, dec = floats(table["ra"]), floats(table["dec"])
    measured = splits.measure_sky(
        data.shards, data.population, data.experiment.split, data.splits.of(ra, dec)
    )
    name = figures.draw_sky(data.folder / "L1.png", ra, dec, data.population.split)
    return [replace(splits.judge_sky(measured, data.limits), figure=name)]


def ask_galaxies(data: DataSet) -> list[Verdict]:
    """L2: hosts in two splits."""
    measured = splits.measure_shared_hosts(data.shards, data.population)
    return [splits.judge_hosts(measured, data.limits)]


def ask_sources(data: DataSet) -> list[Verdict]:
    """L3: sources in two splits."""
    return [splits.judge_sources(splits.measure_sources(data.shards, data.population), data.limits)]


def ask_proportions(data: DataSet) -> list[Verdict]:
    """L4: shares of galaxies and area."""
    usable = data.bricks.filter(pc.equal(data.bricks["status"], "ok"))
    cell = cell_ids(floats(usable["ra"]), floats(usable["dec"]), data.splits.nside)
    measured = splits.measure_proportions(
        cell=cell,
        split=np.array([data.splits.cells.get(int(c), "none") for c in cell]),
        galaxies=floats(usable["n_galaxies"]),
        area_deg2=floats(usable["area_deg2"]),
        fractions=data.experiment.split.fractions,
        available=_hosts_per_split(
            Population.of(read_table(data.manifest_paths, ["control_kind", "split", "host_id"]))
        ),
        kept=_hosts_per_split(data.population),
    )
    return [splits.judge_proportions(measured, data.limits)]


def _hosts_per_split(population: Population) -> dict[str, int]:
    return {split: population.galaxies(population.where(split=split)) for split in SPLITS}


GATES: dict[str, Ask] = {
    "L1": ask_sky,
    "L2": ask_galaxies,
    "L3": ask_sources,
    "L4": ask_proportions,
}
"""The gates of this family, in the order they run."""
