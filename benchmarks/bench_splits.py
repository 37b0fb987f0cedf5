"""Time the division of a survey among train, val and test on one core, against the plain way, in one run.

A footprint of the size of DR10 in bricks is dealt, and every galaxy of a
catalogue gets its split or the guard band. The plain way looks the cell up in a
dictionary and measures every galaxy against the sampled outline of every test
cell, or asks astropy for the nearest one; both are timed on few galaxies and
extrapolated.

    python benchmarks/bench_splits.py [--galaxies 20000000] [--nside 32] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import healpy as hp
import numpy as np
import pyarrow as pa
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from darkhaloscope.config import Split
from darkhaloscope.streams import generator
from darkhaloscope.survey.dealing import assign_splits
from darkhaloscope.survey.tiles import GUARD, SPLIT_CODES, SplitMap

FloatArray = NDArray[np.float64]

BRICK_DEG = 0.25
GALACTIC_LATITUDE_DEG = 25.0
PLAIN_STEP = 128
BRUTE_ROWS, ASTROPY_ROWS = 2_000, 200_000


def dr10_bricks() -> pa.Table:
    """Return bricks of 0.25 deg at Dec -68 to 34 off the Galactic plane, about as many as DR10 has."""
    rng = generator(1, "bench_splits", "bricks")
    rows = []
    for dec in np.arange(-68.0, 34.0, BRICK_DEG):
        count = int(360.0 * np.cos(np.radians(dec + BRICK_DEG / 2)) / BRICK_DEG)
        ra = np.arange(count) * 360.0 / count
        middle = SkyCoord(ra + 180.0 / count, np.full(count, dec + BRICK_DEG / 2), unit="deg")
        ra = ra[np.abs(middle.galactic.b.deg) > GALACTIC_LATITUDE_DEG]
        area = np.degrees(np.sin(np.radians(dec + BRICK_DEG)) - np.sin(np.radians(dec))) * 360.0 / count
        rows.append(np.stack([ra, ra + 360.0 / count, np.full(len(ra), dec), np.full(len(ra), area)]))
    ra1, ra2, dec1, area = np.concatenate(rows, axis=1)
    density = 24_000.0 * (1.0 + 0.3 * np.sin(np.radians(2.0 * ra1)) * np.cos(np.radians(3.0 * dec1)))
    return pa.table(
        {
            "ra1": ra1, "ra2": np.mod(ra2, 360.0), "dec1": dec1, "dec2": dec1 + BRICK_DEG, "area_deg2": area,
            "n_galaxies": rng.poisson(density * area), "status": ["ok"] * len(ra1),
        }
    )  # fmt: skip


def galaxies(bricks: pa.Table, count: int, *, shuffled: bool) -> tuple[FloatArray, FloatArray]:
    """Return positions of galaxies in the bricks, in brick order as a sweep has them or in no order."""
    rng = generator(1, "bench_splits", "galaxies")
    brick = rng.integers(0, bricks.num_rows, count)
    if not shuffled:
        brick.sort()
    wide = np.mod(bricks["ra2"].to_numpy() - bricks["ra1"].to_numpy(), 360.0)
    ra = bricks["ra1"].to_numpy()[brick] + rng.uniform(size=count) * wide[brick]
    return np.mod(ra, 360.0), bricks["dec1"].to_numpy()[brick] + rng.uniform(size=count) * BRICK_DEG


def _outline(splits: SplitMap) -> FloatArray:
    cells = [cell for cell, split in splits.cells.items() if split == "test"]
    step = PLAIN_STEP * 32 // splits.nside
    return np.moveaxis(hp.boundaries(splits.nside, cells, step=step, nest=True), 1, 2).reshape(-1, 3)


def _plain_cells(splits: SplitMap, ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
    pixels = hp.ang2pix(splits.nside, ra, dec, nest=True, lonlat=True)
    return np.array([splits.cells.get(int(pixel), GUARD) for pixel in pixels])


def brute_force(splits: SplitMap, outline: FloatArray, ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
    """Measure every galaxy against every point of the outline."""
    split = _plain_cells(splits, ra, dec)
    vectors = hp.ang2vec(ra, dec, lonlat=True)
    limit = np.cos(np.radians(splits.guard_deg))
    near = np.concatenate([(part @ outline.T).max(axis=1) >= limit for part in np.array_split(vectors, 20)])
    split[(split != "test") & near] = GUARD
    return split


def with_astropy(splits: SplitMap, outline: SkyCoord, ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
    """Ask astropy for the nearest point of the outline; it keeps its tree between calls."""
    split = _plain_cells(splits, ra, dec)
    _, separation, _ = SkyCoord(ra, dec, unit="deg").match_to_catalog_sky(outline)
    split[(split != "test") & (separation < splits.guard_deg * units.deg)] = GUARD
    return split


def measure(count: int, nside: int) -> dict[str, Any]:
    """Time the dealing and both orders of the catalogue, then the plain ways on few rows."""
    bricks = dr10_bricks()
    started = time.process_time()
    splits = assign_splits(bricks, Split(nside=nside))
    deal_s = time.process_time() - started
    result: dict[str, Any] = {
        "nside": nside, "bricks": bricks.num_rows, "area_deg2": float(sum(bricks["area_deg2"].to_pylist())),
        "cells": len(splits.cells), "galaxies": count, "deal_s": deal_s, "shares": splits.shares(),
    }  # fmt: skip
    names = np.array(SPLIT_CODES)
    for order in ("brick order", "no order"):
        ra, dec = galaxies(bricks, count, shuffled=order == "no order")
        fresh = SplitMap(splits.nside, splits.guard_deg, splits.cells, splits.n_galaxies, splits.area_deg2)
        before = _reset_peak_mb()
        started = time.process_time()
        codes = fresh.codes(ra, dec)
        result[order] = {
            "classify_s": time.process_time() - started,
            "held": {str(names[k]): float(v) for k, v in enumerate(np.bincount(codes, minlength=4) / count)},
            "held_mb": before,
            "added_peak_mb": _peak_mb() - before,
        }
    result["positions_mb"] = count * 16 / 2**20
    outline = _outline(splits)
    lon, lat = hp.vec2ang(outline, lonlat=True)
    catalogue = SkyCoord(lon, lat, unit="deg")
    some = generator(1, "bench_splits", "sample").integers(0, count, max(BRUTE_ROWS, ASTROPY_ROWS))
    ours = result["no order"]["classify_s"] / count
    with_astropy(splits, catalogue, ra[:10], dec[:10])
    for name, rows, plain in (
        ("brute force", BRUTE_ROWS, lambda a, d: brute_force(splits, outline, a, d)),
        ("astropy", ASTROPY_ROWS, lambda a, d: with_astropy(splits, catalogue, a, d)),
    ):
        at = some[:rows]
        started = time.process_time()
        plainly = plain(ra[at], dec[at])
        each = (time.process_time() - started) / rows
        differ = float((plainly != names[codes[at]]).mean())
        result[name] = {"extrapolated_s": each * count, "ratio": each / ours, "rows": rows, "differ": differ}
    return result


def _peak_mb() -> float:
    """Return the largest resident size since the last reset (Linux)."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024.0


def _reset_peak_mb() -> float:
    """Forget the largest resident size; return the present one."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_mb()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=20_000_000)
    parser.add_argument("--nside", type=int, default=32, choices=(32, 64, 128))
    parser.add_argument("--json", type=Path, help="also write the record here")
    options = parser.parse_args()
    result = measure(options.galaxies, options.nside)
    n = result["galaxies"]
    print(
        f"{result['bricks']:,} bricks, {result['area_deg2']:,.0f} deg2, "
        f"{result['cells']:,} cells of nside {options.nside}"
    )
    print(f"{'':34s}{'CPU s':>12s}{'ratio':>12s}{'differ':>10s}")
    print(f"{'deal the cells':34s}{result['deal_s']:12.1f}")
    for order in ("brick order", "no order"):
        print(f"{f'{n:,} galaxies, {order}':34s}{result[order]['classify_s']:12.1f}{1.0:12.1f}")
    for name in ("astropy", "brute force"):
        one = result[name]
        told = f"{name}, extrapolated"
        print(f"{told:34s}{one['extrapolated_s']:12,.0f}{one['ratio']:12,.1f}{one['differ']:10.4%}")
    held, added = (
        max(result[o][what] for o in ("brick order", "no order")) for what in ("held_mb", "added_peak_mb")
    )
    print(
        f"memory: {added:.0f} MB on top of {held:.0f} MB, of which positions {result['positions_mb']:.0f} MB"
    )
    print(
        "differ: rows put in the band by the margin that covers the gaps between outline samples, "
        "which the plain ways leave open"
    )
    text = json.dumps(result)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
