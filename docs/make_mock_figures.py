"""Measure the mock sky beside the survey; write the figures and the numbers of ``docs/mock-realism.md``.

    python -m docs.make_mock_figures --realdata ../shared/realdata [--bricks 8]

Reads the real cutouts and the DR10 catalogue of red galaxies, renders bricks of
the mock in memory, and measures both with the functions of
``darkhaloscope.survey.realism``. Every number of the page stands between its two
marks and is written here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from scipy.stats import ks_2samp

from darkhaloscope import streams
from darkhaloscope.artifacts import atomic_path
from darkhaloscope.errors import DataError, describe
from darkhaloscope.evaluation.cutouts import read_cutouts
from darkhaloscope.lensing.geometry import crop_about
from darkhaloscope.reports.figures_realism import correlation_figure, profiles_figure, stamps_figure
from darkhaloscope.schema import BANDS
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, plan_bricks
from darkhaloscope.survey.mock.pixels import make_brick
from darkhaloscope.survey.mock.population import draw_lrg_photometry
from darkhaloscope.survey.realism import Looks, measure_looks
from darkhaloscope.survey.release import DR10_SOUTH

FOLDER = Path(__file__).parent
PAGE = FOLDER / "mock-realism.md"
IMAGES = FOLDER / "images"

CUTOUT_PX = 101
MATCH_MAG = 0.25
CATALOGUE_ROWS = 20_000
_BLOCK = re.compile(r"(<!-- measured: written by .*? -->\n)(.*?)(<!-- measured: end -->)", re.DOTALL)


@click.command(help=__doc__)
@click.option(
    "--realdata",
    type=click.Path(path_type=Path, exists=True),
    default="../shared/realdata",
    show_default=True,
)
@click.option("--bricks", type=click.IntRange(2), default=8, show_default=True, help="Bricks of the mock.")
@click.option("--output", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
@click.option(
    "--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=PAGE, show_default=True
)
def main(*, realdata: Path, bricks: int, output: Path, page: Path) -> None:
    """Measure, draw, write."""
    real = read_cutouts(realdata / "dr10_cutouts", release=DR10_SOUTH, size_px=CUTOUT_PX)
    real_looks = [measure_looks(image, pixel_scale_arcsec=PIXEL_SCALE_ARCSEC) for image in real.images]
    images, mock_looks = mock_cutouts(bricks)
    matched = [alike(looks, mock_looks) for looks in real_looks]
    beside = [rows[0] for rows in matched]
    for path in (
        stamps_figure(
            {
                "survey": (real.images, [_caption(one) for one in real_looks]),
                "mock": (images[beside], [_caption(mock_looks[row]) for row in beside]),
            },
            output / "mock-1-stamps.png",
        ),
        correlation_figure(real_looks, mock_looks, output / "mock-2-noise.png"),
        profiles_figure(
            [
                (identity, looks, [mock_looks[row] for row in rows])
                for identity, looks, rows in zip(real.ids, real_looks, matched, strict=True)
            ],
            output / "mock-3-profiles.png",
        ),
    ):
        click.echo(f"{path}  {path.stat().st_size / 1000:.0f} kB")
    text = measured(real.ids, real_looks, mock_looks, matched, bricks) + catalogue_table(realdata)
    with atomic_path(page) as temporary:
        temporary.write_text(with_numbers(page.read_text(encoding="utf-8"), text), encoding="utf-8")
    click.echo(page)


def mock_cutouts(bricks: int) -> tuple[np.ndarray, list[Looks]]:
    """Return cutouts about the mock's red galaxies that every band covers, and what they look like."""
    config = MockSkyConfig(
        n_bricks=bricks, n_pairs=0, missing_band=None, zero_coverage=False, n_lenses=0, n_lookalikes=0
    )
    images, looks = [], []
    for brick in plan_bricks(config):
        pixels = make_brick(config, brick, {})
        hosts = pixels.sources[pixels.sources["kind"] == "host"]
        for x, y in zip(*brick.wcs(config.brick_px).all_world2pix(hosts["ra"], hosts["dec"], 0), strict=True):
            window = crop_about(x, y, CUTOUT_PX)
            rows, columns = slice(window.y0, window.y0 + CUTOUT_PX), slice(window.x0, window.x0 + CUTOUT_PX)
            cut = pixels.image[:, rows, columns]
            if cut.shape[1:] != (CUTOUT_PX, CUTOUT_PX) or not (pixels.invvar[:, rows, columns] > 0.0).all():
                continue
            images.append(cut)
            looks.append(measure_looks(cut, pixel_scale_arcsec=PIXEL_SCALE_ARCSEC))
    return np.stack(images), looks


def alike(real: Looks, mock: Sequence[Looks]) -> list[int]:
    """Return mock galaxies within ``MATCH_MAG`` of a real one in z, nearest in colour and noise first."""
    difference = np.stack([one.mag for one in mock]) - real.mag
    rows = np.flatnonzero(np.abs(difference[:, 2]) < MATCH_MAG)
    if not rows.size:
        raise DataError(describe("No mock galaxy is as bright", expected=f"z = {real.mag[2]:.2f}"))
    noise = np.abs(np.log(np.stack([mock[row].sigma_nmgy for row in rows]) / real.sigma_nmgy))
    far = np.nan_to_num(np.maximum(np.abs(difference[rows]), noise), nan=np.inf).max(axis=1)
    return [int(row) for row in rows[np.argsort(far)]]


def measured(
    ids: Sequence[str],
    real: Sequence[Looks],
    mock: Sequence[Looks],
    matched: Sequence[Sequence[int]],
    bricks: int,
) -> str:
    """Return the tables of what was measured on pixels, as Markdown."""
    lines = [
        f"{len(real)} real cutouts; 2.5, 50, 97.5 % of {len(mock)} in {bricks} bricks of the mock.",
        "",
        "| quantity | " + " | ".join(ids) + " | mock |",
        "|---" * (len(ids) + 2) + "|",
    ]

    def add(name: str, values: Sequence[float], of_mock: Any, form: str) -> None:
        low, middle, high = np.nanpercentile(np.asarray(of_mock, dtype=float), [2.5, 50.0, 97.5])
        cells = [form.format(value) if np.isfinite(value) else "none" for value in values]
        lines.append(
            f"| {name} | "
            + " | ".join(cells)
            + f" | {form.format(low)} … **{form.format(middle)}** … {form.format(high)} |"
        )

    for band, name in enumerate(BANDS):
        add(
            f"sigma of a sky pixel, {name} [10⁻³ nMgy]",
            [1e3 * one.sigma_nmgy[band] for one in real],
            [1e3 * one.sigma_nmgy[band] for one in mock],
            "{:.2f}",
        )
    for band, name in enumerate(BANDS):
        add(
            f"sky level left, {name} [sigma]",
            [one.level_sigma[band] for one in real],
            [one.level_sigma[band] for one in mock],
            "{:.2f}",
        )
    for direction in (0, 1):
        for lag in range(real[0].correlation.shape[2]):
            add(
                f"autocorrelation along {'xy'[direction]}, lag {lag + 1}, mean of bands",
                [float(one.correlation[:, direction, lag].mean()) for one in real],
                [float(one.correlation[:, direction, lag].mean()) for one in mock],
                "{:+.2f}",
            )
    add("sources in the cutout", [one.sources for one in real], [one.sources for one in mock], "{:.0f}")
    add(
        "share of pixels without source",
        [one.sky_share for one in real],
        [one.sky_share for one in mock],
        "{:.2f}",
    )
    add(
        "narrowest bright source, FWHM [arcsec]",
        [one.narrowest_fwhm_arcsec for one in real],
        [one.narrowest_fwhm_arcsec for one in mock],
        "{:.2f}",
    )
    lines += [
        "",
        "Each real galaxy among the mock's galaxies of its brightness:",
        "",
        "| quantity | " + " | ".join(f"{name}: real | mock" for name in ids) + " |",
        "|---" * (2 * len(ids) + 1) + "|",
    ]
    quantities = {
        "half-light radius, seeing included [arcsec]": lambda one: one.half_light_arcsec,
        'g - r inside 2"': lambda one: one.mag[0] - one.mag[1],
        'r - z inside 2"': lambda one: one.mag[1] - one.mag[2],
        "centre, r [mag/arcsec²]": lambda one: (
            22.5 - 2.5 * np.log10(max(one.profile_nmgy_arcsec2[1, 0], 1e-9))
        ),
    }
    for name, value in quantities.items():
        cells = []
        for looks, rows in zip(real, matched, strict=True):
            spread = np.nanpercentile([value(mock[row]) for row in rows], [2.5, 50.0, 97.5])
            cells += [f"{value(looks):.2f}", f"{spread[0]:.2f} … **{spread[1]:.2f}** … {spread[2]:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def catalogue_table(realdata: Path) -> str:
    """Return quantiles of magnitude and colour of DR10's red galaxies and of the mock's, as Markdown."""
    table = pq.read_table(realdata / "catalogs" / "lrg_dr10_total_v3.parquet")
    mag = np.stack(
        [
            22.5 - 2.5 * np.log10(np.maximum(table[f"FLUX_{b}"].to_numpy(), 1e-9))
            for b in ("G", "R", "Z", "W1")
        ]
    )
    kinds = np.array(table["TYPE"].to_pylist())
    good = (kinds != "PSF") & (mag[2] > 17.0) & (mag[0] < 30.0)
    mock_kinds, mock = draw_lrg_photometry(
        streams.generator(10, "docs/mock_realism", "catalogue"), CATALOGUE_ROWS
    )
    lines = [
        "",
        f"{int(good.sum()):,} DR10 galaxies of the parent cut and {CATALOGUE_ROWS:,} draws of the mock:",
        "",
        "| quantity | DR10, 10 / 50 / 90 % | mock, 10 / 50 / 90 % | largest distance of the distributions |",
        "|---|---|---|---|",
    ]
    for name, pick in (
        ("z", lambda m: m[2]),
        ("g - r", lambda m: m[0] - m[1]),
        ("r - z", lambda m: m[1] - m[2]),
        ("z - W1", lambda m: m[2] - m[3]),
    ):
        a, b = pick(mag[:, good]), pick(mock)
        cells = [" / ".join(f"{v:.2f}" for v in np.quantile(x, (0.1, 0.5, 0.9))) for x in (a, b)]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {ks_2samp(a, b).statistic:.3f} |")
    shares = [
        " / ".join(f"{np.mean(k == kind):.0%}" for kind in ("DEV", "SER", "REX", "EXP"))
        for k in (kinds[good], mock_kinds)
    ]
    lines.append(f"| DEV / SER / REX / EXP | {shares[0]} | {shares[1]} | |")
    return "\n".join(lines) + "\n"


def with_numbers(page: str, text: str) -> str:
    """Return the page with the block between its marks replaced.

    Raises
    ------
    DataError
        If the page lost its marks.
    """
    if not _BLOCK.search(page):
        raise DataError(
            describe("Page has no marks of the measured block", file=PAGE, expected="<!-- measured: ... -->")
        )
    return _BLOCK.sub(lambda match: match.group(1) + text + match.group(3), page)


def _caption(looks: Looks) -> str:
    return f"z {looks.mag[2]:.2f}  g-r {looks.mag[0] - looks.mag[1]:.2f}"


if __name__ == "__main__":
    main()
