"""Time all column gates over rows without pixels against pandas and scipy, in one run.

Rows are made by hashing their number: blocks of four galaxies, three of which
carry a positive, a paired and a matched-light row, one an unpaired row, in cells
of the sky that belong to one split. "scan" is the one pass that every column
gate shares, read from Parquet; "gates" is what they make of it (measuring,
judging, the trees of L5); Q4 joins manifest and stamps and is timed apart. All of
it runs in a process of its own, whose peak memory is given.

The peer reads a part of the same file with pandas and takes from it, with pandas
and scipy, the conditions (Kolmogorov-Smirnov and Cohen's d clustered by galaxy),
counts, copies and shared ids; no geometry, no trees. It is extrapolated linearly,
which favours it: it sorts. Both give the same distances within the proven error.

    python benchmarks/bench_gates_columns.py [--rows 1000000] [--peer-rows 200000] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import healpy as hp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.config import Controls, SnrTargeting
from darkhaloscope.gates.columns import MEASURED, Plan, scan_columns
from darkhaloscope.gates.columns.effects import TwoGroups, ks_distance_of
from darkhaloscope.gates.columns.scan import SNR_COLUMN, cells_of
from darkhaloscope.gates.leakage import known_objects, metadata, splits
from darkhaloscope.gates.population import KINDS, SPLITS, Population
from darkhaloscope.gates.quality import completeness, conditions, losses, multiplicity, snr_mix
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import ANCHORS
from darkhaloscope.stamps.snr_target import declared_target

PROMISED_S, PROMISED_MB = 90.0, 2048.0
BLOCK_ROWS = ("positive", "paired", "matched_light") * 3 + ("unpaired",)
GALAXY_OF_ROW = (0, 0, 0, 1, 1, 1, 2, 2, 2, 3)
BATCH_BLOCKS = 13_000
SOURCES = 60_000
ANCHOR_COUNT = 10_000
TARGET = SnrTargeting(mode="choose_flux", target="table")
MIDDLE = {"psf_fwhm": (1.3, 0.15), "psfdepth": (24.5, 0.3), "host_mag": (20.0, 0.8), "nexp": (4.0, 2.0)}


def uniform(number: NDArray[np.uint64], stream: int) -> NDArray[np.float64]:
    """Return numbers in (0, 1) from SplitMix64 of (stream, number)."""
    z = number + np.uint64(stream * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54


def make_batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows."""
    from scipy.special import ndtri

    cells = np.arange(0, 12 * 32**2, 3)
    split_of_cell = np.searchsorted([0.7, 0.85], uniform(cells.astype(np.uint64), 1))
    blocks = rows // len(BLOCK_ROWS)
    for start in range(0, blocks, BATCH_BLOCKS):
        block = np.arange(start, min(start + BATCH_BLOCKS, blocks), dtype=np.uint64)
        galaxy = (block[:, None] * np.uint64(4) + np.array(GALAXY_OF_ROW, np.uint64)).reshape(-1)
        row = (block[:, None] * np.uint64(10) + np.arange(10, dtype=np.uint64)).reshape(-1)
        place = (uniform(galaxy // np.uint64(4), 2) * len(cells)).astype(int)
        ra, dec = hp.pix2ang(32, cells[place], nest=True, lonlat=True)
        split = split_of_cell[place]
        lit = np.tile(np.array([k in {"positive", "matched_light"} for k in BLOCK_ROWS]), len(block))
        source = (uniform(row, 3) * SOURCES / 3).astype(int) * 3 + split
        columns: dict[str, Any] = {
            "task_id": [f"{n:032x}" for n in (row * np.uint64(0x9E3779B97F4A7C15)).tolist()],
            "control_kind": np.tile(np.array(BLOCK_ROWS), len(block)),
            "split": np.array(SPLITS)[split],
            "host_id": [f"10000-{n >> 9}-{n & 511}" for n in galaxy.tolist()],
            "source_id": pa.array([f"cosmos-{n}" for n in source.tolist()], mask=~lit),
            "healpix": cells[place],
            "bandset": ["grz"] * len(row),
            "nan_pixels": np.zeros(len(row), np.int32),
            "status": ["ok"] * len(row),
            "theta_e_arcsec": 0.7 + uniform(row, 4),
            SNR_COLUMN: declared_target(TARGET).quantile(uniform(row, 5)),
        }
        for i, name in enumerate(MEASURED):
            middle, wide = MIDDLE.get(name[:8] if name[:8] in MIDDLE else name[:4], (0.03, 0.01))
            columns[name] = middle + wide * ndtri(uniform(galaxy, 10 + i)).clip(-6.0, 6.0)
            if name.startswith("nexp"):
                columns[name] = np.rint(columns[name]).clip(1).astype(np.int32)
        columns["ra"] = ra + 0.8 * (uniform(galaxy, 6) - 0.5)
        columns["dec"] = dec + 0.8 * (uniform(galaxy, 7) - 0.5)
        yield pa.RecordBatch.from_pydict(columns)


def write(path: Path, rows: int) -> None:
    """Write the rows."""
    writer = None
    for batch in make_batches(rows):
        writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd", compression_level=1)
        writer.write_batch(batch)
    writer.close()


class Reader:
    """A Parquet file, read the way a shard set is."""

    def __init__(self, path: Path) -> None:
        self.paths = [path]

    def iter_batches(
        self, split: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows."""
        assert split is None
        return tabular.iter_batches(self.paths, columns, 1 << 16)

    def metadata(self, columns: Sequence[str] | None = None, split: str | None = None) -> pa.Table:
        """Return columns of all rows."""
        assert split is None
        return tabular.read_table(self.paths, columns)


def make_anchors() -> pa.Table:
    """Return known objects at places where no galaxy is."""
    ra, dec = hp.pix2ang(32, 1 + 3 * (np.arange(ANCHOR_COUNT) % 4096), nest=True, lonlat=True)
    texts = dict.fromkeys([c.name for c in ANCHORS if c.type == pa.string()], "")
    texts |= {"kind": "lens", "use": "grade"}
    return ANCHORS.table(
        {
            **{name: [text] * ANCHOR_COUNT for name, text in texts.items()},
            "ra": ra, "dec": dec,
            "z_lens": [None] * ANCHOR_COUNT, "theta_e_arcsec": [None] * ANCHOR_COUNT,
            "catalog_row": np.arange(ANCHOR_COUNT), "healpix": np.zeros(ANCHOR_COUNT, np.int64),
        }
    )  # fmt: skip


def run_gates(path: Path) -> dict[str, Any]:
    """Scan and judge; return seconds, peak memory, verdicts and the distances."""
    reader, limits = Reader(path), Thresholds()
    started, cpu = time.perf_counter(), time.process_time()
    columns = scan_columns(reader, Plan(32, None, declared_target(TARGET)))
    scan_s, scan_cpu_s = time.perf_counter() - started, time.process_time() - cpu
    scan_mb = _peak_mb()
    nothing = Population(*(np.empty(0, dtype=np.int64),) * 3)
    inputs = ("psf_fwhm_r_arcsec", "psfdepth_r_mag")
    asks = {
        "Q1": lambda: conditions.judge_conditions(
            conditions.measure_conditions(columns, {}, nothing), limits
        ),
        "Q2": lambda: completeness.judge_bands(completeness.measure_bands(columns, {}), limits),
        "Q3": lambda: completeness.judge_finite(completeness.measure_finite(columns, 0), limits),
        "Q5": lambda: completeness.judge_classes(
            completeness.measure_classes(columns, Controls(), (0.7, 0.15, 0.15)), limits
        ),
        "Q6": lambda: multiplicity.judge_multiplicity(
            multiplicity.measure_multiplicity(columns, reader, limits), limits
        ),
        "Q7": lambda: snr_mix.judge_snr_mix(snr_mix.measure_snr_mix(columns, TARGET, seed=1), limits),
        "L1": lambda: splits.judge_sky(splits.measure_sky(columns, 0.0), limits),
        "L2": lambda: splits.judge_hosts(splits.measure_shared_hosts(columns, reader, limits), limits),
        "L3": lambda: splits.judge_sources(splits.measure_sources(columns, reader), limits),
        "L5": lambda: metadata.judge_metadata(
            metadata.measure_metadata(columns, inputs, seed=1, n_boot=200, limits=limits), limits
        ),
        "L6": lambda: known_objects.judge_known_objects(
            known_objects.measure_known_objects(columns, make_anchors(), reader, limits), limits
        ),
    }
    gates: dict[str, dict[str, Any]] = {}
    for gate, judge in asks.items():
        begun = time.perf_counter()
        verdict = judge()
        gates[gate] = {"status": verdict.status.value, "reason": verdict.reason}
        gates[gate]["seconds"] = time.perf_counter() - begun
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    begun = time.perf_counter()
    losses.judge_losses(losses.measure_losses(reader.paths, reader.paths), limits)
    distances = {}
    for kind in ("paired", "unpaired", "matched_light"):
        groups = TwoGroups.of(columns, cells_of("positive", "train"), cells_of(kind, "train"))
        for name in MEASURED:
            limit = columns.values[name].ks(groups.a, groups.b)
            ks_distance_of(columns, name, groups, 0.95)
            distances[f"{kind}:{name}"] = [limit.lower, limit.upper]
    return {
        "rows": columns.total, "scan_s": scan_s, "scan_cpu_s": scan_cpu_s, "gates_s": wall_s - scan_s,
        "wall_s": wall_s, "cpu_s": cpu_s, "q4_s": time.perf_counter() - begun,
        "scan_peak_mb": scan_mb, "peak_mb": _peak_mb(),
        "ks_error": max(upper - lower for lower, upper in distances.values()),
        "gates": gates, "distances": distances,
    }  # fmt: skip


def run_peer(path: Path) -> dict[str, Any]:
    """Take the same from a data frame."""
    import pandas as pd
    from scipy import stats

    started, cpu = time.perf_counter(), time.process_time()
    frame = pd.read_parquet(path)
    read_s = time.perf_counter() - started
    distances = {}
    for split, rows in frame.groupby("split"):
        lens = rows[rows["control_kind"] == "positive"]
        for kind in ("paired", "unpaired", "matched_light"):
            other = rows[rows["control_kind"] == kind]
            for name in MEASURED:
                a, b = lens[name].to_numpy(), other[name].to_numpy()
                distance = stats.ks_2samp(a, b, method="asymp").statistic
                if split == "train":
                    distances[f"{kind}:{name}"] = float(distance)
                _peer_effect(lens, other, name)
    frame["task_id"].duplicated().sum()
    frame.groupby(["host_id", "control_kind"]).size().max()
    for name in ("host_id", "source_id", "healpix"):
        frame[[name, "split"]].drop_duplicates()[name].duplicated().sum()
    frame.groupby(["control_kind", "split", "bandset"]).size()
    (frame["nan_pixels"] > 0).groupby(frame["control_kind"]).sum()
    frame[list(MEASURED)].isna().groupby(frame["control_kind"]).sum()
    return {
        "rows": len(frame), "wall_s": time.perf_counter() - started, "read_s": read_s,
        "cpu_s": time.process_time() - cpu, "peak_mb": _peak_mb(), "distances": distances,
    }  # fmt: skip


def _peer_effect(lens: Any, other: Any, name: str) -> float:
    """Return the error of Cohen's d, its influence summed by galaxy."""
    import pandas as pd

    a, b = lens[name], other[name]
    pooled = np.sqrt(((len(a) - 1) * a.var() + (len(b) - 1) * b.var()) / (len(a) + len(b) - 2))
    d = (a.mean() - b.mean()) / pooled
    z = pd.concat([(a - a.mean()) / pooled / len(a), -(b - b.mean()) / pooled / len(b)])
    host = pd.concat([lens["host_id"], other["host_id"]])
    return float(d + np.sqrt((z.groupby(host).sum() ** 2).sum()))


def _in_a_process(task: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--task", task, "--path", str(path)],
        check=True, text=True, capture_output=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _peak_mb() -> float:
    """Return the largest resident size of this process (Linux)."""
    return float(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024.0


def measure(rows: int, peer_rows: int) -> dict[str, Any]:
    """Make the rows, run both, compare."""
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder) / "rows.parquet", Path(folder) / "part.parquet"
        write(whole, rows)
        write(part, peer_rows)
        ours, small, peer = (
            _in_a_process(task, path) for task, path in (("gates", whole), ("gates", part), ("peer", part))
        )
        size_mb = whole.stat().st_size / 2**20
    below = max(small["distances"][k][0] - d for k, d in peer["distances"].items())
    above = max(d - small["distances"][k][1] for k, d in peer["distances"].items())
    factor = ours["rows"] / peer["rows"]
    return {
        "rows": ours["rows"], "file_mb": size_mb, "load": os.getloadavg()[0], "ours": ours,
        "ours_on_peer_rows_s": small["wall_s"], "peer": peer,
        "peer_extrapolated_s": peer["wall_s"] * factor, "peer_extrapolated_mb": peer["peak_mb"] * factor,
        "peer_extrapolated_cpu_s": peer["cpu_s"] * factor,
        "ratio": peer["cpu_s"] * factor / ours["cpu_s"],
        "scipy_beyond_the_limits_by": max(below, above),
    }  # fmt: skip


def main() -> None:
    """Print a table and, on the last line, JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=200_000)
    parser.add_argument("--json", type=Path, help="also write the record here")
    parser.add_argument("--task", choices=["gates", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps((run_gates if options.task == "gates" else run_peer)(options.path)))
        return
    result = measure(options.rows, options.peer_rows)
    ours, peer = result["ours"], result["peer"]
    print(f"{result['rows']:,} rows without pixels, {result['file_mb']:,.0f} MB; load {result['load']:.1f}")
    promise = f"<={PROMISED_S:.0f} s, {PROMISED_MB:.0f} MB at 1e7"
    scan = ours["scan_s"], ours["scan_cpu_s"], ours["scan_peak_mb"]
    rest = ours["gates_s"], ours["cpu_s"] - ours["scan_cpu_s"], ours["peak_mb"]
    plain = tuple(result[f"peer_extrapolated_{what}"] for what in ("s", "cpu_s", "mb"))
    print(f"{'':44s}{'wall s':>9s}{'CPU s':>9s}{'MB':>9s}{'promise':>22s}")
    for told, (wall, cpu, memory), limit in (
        ("one pass over all columns", scan, ""),
        ("what the gates make of it", rest, ""),
        ("all column gates", (ours["wall_s"], ours["cpu_s"], ours["peak_mb"]), promise),
        (f"pandas and scipy, from {peer['rows']:,} rows", plain, ""),
    ):
        print(f"{told:44s}{wall:9.1f}{cpu:9.1f}{memory:9.0f}{limit:>22s}")
    print(f"{'Q4, manifest joined with stamps':44s}{ours['q4_s']:9.1f}")
    print(f"ratio of CPU {result['ratio']:.1f}; largest proven error of a distance {ours['ks_error']:.1e};")
    print(f"scipy's distances lie outside the proven limits by {result['scipy_beyond_the_limits_by']:.1e}")
    for gate, found in ours["gates"].items():
        print(f"  {gate:4s}{found['status']:10s}{found['seconds']:6.1f} s  {found['reason'][:90]}")
    text = json.dumps(result)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


assert set(BLOCK_ROWS) <= set(KINDS)


if __name__ == "__main__":
    main()
