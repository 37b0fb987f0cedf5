"""Pixel gates of 20,000 stamps: the time of each step, against a loop over single stamps.

    python benchmarks/bench_gates_pixels.py [--rows 20000] [--json RECORD]

The stamps are those of the tests' sound world, repeated under other ids until
there are as many as asked for, and read from Parquet shards as a campaign's
are. The peer takes the same numbers from one stamp after the other with numpy
and a pandas table, as a notebook would, on a share of the rows. Wall time is
what a campaign waits; processor time is what the steps cost on a busy machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
import pyarrow as pa

# sound sets and faults are those of the tests: one home
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "gates"))

import gate_world

from darkhaloscope.gates.context import DataSet
from darkhaloscope.gates.shortcut.runs import GATES
from darkhaloscope.gates.views import CORE_PX, SMALL_APERTURE_PX, view_features
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import FULL
from darkhaloscope.schema import BANDS, STAMPS
from darkhaloscope.stamps.shardset import ShardSet
from darkhaloscope.tabular import pixels, write_table

ROWS, SHARD_ROWS, PEER_ROWS = 20_000, 2_000, 400


@click.command(help=__doc__)
@click.option("--rows", default=ROWS, show_default=True, help="Stamps.")
@click.option("--peer-rows", default=PEER_ROWS, show_default=True, help="Stamps of the peer.")
@click.option(
    "--json", "record", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the result."
)
def main(rows: int, peer_rows: int, record: Path | None) -> None:
    """Time every step and print its share."""
    with tempfile.TemporaryDirectory() as scratch:
        good = gate_world.build(Path(scratch) / "world")
        data = repeated(good, rows, Path(scratch))
        spent = {"sample": _timed(lambda: data.sample), "hosts": _timed(lambda: data.hosts)}
        for gate, ask in GATES.items():
            spent[gate] = _timed(lambda ask=ask: ask(data))
        stamps = data.sample.table.num_rows
        peer = (
            _peer(good.table.slice(0, peer_rows), gate_world.spec_of(good.world.experiment)).cpu / peer_rows
        )
    wall, cpu = sum(step.wall for step in spent.values()), sum(step.cpu for step in spent.values())
    for name, step in spent.items():
        click.echo(f"{name:8} {step.wall:7.1f} s  {step.cpu:7.1f} s CPU  {step.cpu / cpu:6.1%}")
    click.echo(f"all      {wall:7.1f} s  {cpu:7.1f} s CPU, {stamps} stamps")
    ours = spent["sample"].cpu / stamps
    click.echo(
        f"CPU per stamp: sample {1e3 * ours:.2f} ms, numpy and pandas stamp by stamp {1e3 * peer:.2f} ms, "
        f"{peer / ours:.1f} times as much"
    )
    if record is not None:
        steps = {name: step._asdict() for name, step in spent.items()}
        result = {"stamps": stamps, "steps": steps, "cpu_ms": 1e3 * ours, "peer_cpu_ms": 1e3 * peer}
        record.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def repeated(good: gate_world.GateWorld, rows: int, folder: Path) -> DataSet:
    """Return a data set of the world's rows under as many names as make ``rows``."""
    copies = -(-rows // good.table.num_rows)
    paths = []
    for copy in range(copies):
        path = folder / "shards" / f"train-{copy:05d}.parquet"
        path.parent.mkdir(exist_ok=True)
        count = min(good.table.num_rows, rows - copy * good.table.num_rows)
        write_table(path, STAMPS, _renamed(good.table, copy).slice(0, count))
        paths.append(path)
    return DataSet(
        shards=ShardSet(paths),
        experiment=good.world.experiment,
        profile=replace(FULL, stamp_px=gate_world.SIZE_PX),
        folder=folder / "figures",
        hosts_paths=_hosts(good, copies, folder),
    )


def _renamed(table: pa.Table, copy: int) -> pa.Table:
    names = {name: _suffixed(table[name], copy) for name in ("task_id", "pair_id", "twin_task_id", "host_id")}
    return gate_world.changed(table, **names)


def _suffixed(column: pa.ChunkedArray, copy: int) -> list[str | None]:
    return [None if value is None else f"{value}-{copy}" for value in column.to_pylist()]


def _hosts(good: gate_world.GateWorld, copies: int, folder: Path) -> list[Path]:
    from darkhaloscope.schema import HOSTS
    from darkhaloscope.tabular import read_table

    table = read_table(good.world.paths("hosts")).combine_chunks()
    columns = gate_world.columns_of(table)
    paths = []
    for copy in range(copies):
        path = folder / "hosts" / f"hosts-{copy:05d}.parquet"
        path.parent.mkdir(exist_ok=True)
        size = columns["image"].shape[-1]
        write_table(path, HOSTS, HOSTS.table({**columns, "host_id": _suffixed(table["host_id"], copy)}, size))
        paths.append(path)
    return paths


def _peer(table: pa.Table, spec: PreprocessSpec) -> Spent:
    """Return what the plain way costs: one stamp after the other, one row of a frame each."""
    images = pixels(table, "image")
    invvar = pixels(table, "invvar")
    axis = np.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])

    def run() -> pd.DataFrame:
        return pd.DataFrame(
            [_row(image, weight, radius, spec) for image, weight in zip(images, invvar, strict=True)]
        )

    spent = _timed(run)
    _require_same(run(), images, spec)
    return spent


def _row(image: np.ndarray, invvar: np.ndarray, radius: np.ndarray, spec: PreprocessSpec) -> dict[str, float]:
    row: dict[str, float] = {}
    for b, band in enumerate(BANDS):
        outer = image[b][radius > 16.0]
        median = float(np.median(outer))
        sigma = 1.4826 * float(np.median(np.abs(outer - median)))
        row |= {
            f"median_{band}": median,
            f"sigma_{band}": sigma,
            f"invvar_{band}": float(np.median(invvar[b])),
        }
        linear = (image[b] - median) / sigma
        for view, whole, seen in (
            ("raw", image[b], image[b]),
            ("model", linear, np.clip(linear, -spec.clip, spec.clip)),
        ):
            key = f"{view}_{band}_"
            row[key + "small"] = float(whole[radius < SMALL_APERTURE_PX].sum())
            row[key + "core"] = float(whole[radius < CORE_PX].sum())
            core = pd.Series(seen[radius < CORE_PX])
            row |= {key + str(name): value for name, value in core.describe().items()}
            for k in range(16):
                row[f"{key}r{k}"] = float(np.median(seen[(radius >= 2 * k) & (radius < 2 * k + 2)]))
    return row


def _require_same(frame: pd.DataFrame, images: np.ndarray, spec: PreprocessSpec) -> None:
    """Both ways must take the same numbers, or the times compare nothing."""
    ours = view_features(images, spec.images(images))
    assert np.allclose(frame["raw_r_core"], ours.apertures[:, 1, 1], rtol=1e-4)
    assert np.allclose(frame["model_g_r5"], ours.profile[:, 0, 5], rtol=1e-3, atol=1e-4)


class Spent(NamedTuple):
    """Seconds of one step: on the clock, and of the processors."""

    wall: float
    cpu: float


def _timed(run: Callable[[], Any]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
