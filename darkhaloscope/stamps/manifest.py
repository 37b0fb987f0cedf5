"""The manifest: one row per task with every drawn parameter; nothing is drawn later.

Roles come from ``roles``, draws from ``draws``; this module puts them together
in storage order. Pixels are not touched here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.profiles import Profile
from darkhaloscope.schema import MANIFEST, Role, per_band
from darkhaloscope.sources.colours import Galaxies, describe_galaxies
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.sources.population import draw_source_magnitudes, draw_source_rows
from darkhaloscope.stamps import draws, roles
from darkhaloscope.stamps.deflectors import LensPopulation
from darkhaloscope.stamps.kinds import HARD_NEGATIVE, MATCHED_LIGHT, PAIRED, POSITIVE, UNPAIRED
from darkhaloscope.stamps.roles import Splits
from darkhaloscope.survey.tiles import SPLITS, cell_ids

_HOST_USE = b"dhs_host_use"


@dataclass(frozen=True)
class _Task:
    """One row before its parameters: indices point into the host table."""

    kind: str
    host: int
    split: str
    pair_host: int
    twin_host: int | None = None


def task_id(experiment: Experiment, kind: str, host_id: str) -> str:
    """Return the id of a task: a host has at most one row of each kind."""
    return streams.digest_id(experiment.name, experiment.seed, "task", kind, host_id)


def build_manifest(
    experiment: Experiment,
    profile: Profile,
    *,
    hosts: pa.Table,
    splits: Splits,
    sources: SourceLibrary,
    anchors: pa.Table | None,
    tile: str,
) -> pa.Table:
    """Draw every task of a tile.

    Parameters
    ----------
    experiment : Experiment
        What to draw.
    profile : Profile
        Sizes.
    hosts : pyarrow.Table
        HOSTS columns without pixels, all hosts of the tile, in any order.
    splits : SplitMap
        Split of a position; hosts in the guard band are not used.
    sources : SourceBank
        Sources with their split; a task takes a source of its host's split.
    anchors : pyarrow.Table or None
        ANCHORS rows; hosts near one are not used, look-alikes marked
        ``hard_negative`` become controls if the experiment asks for them.
    tile : str
        Tile key.

    Returns
    -------
    pyarrow.Table
        MANIFEST, in storage order: by split, neighbouring bricks, block.
        Only parameters that are applied are not null: controls with nothing
        added have no truth, a ``matched_light`` row has its source, the
        orientation of its template and where the light goes; how much light
        and of which colour is its twin's. Where the flux is chosen for an S/N
        (``target_snr``) the magnitudes are those of the prior: their colours
        are applied, their brightness is not.

    Raises
    ------
    ConfigError
        If the controls leave one class only.
    DataError
        If no host is usable (with the count per reason), a galaxy occurs
        twice, or a split has no sources.
    """
    roles.class_shares(experiment.controls)
    galaxies = population = None
    if experiment.describes_galaxies:
        galaxies = describe_galaxies(experiment.sources, sources, experiment.seed)
        if experiment.lens.theta_e_draw == "population":
            population = LensPopulation.of(experiment, hosts, sources, galaxies)
    use = roles.classify_hosts(
        experiment,
        profile,
        hosts=hosts,
        splits=splits,
        anchors=anchors,
        unfit=None if population is None else population.unfit,
    )
    blocks, left_over = roles.assign_blocks(experiment, profile, hosts=hosts, use=use)
    tasks = _block_tasks(experiment, blocks) + _hard_negatives(hosts, use)
    if not blocks:
        raise DataError(
            describe(
                "No usable host in tile",
                row=tile,
                expected=f"at least {len(left_over) + 1} usable hosts of one split",
                got=use.counts(),
                hint="leave the tile out of the run, or relax the selection or the guard band",
            )
        )
    table = _assemble(experiment, hosts, tasks, sources, galaxies, population, tile)
    said = {**(table.schema.metadata or {}), _HOST_USE: json.dumps(use.counts())}
    return table.replace_schema_metadata(said)


def host_use(manifest: pa.Table) -> dict[str, int]:
    """Return how many hosts a manifest that was just built uses, and leaves out by which rule."""
    return dict(json.loads(manifest.schema.metadata[_HOST_USE]))


def _block_tasks(experiment: Experiment, blocks: list[roles.Block]) -> list[_Task]:
    controls, tasks = experiment.controls, []
    for block in blocks:
        for position, host in enumerate(block.lens_hosts):
            tasks.append(_Task(POSITIVE, host, block.split, host))
            if controls.paired:
                tasks.append(_Task(PAIRED, host, block.split, host))
            if controls.matched_light:
                twin = block.lens_hosts[(position + 1) % len(block.lens_hosts)]
                tasks.append(_Task(MATCHED_LIGHT, host, block.split, twin, twin))
        tasks += [_Task(UNPAIRED, host, block.split, mate) for host, mate in block.unpaired]
    return tasks


def _hard_negatives(hosts: pa.Table, use: roles.HostUse) -> list[_Task]:
    ids = hosts["host_id"].to_pylist()
    chosen = sorted(np.flatnonzero(use.reason == HARD_NEGATIVE).tolist(), key=lambda i: ids[i])
    return [_Task(HARD_NEGATIVE, host, str(use.split[host]), host) for host in chosen]


def _assemble(
    experiment: Experiment,
    hosts: pa.Table,
    tasks: list[_Task],
    sources: SourceLibrary,
    galaxies: Galaxies | None,
    population: LensPopulation | None,
    tile: str,
) -> pa.Table:
    seed, n = experiment.seed, len(tasks)
    host_ids = hosts["host_id"].to_pylist()
    at = pa.array([task.host for task in tasks])
    of_host = hosts.take(at)
    kind = np.array([task.kind for task in tasks], dtype=object)
    split = np.array([task.split for task in tasks], dtype=object)
    ids = np.array([task_id(experiment, t.kind, host_ids[t.host]) for t in tasks], dtype=object)
    lit_by = [_positive_of(experiment, task, host_ids) for task in tasks]

    positive, matched = kind == POSITIVE, kind == MATCHED_LIGHT
    lit = positive | matched
    columns: dict[str, Any] = {column.name: pa.nulls(n, column.type) for column in MANIFEST}
    ra, dec = of_host["ra"].to_numpy(), of_host["dec"].to_numpy()
    columns |= {
        "task_id": ids,
        "pair_id": [
            streams.digest_id(experiment.name, seed, "pair", host_ids[task.pair_host]) for task in tasks
        ],
        "control_kind": kind,
        "is_control": ~positive,
        "twin_task_id": [lit_by[i] if matched[i] else None for i in range(n)],
        "host_id": of_host["host_id"],
        "experiment": [experiment.name] * n,
        "tile": [tile] * n,
        "healpix": cell_ids(ra, dec, experiment.split.nside),
        "split": split,
        "ra": ra,
        "dec": dec,
        **{name: of_host[name] for name in MANIFEST.names(Role.CONDITION)},
    }

    host = np.array([task.host for task in tasks], dtype=np.intp)
    drawn, lenses = _draw_sources(sources, population, ids[positive], split[positive], host[positive], seed)
    source_of = dict(zip(ids[positive].tolist(), drawn.tolist(), strict=True))
    source = np.array([source_of[lit_by[i]] for i in np.flatnonzero(lit)], dtype=np.intp)
    columns["source_id"] = _scatter(lit, np.asarray(sources.ids, dtype=object)[source], pa.string())
    z_source = sources.z_phot if galaxies is None else galaxies.z
    columns["z_source"] = _scatter(lit, z_source[source], pa.float64())
    rotation, flip = draws.draw_orientation(experiment.sources, ids[lit], seed)
    columns["src_rotation_rad"] = _scatter(lit, rotation, pa.float64())
    columns["src_flip"] = _scatter(lit, flip, pa.bool_())

    theta_e = lenses.pop("theta_e_arcsec", None)
    lenses |= draws.draw_lens(experiment.lens, ids[positive], seed, theta_e_arcsec=theta_e)
    for name, values in lenses.items():
        columns[name] = _scatter(positive, values, pa.float64())
    for name, values in draws.draw_light_position(ids[matched], seed).items():
        columns[name] = _scatter(matched, values, pa.float64())
    magnitudes = draw_source_magnitudes(
        experiment.sources,
        mag_f814w=sources.mag_f814w[drawn],
        host_mag_r=of_host["host_mag_r"].to_numpy()[positive],
        ids=list(ids[positive]),
        seed=seed,
        galaxies=None if galaxies is None else galaxies.take(drawn),
    )
    for band, name in enumerate(per_band("src_mag_{b}")):
        columns[name] = _scatter(positive, magnitudes[:, band], pa.float64())
    target_snr = draws.draw_target_snr(experiment.snr_targeting, ids[positive], seed)
    columns["target_snr"] = _scatter(positive, target_snr, pa.float64())
    return MANIFEST.table(columns)


def _positive_of(experiment: Experiment, task: _Task, host_ids: Sequence[str]) -> str | None:
    """Return the id of the positive whose light a task carries, None if it carries none."""
    host = task.host if task.kind == POSITIVE else task.twin_host
    return None if host is None else task_id(experiment, POSITIVE, host_ids[host])


def _draw_sources(
    sources: SourceLibrary,
    population: LensPopulation | None,
    ids: NDArray[Any],
    split: NDArray[Any],
    hosts: NDArray[np.intp],
    seed: int,
) -> tuple[NDArray[np.intp], dict[str, NDArray[np.float64]]]:
    """Give every positive a source of its own split, by row of the library, and the lens that goes with it.

    Without a population nothing is known of the lens, and sources are used evenly.
    """
    rows = np.empty(len(ids), dtype=np.intp)
    lenses: dict[str, NDArray[np.float64]] = {}
    for name in SPLITS:
        mine = np.flatnonzero(split == name)
        if not mine.size:
            continue
        chosen = [str(task) for task in ids[mine]]
        if population is None:
            rows[mine] = draw_source_rows(sources.ids, sources.split, split=name, ids=chosen, seed=seed)
            continue
        drawn = population.draw(hosts[mine], name, chosen)
        rows[mine] = drawn.source
        for column, values in drawn.columns().items():
            lenses.setdefault(column, np.empty(len(ids)))[mine] = values
    return rows, lenses


def _scatter(rows: NDArray[np.bool_], values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return a column that holds ``values`` in ``rows`` and null elsewhere; NaN becomes null."""
    full = np.zeros(len(rows), dtype=values.dtype)
    full[rows] = values
    empty = ~rows
    if values.dtype.kind == "f":
        empty = empty | np.isnan(full)
    return pa.array(full, type=kind, mask=empty)
