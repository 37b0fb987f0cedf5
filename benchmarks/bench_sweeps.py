"""Time the parent selection on a sweep: CPU seconds per gigabyte, and peak memory.

The sweep has the survey's bytes per row: the columns that are read and as many
others. A tenth of its sources pass a selection. One process, one core; the file
is in the page cache.

    python benchmarks/bench_sweeps.py [--mb 300] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from darkhaloscope.survey import layout
from darkhaloscope.survey.cuts import selection_flags
from darkhaloscope.survey.mock.catalogs import SWEEP_DTYPE
from darkhaloscope.survey.mock.redshifts import photo_z_rows
from darkhaloscope.survey.release import DR10_SOUTH

ROW_BYTES = 900
"""Of a real sweep: 1.75 GB for about two million sources."""

PROMISED_MB = 500.0
_RUN = """
import json, sys, time
import numpy as np
from darkhaloscope.metering import process_peak_mb
from darkhaloscope.survey.layout import SweepFile
from darkhaloscope.survey.parents import _schema_columns, _sources
from darkhaloscope.survey.photoz import TileRedshifts
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.roots import open_root
root = open_root(sys.argv[1])
sweep = SweepFile(sys.argv[2], 0.0, 10.0, 0.0, 5.0)
start, kept = time.process_time(), 0
for columns in TileRedshifts(root).of(sweep, _sources(root, sweep, DR10_SOUTH, np.array([1001]))):
    kept += len(columns["ROW"])
print(json.dumps({"cpu_s": time.process_time() - start, "kept": kept, "peak_mb": process_peak_mb()}))
"""


def write(root: Path, size_mb: float) -> tuple[str, int]:
    """Write a sweep and its redshifts; return its path below the root and its bytes."""
    pad = (ROW_BYTES - SWEEP_DTYPE.itemsize) // 4
    kinds = [(name, SWEEP_DTYPE[name]) for name in SWEEP_DTYPE.names]
    rows = np.zeros(
        int(size_mb * 1e6 / ROW_BYTES), dtype=[*kinds, *((f"OTHER_{i}", "f4") for i in range(pad))]
    )
    rng = np.random.default_rng([3])
    galaxy = rng.random(len(rows)) < 0.1
    rows["RELEASE"], rows["BRICKID"], rows["OBJID"] = 10000, 1001, np.arange(len(rows))
    rows["TYPE"] = np.where(galaxy, b"DEV", b"PSF")
    for band, flux in {"G": 4.0, "R": 20.0, "Z": 50.0, "W1": 120.0}.items():
        rows[f"FLUX_{band}"] = np.where(galaxy, flux, 0.01)
        rows[f"FLUX_IVAR_{band}"] = rows[f"MW_TRANSMISSION_{band}"] = 1.0
    for band in "GRZ":
        rows[f"NOBS_{band}"], rows[f"PSFSIZE_{band}"], rows[f"PSFDEPTH_{band}"] = 3, 1.3, 1e3
    assert np.logical_or.reduce(list(selection_flags(rows[galaxy], DR10_SOUTH).values())).all()
    relative = f"{DR10_SOUTH.sweep_directory}/sweep-000p000-010p005.fits"
    sweep = layout.SweepFile(relative, 0.0, 10.0, 0.0, 5.0)
    for name, table in ((relative, rows), (layout.photo_z_file(sweep), photo_z_rows(rows, 1))):
        (root / name).parent.mkdir(parents=True)
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table)]).writeto(root / name)
    return relative, (root / relative).stat().st_size


def main() -> None:
    """Print a line and, on the last one, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=300.0, help="size of the sweep")
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        relative, size = write(Path(folder), arguments.mb)
        done = subprocess.run(
            [sys.executable, "-c", _RUN, folder, relative], check=True, capture_output=True, text=True
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    record = {"bytes": size, "cpu_s_per_gb": found["cpu_s"] / size * 1e9, **found, "promised_mb": PROMISED_MB}
    print(f"{record['cpu_s_per_gb']:.1f} s/GB, {found['kept']} sources kept, {found['peak_mb']:.0f} MB")
    text = json.dumps(record)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
