"""Build a source bank and open it from many processes: galaxies per second and core, memory per worker.

The mock catalogue with PSF images and, where given, the real sample are built
in one process, CPU time; the first table is galaxies per second and what 20,000
galaxies take on two cores. The second opens a bank of ``--sources`` templates
from ``--workers`` processes, each of which draws batches until it has touched
every page, and reads what each holds alone (private) and shares (PSS) from
/proc (Linux).

    python benchmarks/bench_bank.py [--galaxies 200] [--real DIR] [--sources 20000] [--workers 8] [--json F]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.sources import bankfile
from darkhaloscope.sources.bankfile import SourceBank, write_bank
from darkhaloscope.streams import generator

FULL_BANK = 20_000
CORES = 2
PROMISED_MINUTES, PROMISED_MB = 15.0, 150.0
_BATCH = 64


def time_build(catalog: Path, folder: Path) -> dict[str, float]:
    """Return galaxies tried, kept, per CPU second, and the minutes a full bank takes."""
    from darkhaloscope.sources.bank import build_bank

    started = time.process_time()
    built = build_bank(catalog, folder / "bank.h5", max_galaxies=None, seed=1)
    seconds = time.process_time() - started
    rate = built["tried"] / seconds
    return {
        "tried": built["tried"],
        "kept": built["galaxies"],
        "per_s_core": rate,
        "full_minutes": FULL_BANK * built["tried"] / built["galaxies"] / rate / CORES / 60.0,
    }


def synthetic_bank(path: Path, sources: int) -> Path:
    """Write a bank of noise: only its pages matter here."""
    rows = generator(1, "bench_bank", "templates").standard_normal((256, 96, 96)).astype(np.float32)
    columns: dict[str, Any] = {name: np.ones(sources) for name in bankfile.NUMBER_COLUMNS}
    columns |= {name: [f"{i:06d}" for i in range(sources)] for name in bankfile.TEXT_COLUMNS}
    metadata = {
        "bank_id": "bench",
        "pixel_scale_arcsec": bankfile.TEMPLATE_SCALE_ARCSEC,
        "template_px": bankfile.TEMPLATE_PX,
        "psf_fwhm_arcsec": 0.13,
        "deconvolved": True,
        "limits": {},
    }
    write_bank(
        path,
        templates=np.broadcast_to(rows[:, None], (256, -(-sources // 256), 96, 96)).reshape(-1, 96, 96)[
            :sources
        ],
        order=np.arange(sources),
        columns=columns,
        rejected=[],
        metadata=metadata,
    )
    return path


def read_every_template(path: Path, worker: int, barrier: Barrier, found: Any) -> None:
    """Draw batches in an order of one's own until every page was touched; report memory when all are done."""
    before, largest = memory_mb()["Private"], 0.0
    with SourceBank.open(path) as bank:
        order = generator(1, "bench_bank", str(worker)).permutation(len(bank))
        for start in range(0, len(order), _BATCH):
            bank.templates(order[start : start + _BATCH])
            if start % (16 * _BATCH) == 0:
                largest = max(largest, memory_mb()["Rss"])
        barrier.wait()
        now = memory_mb()
        found.put({"worker": worker, "before": before, "largest_rss": largest, **now})
        barrier.wait()


def memory_mb() -> dict[str, float]:
    """Return Rss, Pss and private memory of this process in MB."""
    sizes = {"Rss": 0.0, "Pss": 0.0, "Private": 0.0}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        kind = "Private" if name.startswith("Private_") and "Hugetlb" not in name else name
        if kind in sizes:
            sizes[kind] += int(value.split()[0]) / 1024.0
    return sizes


def weigh_workers(path: Path, workers: int) -> dict[str, float]:
    """Return the largest memory of any worker with all of them alive."""
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=read_every_template, args=(path, worker, barrier, found))
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    results = [found.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    return {name: max(result[name] for result in results) for name in results[0] if name != "worker"}


def main() -> None:
    # imported here, so that the workers that weigh an open bank load what any worker loads and no more
    from darkhaloscope.sources.mock_cosmos import write_mock_cosmos

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--galaxies", type=int, default=200)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--sources", type=int, default=FULL_BANK)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mock_cosmos(folder / "mock", options.galaxies, seed=1)
        builds = {"mock, PSF matched": time_build(folder / "mock", folder)}
        if options.real is not None:
            builds["real, smoothed"] = time_build(options.real, folder)
        memory = (
            weigh_workers(synthetic_bank(folder / "large.h5", options.sources), options.workers)
            if sys.platform == "linux"
            else {}
        )
    print(f"{'catalogue':20} {'tried':>6} {'kept':>6} {'/s/core':>8} {'20,000 on 2 cores':>18}")
    for label, row in builds.items():
        print(
            f"{label:20} {row['tried']:6.0f} {row['kept']:6.0f} {row['per_s_core']:8.1f} "
            f"{row['full_minutes']:14.1f} min (promised {PROMISED_MINUTES:g})"
        )
    if memory:
        print(f"\n{options.workers} workers on {options.sources} templates, largest of any [MB]")
        print(f"{'private before opening':24} {memory['before']:8.1f}")
        print(f"{'private':24} {memory['Private']:8.1f} (promised {PROMISED_MB:g})")
        print(f"{'PSS':24} {memory['Pss']:8.1f}")
        print(f"{'RSS, largest on the way':24} {memory['largest_rss']:8.1f}")
    record = {"builds": builds, "memory_mb": memory, "sources": options.sources, "workers": options.workers}
    text = json.dumps(record)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
