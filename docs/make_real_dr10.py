r"""Write bytes and times into ``docs/real-dr10.md`` from recorded benchmarks and the survey's file sizes.

    python benchmarks/bench_sweeps.py --json sweeps.json
    python benchmarks/bench_cutouts.py --json cutouts.json
    python benchmarks/bench_inject.py --json inject.json
    python benchmarks/bench_bank.py --json bank.json
    python -m docs.make_real_dr10 --summary runs/demo/summary.json \
        sweeps.json cutouts.json inject.json bank.json

Without arguments the record that is kept, ``docs/real-dr10.json``, is used. A time
is a measured CPU time of one core times a count; nothing is fitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import healpy as hp
import numpy as np

from darkhaloscope.artifacts import atomic_path, read_json, write_json
from darkhaloscope.errors import DataError, describe

FOLDER = Path(__file__).parent
RECORD, PAGE = FOLDER / "real-dr10.json", FOLDER / "real-dr10.md"
_BLOCK = re.compile(r"(<!-- measured: written by .*? -->\n)(.*?)(<!-- measured: end -->)", re.DOTALL)

MB_PER_FILE = {"image": 13.0, "invvar": 11.0, "psfsize": 0.4}
"""Typical coadds of one band, in MB (DR10, "files"); images are 11 to 15."""

MASKBITS_MB, CCDS_MB = 0.45, 0.2
BANDS = 3
BRICK_DEG2 = 0.0623
SWEEP_GB, SWEEPS, SWEEP_ROW_BYTES = 1.75, 1436, 900.0
SWEEP_BOX_DEG = (10.0, 5.0)
PHOTO_Z_ROW_BYTES = 103.0
FOOTPRINT_DEG2 = 19_885.0
"""Area with at least one pass in r, the smallest of g, r and z: an upper limit of what has all three."""

TILE_NSIDE = 8
DENSITY = {
    "lrg_v3_raw": (1_201.0, "75 per brick (1,200/deg2)"),
    "lrg_v5_raw": (4_968.0, "300 per brick (v5)"),
}
"""Parents per deg^2, medians over bricks, and the density at which cutouts were timed. v5 holds v1 to v4."""

BANK_GALAXIES = {"23.5": 56_062, "25.2": 87_798}
"""Galaxies of the COSMOS training samples."""

LINK_MB_S = 100.0

_TEXT = (
    "One tile: {tile:.1f} deg², {tile_bricks:,.0f} bricks, {tile_sweeps:.1f} sweeps. "
    "The footprint: at most {footprint:,.0f} deg² with g, r and z, {bricks:,.0f} bricks, "
    "{tiles:,.0f} tiles' worth, {sweeps:,} sweeps."
)
_LINK = (
    "Behind a network all sweeps, photo-z sweeps and coadds above travel once: {tile} for the tile, "
    "{footprint} for the footprint; at {speed:.0f} MB/s that is {hours:.1f} hours and {days:.1f} days."
)


@click.command(help=__doc__)
@click.option(
    "--summary", type=click.Path(path_type=Path, dir_okay=False), help="Of a demo: stamps per host."
)
@click.argument("records", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True))
def main(summary: Path | None, records: tuple[Path, ...]) -> None:
    """Replace the block of the page between its two marks."""
    if records:
        names = ("sweeps", "cutouts", "inject", "bank")
        merged = {name: read_json(path) for name, path in zip(names, records, strict=True)}
        if summary is not None:
            merged["stamps_per_host"] = stamps_per_host(read_json(summary))
        write_json(RECORD, merged)
    text = with_numbers(PAGE.read_text(encoding="utf-8"), read_json(RECORD))
    with atomic_path(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(PAGE)


def stamps_per_host(summary: Mapping[str, Any]) -> float:
    """Return stamps of ``gen6`` per host with pixels in a demo."""
    tasks = sum(summary["experiments"]["gen6"]["statuses"].values())
    return float(tasks / summary["sky"]["hosts"]["ok"])


def with_numbers(page: str, record: Mapping[str, Any]) -> str:
    """Return the page with the block between its marks replaced.

    Raises
    ------
    DataError
        If the page lost its marks.
    """
    if not _BLOCK.search(page):
        raise DataError(
            describe("The marks of the numbers are gone", file=PAGE, expected="<!-- measured: ... -->")
        )
    return _BLOCK.sub(lambda match: match[1] + block(record) + match[3], page)


def brick_mb() -> float:
    """Return the bytes read of one brick, in MB."""
    return BANDS * sum(MB_PER_FILE.values()) + MASKBITS_MB + CCDS_MB


def tile_deg2() -> float:
    """Return the area of a tile."""
    return float(hp.nside2pixarea(TILE_NSIDE, degrees=True))


def sweeps_per_tile() -> float:
    """Return how many sweeps meet a tile, averaged over the tiles at Dec -30 to +30."""
    counts = []
    for tile in range(hp.nside2npix(TILE_NSIDE)):
        inside = tile * 64**2 + np.arange(64**2)
        ra, dec = hp.pix2ang(TILE_NSIDE * 64, inside, nest=True, lonlat=True)
        if abs(dec.mean()) < 30.0:
            cells = {*zip((ra // SWEEP_BOX_DEG[0]).tolist(), (dec // SWEEP_BOX_DEG[1]).tolist(), strict=True)}
            counts.append(len(cells))
    return float(np.mean(counts))


def numbers(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return per step: bytes and CPU hours of the tile and the footprint, and how they are known."""
    areas = np.array([tile_deg2(), FOOTPRINT_DEG2])
    bricks, sweeps = areas / BRICK_DEG2, np.array([sweeps_per_tile(), SWEEPS])
    sweep_bytes = sweeps * SWEEP_GB * 1e9
    photo_z = sweep_bytes * PHOTO_Z_ROW_BYTES / SWEEP_ROW_BYTES
    per_gb = record["sweeps"]["cpu_s_per_gb"]
    rows = [
        _row("sweeps", sweep_bytes, per_gb * sweep_bytes / 1e9, f"{per_gb:.2f} s/GB x bytes"),
        _row("photo-z sweeps", photo_z, 0.0 * photo_z, "read with the sweeps"),
        _row(
            "coadds",
            bricks * brick_mb() * 1e6,
            0.0 * bricks,
            f"{brick_mb():.0f} MB x bricks, read with the cutouts",
        ),
    ]
    timed = {row["density"]: row for row in record["cutouts"]["densities"]}
    inject = next(run for run in record["inject"]["runs"] if run["experiment"] == "gen6")
    for name, (density, label) in DENSITY.items():
        hosts, cut = areas * density, timed[label]
        rate, size = cut["unit_hosts_per_s"], cut["unit_bytes_per_host"]
        rows.append(
            _row(f"host cutouts, {name}", hosts * size, hosts / rate,
                 f"{size / 1e3:.0f} kB/host; hosts / {rate:.0f} hosts/s", hosts)
        )  # fmt: skip
    stamps = areas * DENSITY["lrg_v3_raw"][0] * record["stamps_per_host"]
    size, rate = inject["bytes_per_stamp"], inject["stamps_per_s_per_core"]
    rows.append(
        _row("stamps of gen6, lrg_v3_raw", stamps * size, stamps / rate,
             f"{record['stamps_per_host']:.2f} stamps/host, {size / 1e3:.0f} kB each; "
             f"stamps / {rate:.0f} stamps/s",
             stamps)
    )  # fmt: skip
    return rows


def _row(step: str, size: Any, seconds: Any, known: str, count: Any = None) -> dict[str, Any]:
    return {
        "step": step,
        "bytes": size,
        "hours": np.asarray(seconds) / 3600.0,
        "known": known,
        "count": count,
    }


def block(record: Mapping[str, Any]) -> str:
    """Return the tables of a record."""
    tile, footprint = tile_deg2(), FOOTPRINT_DEG2
    lines = [
        _TEXT.format(
            tile=tile,
            tile_bricks=tile / BRICK_DEG2,
            tile_sweeps=sweeps_per_tile(),
            footprint=footprint,
            bricks=footprint / BRICK_DEG2,
            tiles=footprint / tile,
            sweeps=SWEEPS,
        ),
        "",
        "| step | one tile | CPU time | footprint | CPU time | measurement x count |",
        "|---|---|---|---|---|---|",
    ]
    rows = numbers(record)
    for row in rows:
        cells = []
        for k in range(2):
            count = "" if row["count"] is None else f"{_count(row['count'][k])}, "
            cells += [count + _bytes(row["bytes"][k]), _time(row["hours"][k])]
        lines.append(f"| {row['step']} | " + " | ".join(cells) + f" | {row['known']} |")
    rate = next(iter(record["bank"]["builds"].values()))["per_s_core"]
    galaxies = ", ".join(
        f"{count:,} galaxies of the {name} sample: {_time(count / rate / 3600.0)}"
        for name, count in BANK_GALAXIES.items()
    )
    total = np.sum([row["bytes"] for row in rows[:3]], axis=0)
    link = _LINK.format(
        tile=_bytes(total[0]),
        footprint=_bytes(total[1]),
        speed=LINK_MB_S,
        hours=total[0] / LINK_MB_S / 3.6e9,
        days=total[1] / LINK_MB_S / 8.64e10,
    )
    reading = record["sweeps"]["peak_mb"]
    cutting = max(row["unit_peak_mb"] for row in record["cutouts"]["densities"])
    bank = f"The source bank is built once, at {rate:.0f} galaxies/s of one core: {galaxies}."
    memory = f"Largest memory of a process: {reading:.0f} MB reading sweeps, {cutting:.0f} MB cutting."
    return "\n".join([*lines, "", bank, "", link, "", memory, ""])


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:,.3g} TB" if size < 999.5 else f"{size:,.0f} TB"


def _time(hours: float) -> str:
    if hours == 0.0:
        return ""
    if hours < 1.0 / 60.0:
        return f"{hours * 3600.0:.0f} s"
    return f"{hours * 60.0:.0f} min" if hours < 2.0 else f"{hours:,.0f} h"


def _count(count: float) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


if __name__ == "__main__":
    main()
