"""C(theta_E, seeing): which injected lenses the finder recovers at its frozen threshold.

Injection-recovery on test hosts with test sources, by the very functions that
made the training set, at exact numbers per cell. It is a property of the
injections until real and injected lenses are shown to be alike, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope import streams, tabular
from darkhaloscope.config import Experiment
from darkhaloscope.errors import ArtifactError, DataError, describe
from darkhaloscope.evaluation.scoring import BATCH_ROWS, score_array, score_rows
from darkhaloscope.profiles import Profile
from darkhaloscope.progress import track
from darkhaloscope.schema import HOSTS, MANIFEST, Role, per_band
from darkhaloscope.sources.colours import Galaxies, describe_galaxies
from darkhaloscope.sources.library import SourceLibrary, open_sources
from darkhaloscope.sources.population import draw_source_magnitudes, draw_source_rows
from darkhaloscope.stamps import draws
from darkhaloscope.stamps.compose import make_stamps
from darkhaloscope.stamps.deflectors import LensPopulation
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for
from darkhaloscope.stamps.kinds import POSITIVE
from darkhaloscope.statistics.rates import OperatingPoint, Rate
from darkhaloscope.survey.neighbours import nearest_arcsec
from darkhaloscope.survey.tiles import SplitMap, cell_ids
from darkhaloscope.training.predict import LoadedModel, load_model

RECORD_NAME = "selection_function.json"
RECORD_VERSION = 1

NOT_VALIDATED = (
    "recovery of injections; not validated as completeness of real lenses: "
    "real and injected lenses were not compared"
)
"""Printed on every map that no comparison of real and injected lenses was made for."""

_HOST_COLUMNS = [column.name for column in HOSTS if column.role is not Role.PIXELS]


def measure_selection(
    checkpoint_path: str | Path,
    *,
    experiment: Experiment,
    profile: Profile,
    host_paths: Sequence[str | Path],
    splits: SplitMap,
    bank_path: str | Path,
    evaluation_path: str | Path,
    validity: Mapping[str, Any] | None = None,
    inputs: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Measure the recovered share in each cell of Einstein radius and seeing.

    Parameters
    ----------
    checkpoint_path : path
        Weights with their PreprocessSpec.
    experiment : Experiment
        Cell edges, and every distribution but theta_E, which is uniform inside
        a cell.
    profile : Profile
        ``selection_per_cell`` injections.
    host_paths : sequence of path
        Host cutouts of every tile; only hosts in test cells and clear of known
        lenses are used.
    splits : SplitMap
        The published division of the sky.
    bank_path : path
        Source bank; only test sources are used.
    evaluation_path : path
        Anchor evaluation of this checkpoint: its frozen threshold and the
        positions of known objects.
    validity : mapping, optional
        ``validated`` and ``statement``: what the map may claim; nothing by default.
    inputs : dict of str to str, optional
        Content hashes of what was read.

    Returns
    -------
    dict
        The record: edges, one entry per cell (``k``, ``n``, Wilson interval,
        hosts, injections lost), threshold, and what the map may claim. A cell
        without hosts is there with n = 0.

    Raises
    ------
    ArtifactError
        If the evaluation belongs to another checkpoint.
    DataError
        If no test host is usable, or every injection was lost.
    """
    model = load_model(checkpoint_path)
    evaluation = json.loads(Path(evaluation_path).read_text())
    if evaluation["checkpoint_sha256"] != model.sha256:
        raise ArtifactError(
            describe(
                "Threshold of another checkpoint",
                file=evaluation_path,
                expected=model.sha256,
                got=evaluation["checkpoint_sha256"],
                hint="evaluate this checkpoint on the anchors first",
            )
        )
    point = OperatingPoint.from_dict(evaluation["threshold"])
    hosts = _test_hosts(host_paths, splits, np.array(evaluation["positions_deg"]), experiment)
    edges = experiment.evaluation
    with open_sources(experiment.sources.kind, bank_path) as sources:
        tasks = draw_tasks(hosts, sources, experiment, profile.selection_per_cell)
        scored = _inject_and_score(tasks, host_paths, sources, model, experiment, profile)
    cells = summarise_cells(
        tasks, scored, hosts, point, edges.theta_e_edges_arcsec, edges.seeing_edges_arcsec
    )
    return {
        "version": RECORD_VERSION,
        "experiment": experiment.name,
        "checkpoint_sha256": model.sha256,
        "preprocess_sha256": model.preprocess.sha256,
        "inputs": dict(inputs or {}),
        "threshold": point.to_dict(),
        "theta_e_edges_arcsec": list(edges.theta_e_edges_arcsec),
        "seeing_edges_arcsec": list(edges.seeing_edges_arcsec),
        "injections_per_cell": profile.selection_per_cell,
        "cells": cells,
        "validity": dict(validity or {"validated": False, "statement": NOT_VALIDATED}),
    }


def selection_numbers(record: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a selection record that a dashboard shows."""
    cells = record["cells"]
    found, tried = sum(cell["k"] for cell in cells), sum(cell["n"] for cell in cells)
    rate = Rate.score_interval(found, tried)
    return {
        "recovered": found,
        "injected": tried,
        "recovered_share": rate.value,
        "recovered_share_lower": rate.lower,
        "recovered_share_upper": rate.upper,
        "empty_cells": sum(cell["n"] == 0 for cell in cells),
        "lost": sum(cell["lost"] for cell in cells),
        "validity": record["validity"]["statement"],
    }


def draw_tasks(hosts: pa.Table, sources: SourceLibrary, experiment: Experiment, per_cell: int) -> pa.Table:
    """Draw the injections of every cell as manifest rows.

    Parameters
    ----------
    hosts : pyarrow.Table
        Test hosts, HOSTS columns without pixels.
    sources : SourceLibrary
        Source galaxies with their split.
    experiment : Experiment
        Distributions, seed and cell edges.
    per_cell : int
        Injections per cell; a cell with fewer hosts uses each several times.

    Returns
    -------
    pyarrow.Table
        MANIFEST rows of kind positive, with the cell in ``pair_id``
        (``"<theta_E index>-<seeing index>"``); empty where no cell has a host.
        With a population of deflectors, hosts and sources are those it would
        use, and the velocity dispersion is what theta_E asks for.
    """
    theta_edges = experiment.evaluation.theta_e_edges_arcsec
    seeing_edges = experiment.evaluation.seeing_edges_arcsec
    galaxies = population = None
    fit = np.ones(hosts.num_rows, dtype=bool)
    if experiment.describes_galaxies:
        galaxies = describe_galaxies(experiment.sources, sources, experiment.seed)
        if experiment.lens.theta_e_draw == "population":
            population = LensPopulation.of(experiment, hosts, sources, galaxies)
            fit = ~population.unfit(["test"] * hosts.num_rows)
    seeing = hosts["psf_fwhm_r_arcsec"].to_numpy()
    ids = hosts["host_id"].to_pylist()
    rank = np.argsort(streams.uniform(experiment.seed, "selection_host", ids), kind="stable")
    chosen: list[int] = []
    task_ids: list[str] = []
    cells: list[str] = []
    bounds: list[tuple[float, float]] = []
    for column, (low, high) in enumerate(pairwise(seeing_edges)):
        inside = [int(row) for row in rank if low <= seeing[row] < high and fit[row]]
        for row_index, span in enumerate(pairwise(theta_edges)):
            for number in range(per_cell if inside else 0):
                host = inside[number % len(inside)]
                cell = f"{row_index}-{column}"
                chosen.append(host)
                cells.append(cell)
                bounds.append(span)
                task_ids.append(
                    streams.digest_id(experiment.name, experiment.seed, "selection", cell, number)
                )
    rows = np.array(chosen, dtype=np.intp)
    return _manifest(hosts, rows, task_ids, cells, bounds, sources, galaxies, population, experiment)


def summarise_cells(
    tasks: pa.Table,
    scores: dict[str, float],
    hosts: pa.Table,
    point: OperatingPoint,
    theta_edges: Sequence[float],
    seeing_edges: Sequence[float],
) -> list[dict[str, Any]]:
    """Count recovered injections per cell.

    Parameters
    ----------
    tasks : pyarrow.Table
        From :func:`draw_tasks`.
    scores : dict of str to float
        Score by task id; a task without a score was lost.
    hosts : pyarrow.Table
        Test hosts.
    point : OperatingPoint
        Frozen threshold.
    theta_edges, seeing_edges : sequence of float
        Cell edges in arcsec.

    Returns
    -------
    list of dict
        One entry per cell, the empty ones too.
    """
    by_cell: dict[str, list[tuple[str, str]]] = {}
    columns = (tasks["pair_id"].to_pylist(), tasks["task_id"].to_pylist(), tasks["host_id"].to_pylist())
    for cell, task, host in zip(*columns, strict=True):
        by_cell.setdefault(cell, []).append((task, host))
    seeing = hosts["psf_fwhm_r_arcsec"].to_numpy()
    cells = []
    for theta_index, theta in enumerate(pairwise(theta_edges)):
        for seeing_index, (low, high) in enumerate(pairwise(seeing_edges)):
            members = by_cell.get(f"{theta_index}-{seeing_index}", [])
            values = np.array([scores[task] for task, _ in members if task in scores])
            rate = Rate.score_interval(int(point.above(values).sum()), values.size)
            cells.append(
                {
                    "theta_e_index": theta_index,
                    "seeing_index": seeing_index,
                    "theta_e_arcsec": list(theta),
                    "seeing_arcsec": [low, high],
                    **rate.to_dict(),
                    "n_hosts": len({host for _, host in members}),
                    "hosts_in_bin": int(((seeing >= low) & (seeing < high)).sum()),
                    "lost": len(members) - values.size,
                }
            )
    return cells


def _test_hosts(
    paths: Sequence[str | Path], splits: SplitMap, known_deg: NDArray[np.float64], experiment: Experiment
) -> pa.Table:
    """Return test hosts of the experiment's selection that are clear of known lenses."""
    table = pa.concat_tables([tabular.read_table(path, _HOST_COLUMNS) for path in paths])
    wanted = pc.and_(
        pc.and_(pc.equal(table["status"], "ok"), table[f"is_{experiment.hosts.selection}"]),
        pc.equal(table["reject_reason"], ""),
    )
    table = table.filter(wanted)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    usable = splits.of(ra, dec) == "test"
    known_ra, known_dec = known_deg.reshape(-1, 2).T
    separation, _ = nearest_arcsec(ra, dec, known_ra, known_dec)
    usable &= separation > experiment.hosts.anchor_exclusion_arcsec
    hosts = table.filter(pa.array(usable))
    if hosts.num_rows == 0:
        raise DataError(
            describe(
                "No test host for injection-recovery",
                expected="at least one",
                got=f"{table.num_rows} selected hosts, none in a test cell",
            )
        )
    return hosts


def _manifest(
    every_host: pa.Table,
    chosen: NDArray[np.intp],
    ids: list[str],
    cells: list[str],
    bounds: list[tuple[float, float]],
    sources: SourceLibrary,
    galaxies: Galaxies | None,
    population: LensPopulation | None,
    experiment: Experiment,
) -> pa.Table:
    n, seed = len(ids), experiment.seed
    hosts = every_host.take(pa.array(chosen, pa.int64()))
    columns: dict[str, Any] = {column.name: pa.nulls(n, column.type) for column in MANIFEST}
    ra, dec = hosts["ra"].to_numpy(), hosts["dec"].to_numpy()
    columns |= {
        "task_id": ids,
        "pair_id": cells,
        "control_kind": [POSITIVE] * n,
        "is_control": [False] * n,
        "host_id": hosts["host_id"],
        "experiment": [experiment.name] * n,
        "tile": hosts["tile"],
        "healpix": cell_ids(ra, dec, experiment.split.nside),
        "split": ["test"] * n,
        "ra": ra,
        "dec": dec,
        **{name: hosts[name] for name in MANIFEST.names(Role.CONDITION)},
    }
    low, high = (np.array([b[i] for b in bounds], dtype=np.float64) for i in (0, 1))
    theta_e = low + (high - low) * streams.uniform(seed, "selection_theta_e", ids)
    columns |= draws.draw_lens(experiment.lens, ids, seed, theta_e_arcsec=theta_e)
    if population is None:
        rows = draw_source_rows(sources.ids, sources.split, split="test", ids=ids, seed=seed)
    else:
        lenses = population.draw_at(chosen, "test", ids, theta_e)
        rows = lenses.source
        columns |= {"sigma_v_kms": lenses.sigma_v_kms, "z_lens": lenses.z_lens}
    z_source = sources.z_phot if galaxies is None else galaxies.z
    rotation, flip = draws.draw_orientation(experiment.sources, ids, seed)
    magnitudes = draw_source_magnitudes(
        experiment.sources,
        mag_f814w=sources.mag_f814w[rows],
        host_mag_r=hosts["host_mag_r"].to_numpy(),
        ids=ids,
        seed=seed,
        galaxies=None if galaxies is None else galaxies.take(rows),
    )
    columns |= {
        "source_id": [str(name) for name in np.asarray(sources.ids, dtype=object)[rows]],
        "z_source": pa.array(z_source[rows], pa.float64(), from_pandas=True),
        "src_rotation_rad": rotation,
        "src_flip": flip,
        **{name: magnitudes[:, band] for band, name in enumerate(per_band("src_mag_{b}"))},
    }
    return MANIFEST.table(columns)


def _inject_and_score(
    tasks: pa.Table,
    host_paths: Sequence[str | Path],
    sources: SourceLibrary,
    model: LoadedModel,
    experiment: Experiment,
    profile: Profile,
) -> dict[str, float]:
    """Return the score of every task whose stamp could be made; memory is one batch."""
    scores: dict[str, float] = {}
    starts = range(0, tasks.num_rows, BATCH_ROWS)
    label = f"selection function {experiment.name} [batches]"
    for start in track(starts, total=len(starts), label=label):
        rows = tasks.slice(start, BATCH_ROWS)
        located = locate_hosts(host_paths, rows["host_id"].to_pylist())
        hosts = load_hosts_for(experiment, located, size_px=profile.stamp_px)
        stamps = make_stamps(rows, hosts=hosts, sources=sources, experiment=experiment)
        ok = stamps.filter(pc.equal(stamps["status"], "ok"))
        if ok.num_rows:
            table = score_rows(model, ok, id_column="task_id")
            scores.update(zip(table["object_id"].to_pylist(), score_array(table).tolist(), strict=True))
    if tasks.num_rows and not scores:
        raise DataError(describe("Every injection was lost", got=f"{tasks.num_rows} injections, none ok"))
    return scores
