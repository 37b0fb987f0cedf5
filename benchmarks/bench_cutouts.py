"""Time host cutouts against whole-brick reading in one run: ratios, and cutouts per second per core.

Bricks are 3600 x 3600 px, ten compressed files each, written by fitsio with the
survey's settings (RICE with an absolute quantum and subtractive dither, GZIP,
HCOMPRESS). The peer reads every plane of a brick whole and slices it, as the
predecessor did. "unit" is the production function in a process of its own:
cutting, judging and writing Parquet; its peak memory is that process's.
Seconds are CPU seconds of one thread; files are in the page cache.

    python benchmarks/bench_cutouts.py [--bricks 4] [--repeats 5] [--keep DIR] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from darkhaloscope.survey import layout
from darkhaloscope.survey.coadds import BrickCoadd
from darkhaloscope.survey.release import DR10_SOUTH

SIDE_PX, STAMP_PX = 3600, 101
DENSITIES = {"75 per brick (1,200/deg2)": 75, "5 per brick": 5, "300 per brick (v5)": 300}
PROMISED_PER_S, PROMISED_MB = 150.0, 600.0
SIGMA_NMGY = {"g": 0.002, "r": 0.003, "z": 0.007}
CENTRE_DEG = (12.0, 6.0)
_RUN = (
    "import json, sys, time; from darkhaloscope.units import run_unit; "
    "unit = json.load(sys.stdin); from darkhaloscope.survey import hosts; "
    "start = time.process_time(); result = run_unit(hosts.UNIT_FUNCTION, unit); "
    "print(json.dumps({**result, 'cpu_s': time.process_time() - start}))"
)


def brick_wcs() -> WCS:
    """Return the grid of the brick."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = CENTRE_DEG, [(SIDE_PX + 1) / 2.0] * 2
    scale = DR10_SOUTH.pixel_scale_arcsec / 3600.0
    wcs.wcs.cd = [[-scale, 0.0], [0.0, scale]]
    return wcs


def write_brick(root: Path, name: str) -> None:
    """Write the ten files of one brick: noise, 6,000 galaxies, star masks."""
    import fitsio

    cards = fits.Header(brick_wcs().to_header())
    header = fitsio.FITSHDR([{"name": key, "value": value} for key, value in cards.items()])
    rng = np.random.default_rng([7])
    (root / layout.coadd_directory(DR10_SOUTH, name)).mkdir(parents=True)

    def write(product: str, band: str | None, data: np.ndarray, **how: Any) -> None:
        path = root / layout.coadd_file(DR10_SOUTH, name, product, band)
        fitsio.write(str(path), data, header=header, tile_dims=(100, 100), **how)

    y, x = np.mgrid[:41, :41] - 20
    profile = np.exp(-(x**2 + y**2) / (2.0 * 2.5**2)) / (2.0 * np.pi * 2.5**2)
    for band, sigma in SIGMA_NMGY.items():
        image = rng.normal(0.0, sigma, (SIDE_PX, SIDE_PX)).astype(np.float32)
        for left, low in rng.integers(0, SIDE_PX - 41, (6000, 2)):
            image[low : low + 41, left : left + 41] += 10.0 ** rng.uniform(-1.0, 1.2) * profile
        invvar = (sigma**-2 * (1.0 + 0.05 * rng.normal(size=image.shape))).astype(np.float32)
        write("image", band, image, compress="RICE", qlevel=-1e-4, qmethod="SUBTRACTIVE_DITHER_2")
        write("invvar", band, invvar, compress="RICE", qlevel=16, qmethod="NO_DITHER")
        seeing = (1.3 + 0.005 * (np.arange(SIDE_PX) // 200)).astype(np.float32)
        write("psfsize", band, np.tile(seeing, (SIDE_PX, 1)), compress="GZIP", qlevel=0, qmethod="NO_DITHER")
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.int32)
    for left, low in rng.integers(0, SIDE_PX - 120, (40, 2)):
        mask[low : low + 120, left : left + 120] |= 2
    write("maskbits", None, mask, compress="HCOMPRESS")


def copy_brick(root: Path, name: str, count: int) -> list[str]:
    """Give the brick's files further names, and return all names."""
    names = [name, *(f"{i:04d}p060" for i in range(121, 120 + count))]
    for other in names[1:]:
        (root / layout.coadd_directory(DR10_SOUTH, other)).mkdir(parents=True, exist_ok=True)
        for label in layout.required_coadds(name, DR10_SOUTH.bands):
            product, _, band = label.partition("-")
            target = root / layout.coadd_file(DR10_SOUTH, other, product, band or None)
            if not target.exists():
                os.link(root / layout.coadd_file(DR10_SOUTH, name, product, band or None), target)
    return names


def positions_px(count: int) -> np.ndarray:
    """Return (x, y) inside the primary box, shape (2, n)."""
    return np.random.default_rng([11, count]).uniform(85.0, SIDE_PX - 86.0, (2, count))


def by_sections(root: Path, name: str, count: int) -> list[np.ndarray]:
    """Cut with the package's reader."""
    with BrickCoadd(root, DR10_SOUTH, name) as brick:
        return [cutout.image for cutout in brick.cut(*positions_px(count), STAMP_PX)]


def by_whole_bricks(root: Path, name: str, count: int) -> list[np.ndarray]:
    """Cut as the predecessor did: ten planes decoded whole, then sliced."""
    planes = {}
    for label in layout.required_coadds(name, DR10_SOUTH.bands):
        product, _, band = label.partition("-")
        with fits.open(root / layout.coadd_file(DR10_SOUTH, name, product, band or None)) as hdus:
            planes[label] = np.asarray(hdus[1].data)
    stamps = []
    for x, y in positions_px(count).T:
        x0, y0 = (round(v - (STAMP_PX - 1) / 2.0) for v in (x, y))
        window = np.s_[y0 : y0 + STAMP_PX, x0 : x0 + STAMP_PX]
        stamp = {k: p[window].copy() for k, p in planes.items() if not k.startswith("psfsize")}
        stamps.append(np.stack([stamp[f"image-{band}"] for band in DR10_SOUTH.bands]))
    return stamps


def host_unit(root: Path, names: list[str], count: int, output: Path) -> dict[str, Any]:
    """Return a work unit of ``count`` hosts in each brick."""
    n = count * len(names)
    x, y = positions_px(count)
    ra, dec = (np.tile(v, len(names)).tolist() for v in brick_wcs().all_pix2world(x, y, 0))
    hosts: dict[str, list[Any]] = {
        "host_id": [f"10000-{i // count}-{i}" for i in range(n)],
        "brickname": np.repeat(sorted(names), count).tolist(),
        "ra": ra,
        "dec": dec,
        "tile": ["283"] * n,
        "type": ["DEV"] * n,
        "reject_reason": [""] * n,
    }
    from darkhaloscope.schema import SELECTIONS
    from darkhaloscope.survey.photoz import REDSHIFTS

    numbers = {"shape_r_arcsec": 1.0, "ebv": 0.03}
    for band in DR10_SOUTH.bands:
        numbers |= {f"psfdepth_{band}_mag": 24.0, f"nobs_{band}": 3, f"flux_{band}_nmgy": 8.0}
    hosts |= {name: [value] * n for name, value in numbers.items()}
    hosts |= {name: [None] * n for name in REDSHIFTS}
    hosts |= {f"is_{name}": [True] * n for name in SELECTIONS}
    half = SIDE_PX / 2.0 * DR10_SOUTH.pixel_scale_arcsec / 3600.0
    bricks: dict[str, list[Any]] = {"brickname": sorted(names)}
    box = {"ra": 12.0, "dec": 6.0, "ra1": 12.0 - half, "ra2": 12.0 + half, "dec1": 6.0 - half}
    box |= {"dec2": 6.0 + half} | {f"sky_{band}_nmgy": 0.3 for band in DR10_SOUTH.bands}
    bricks |= {name: [value] * len(names) for name, value in box.items()}
    return {
        "unit_id": "bench",
        "output": str(output),
        "survey_root": {"location": str(root)},
        "release": DR10_SOUTH.name,
        "size_px": STAMP_PX,
        "hosts": hosts,
        "listed": [],
        "bricks": bricks,
    }


def measure(root: Path, names: list[str], repeats: int) -> list[dict[str, Any]]:
    """Time both readers in turns, and the production unit, at every density."""
    rows = []
    for label, count in DENSITIES.items():
        ours, theirs = by_sections(root, names[0], count), by_whole_bricks(root, names[0], count)
        equal = all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
        seconds: dict[Any, list[float]] = {by_sections: [], by_whole_bricks: []}
        for _ in range(repeats):
            for function, times in seconds.items():
                start = time.process_time()
                function(root, names[0], count)
                times.append(time.process_time() - start)
        sections, whole = (statistics.median(times) for times in seconds.values())
        with tempfile.TemporaryDirectory() as folder:
            enough = copy_brick(root, names[0], max(len(names), 200 // count))
            unit = host_unit(root, enough, count, Path(folder) / "hosts.parquet")
            done = subprocess.run(
                [sys.executable, "-c", _RUN],
                input=json.dumps(unit),
                text=True,
                check=True,
                capture_output=True,
            )
            size = (Path(folder) / "hosts.parquet").stat().st_size
        result = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            {
                "density": label,
                "same_pixels": equal,
                "cutouts_per_s": count / sections,
                "whole_brick_per_s": count / whole,
                "ratio": whole / sections,
                "unit_hosts_per_s": result["rows"] / result["cpu_s"],
                "unit_statuses": result["statuses"],
                "unit_peak_mb": result["peak_rss_mb"],
                "unit_bytes_per_host": size / result["rows"],
            }
        )
    return rows


def main() -> None:
    """Print a table and, on the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bricks", type=int, default=4, help="bricks of the unit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="directory of the bricks, written if absent")
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.keep or Path(folder)
        if not (root / layout.coadd_directory(DR10_SOUTH, "0120p060")).is_dir():
            write_brick(root, "0120p060")
        names = copy_brick(root, "0120p060", arguments.bricks)
        rows = measure(root, names, arguments.repeats)
    print(f"{STAMP_PX} px cutouts of {SIDE_PX} px bricks, ten files each, one core")
    print(f"{'':28}{'cut/s':>9}{'whole/s':>9}{'ratio':>7}{'unit/s':>9}{'promise':>9}{'MB':>7}{'limit':>7}")
    for row in rows:
        print(
            f"{row['density']:28}{row['cutouts_per_s']:9.0f}{row['whole_brick_per_s']:9.0f}{row['ratio']:7.1f}"
            f"{row['unit_hosts_per_s']:9.0f}{f'>={PROMISED_PER_S:.0f}':>9}{row['unit_peak_mb']:7.0f}"
            f"{f'<={PROMISED_MB:.0f}':>7}"
        )
    result = {"promised_per_s": PROMISED_PER_S, "promised_mb": PROMISED_MB, "densities": rows}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
