"""Time shuffled batches on one core, from archive and cache, against the predecessor's way, in one run.

The predecessor kept each stamp as an npz blob in a Parquet column and decoded it
row by row in Python, shuffling by file alone. Here batches of 256 come straight
from the shards (row groups mixed), and from the memory-mapped cache (a true
permutation); building the cache and preprocessing are timed beside them.

    python benchmarks/bench_loader.py [--stamps 8192] [--batch 256] [--json PATH]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# stamps are the synthetic ones of the tests
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic_stamps as synthetic
import torch

from darkhaloscope.config import Augmentation, Preprocess
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import STAMPS
from darkhaloscope.streams import generator
from darkhaloscope.tabular import pixels, write_table
from darkhaloscope.training.archive import ArchiveLoader
from darkhaloscope.training.batches import gather, training_batches
from darkhaloscope.training.cache import cache_split
from darkhaloscope.training.order import epoch_batches
from darkhaloscope.training.rows import read_rows

CPU = torch.device("cpu")
PROMISED = {"archive": 18_000, "cache": 100_000, "preprocess": 20_000}
PROMISED_RATIO = {"archive": 7.0, "cache": 40.0}


def write_inputs(folder: Path, stamps: int) -> tuple[list[Path], Path]:
    """Write the same stamps as shards and as the predecessor's file."""
    paths, blobs = [], []
    for number, first in enumerate(range(0, stamps, 1024)):
        table = synthetic.stamp_table(min(1024, stamps - first), "train", key=f"train-{number:05d}")
        path = folder / f"train-{number:05d}.parquet"
        write_table(path, STAMPS, table)
        paths.append(path)
        for image in pixels(table, "image"):
            buffer = io.BytesIO()
            np.savez_compressed(buffer, image_g=image[0], image_r=image[1], image_z=image[2])
            blobs.append(buffer.getvalue())
    old = folder / "predecessor.parquet"
    columns = {"stamp_npz": pa.array(blobs, pa.binary()), "is_control": [i % 2 for i in range(stamps)]}
    pq.write_table(pa.table(columns), old, row_group_size=1024, compression="snappy")
    return paths, old


def predecessor(path: Path, batch: int, rows: int) -> int:
    """Decode rows as the predecessor's data set did: a Python loop over npz blobs."""
    done, waiting = 0, []
    for table in pq.ParquetFile(path).iter_batches(batch_size=batch):
        for blob in table["stamp_npz"].to_pylist():
            with np.load(io.BytesIO(blob)) as planes:
                waiting.append(np.stack([planes[f"image_{b}"] for b in "grz"]).astype(np.float32))
        torch.from_numpy(np.stack(waiting))
        done, waiting = done + table.num_rows, []
        if done >= rows:
            break
    return done


def clock(work: Callable[[], int], repeats: int = 3) -> float:
    """Return the best CPU time per stamp in seconds, all threads counted."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        done = work()
        best = min(best, (time.process_time() - started) / done)
    return best


def measure(folder: Path, stamps: int, batch: int) -> dict[str, Any]:
    """Time every way on the same stamps."""
    pa.set_cpu_count(1)
    torch.set_num_threads(1)
    paths, old = write_inputs(folder, stamps)
    spec = PreprocessSpec.from_config(Preprocess(metadata=()), crop_px=synthetic.SIZE_PX)
    rows = read_rows(paths, "train", ())
    started = time.process_time()
    data = cache_split(paths, rows, spec, folder / "cache", content="bench")
    building = (time.process_time() - started) / stamps
    plan = epoch_batches(len(data), batch, seed=1, epoch=1)
    loader = ArchiveLoader(paths, ["task_id", "is_control"], batch, seed=1)
    image = generator(1, "bench_loader", "stamps").normal(size=(512, 3, 64, 64)).astype(np.float32) * 0.02

    def from_archive() -> int:
        return sum(len(torch.from_numpy(b.images)) for b in loader.epoch(1))

    def from_cache() -> int:
        return sum(len(gather(data, chosen, CPU)) for chosen in plan)

    def to_network(how: Augmentation) -> Callable[[], int]:
        def work() -> int:
            batches = training_batches(
                data, plan, preprocess=spec, augmentation=how, seed=1, epoch=1, device=CPU
            )
            return sum(len(b.rows) for b in batches)

        return work

    def preprocess() -> int:
        return len(spec.images(image))

    seconds = {
        "predecessor": clock(lambda: predecessor(old, batch, min(stamps, 2048)), 2),
        "archive": clock(from_archive),
        "cache": clock(from_cache, 5),
        "cache, turned and clipped": clock(to_network(Augmentation())),
        "cache, shifted by sub-pixels too": clock(to_network(Augmentation(shift_px=0.5, flux_jitter=0.1)), 1),
        "preprocess": clock(preprocess, 5),
        "building the cache": building,
    }
    return {
        "stamps": stamps,
        "batch": batch,
        "per_s": {name: 1.0 / s for name, s in seconds.items()},
        "ratio": {name: seconds["predecessor"] / s for name, s in seconds.items()},
        "promised_per_s": PROMISED,
        "promised_ratio": PROMISED_RATIO,
        "archive_bytes_per_stamp": sum(path.stat().st_size for path in paths) / stamps,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stamps", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.stamps, given.batch)
    print(f"{'one core, batches of ' + str(given.batch):36} stamps/s  x predecessor")
    for name, rate in found["per_s"].items():
        told = ""
        if name in PROMISED:
            told = f"   promised {PROMISED[name]:,}"
            told += f", {PROMISED_RATIO[name]:.0f}x" if name in PROMISED_RATIO else ""
        print(f"{name:36} {rate:8,.0f} {found['ratio'][name]:8.1f}{told}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
