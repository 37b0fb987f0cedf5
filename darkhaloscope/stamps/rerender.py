"""Make a stored row again, bit for bit, from manifest, host and source.

This is what ``dhs render`` calls. It adds no path of its own: the stamps come
from ``compose``. How rows are compared is in ``agreement``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.profiles import Profile
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps.compose import make_stamps
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for


def render_rows(
    task_ids: Sequence[str],
    *,
    experiment: Experiment,
    profile: Profile,
    manifest_paths: Sequence[str | Path],
    host_paths: Sequence[str | Path],
    bank_path: str | Path,
) -> pa.Table:
    """Make the stamps of the given tasks.

    Parameters
    ----------
    task_ids : sequence of str, length n
        Tasks of one experiment.
    experiment : Experiment
        The one that made the manifest.
    profile : Profile
        ``stamp_px``.
    manifest_paths, host_paths : sequence of path
        Manifest and host cutouts of every tile that may hold the tasks.
    bank_path : path
        Source bank.

    Returns
    -------
    pyarrow.Table
        STAMPS, n rows in the order of ``task_ids``.

    Raises
    ------
    DataError
        If a task is in no manifest.
    """
    wanted = pa.array(task_ids, pa.string())
    rows = _pick(manifest_paths, wanted, "Task is not in the manifest")
    twin_ids = pc.unique(rows["twin_task_id"].drop_null())
    twins = _pick(manifest_paths, twin_ids, "Twin is not in the manifest") if len(twin_ids) else None
    host_ids = set(rows["host_id"].to_pylist())
    if twins is not None:
        host_ids |= set(twins["host_id"].to_pylist())
    hosts = load_hosts_for(experiment, locate_hosts(host_paths, host_ids), size_px=profile.stamp_px)
    with open_sources(experiment.sources.kind, bank_path) as sources:
        return make_stamps(rows, hosts=hosts, sources=sources, experiment=experiment, twins=twins)


def render_row(
    task_id: str,
    *,
    experiment: Experiment,
    profile: Profile,
    manifest_paths: Sequence[str | Path],
    host_paths: Sequence[str | Path],
    bank_path: str | Path,
) -> pa.Table:
    """Make the stamp of one task; see :func:`render_rows`."""
    return render_rows(
        [task_id],
        experiment=experiment,
        profile=profile,
        manifest_paths=manifest_paths,
        host_paths=host_paths,
        bank_path=bank_path,
    )


def find_stored_row(store: ArtifactStore, task_id: str, experiments: Sequence[str]) -> pa.Table:
    """Return the stored stamp of a task, one row.

    Parameters
    ----------
    store : ArtifactStore
        Of the campaign.
    task_id : str
        The task.
    experiments : sequence of str
        Experiments to search.

    Raises
    ------
    DataError
        If no committed tile of any of the experiments holds the task.
    """
    searched = 0
    for experiment in experiments:
        for tile in store.partitions("injected_stamps", experiment):
            searched += 1
            for path in store.paths(store.record("injected_stamps", experiment, tile), ".parquet"):
                row = pc.index(tabular.read_table(path, ["task_id"])["task_id"], task_id).as_py()
                if row >= 0:
                    return tabular.read_table(path).slice(row, 1)
    raise DataError(
        describe(
            "No stored stamp of this task",
            file=store.directory("injected_stamps"),
            field="task_id",
            row=task_id,
            got=f"{searched} tiles of {', '.join(experiments)} searched",
            hint="task ids are in the manifest and in every stamp; is this the campaign they belong to?",
        )
    )


def _pick(paths: Sequence[str | Path], wanted: pa.Array, what: str) -> pa.Table:
    """Return the manifest rows of the wanted tasks, in that order."""
    parts = []
    for path in paths:
        table = tabular.read_table(path)
        parts.append(table.filter(pc.is_in(table["task_id"], value_set=wanted)))
    rows = pa.concat_tables(parts)
    index = pc.index_in(wanted, value_set=rows["task_id"].combine_chunks())
    if index.null_count:
        missing = wanted.filter(index.is_null())[0].as_py()
        raise DataError(describe(what, file=paths[0], field="task_id", row=missing))
    return rows.take(index)
