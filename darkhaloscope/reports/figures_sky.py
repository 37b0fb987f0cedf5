"""Maps of the sky: which cell is train, val or test, and where the guard band lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import healpy as hp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from darkhaloscope.reports.canvas import INK, MUTED, SERIES, canvas, figure_of
from darkhaloscope.survey.dealing import brick_points, usable_shares
from darkhaloscope.survey.healpix import TILE_NSIDE, cell_ids, chord, unit_vectors
from darkhaloscope.survey.tiles import GUARD, SPLIT_CODES, SPLITS, SplitMap

FloatArray = NDArray[np.float64]

SPLIT_COLOURS = {"train": "#a9c6dd", "val": SERIES[2], "test": SERIES[0], GUARD: "#4b5563"}
"""One colour per split, the same on every map."""

_ALL_SKY_PX = (1900, 950)
_FIELD_PX = 700
_FIELD_RADIUS_DEG = 14.0
_MAX_FIELDS = 3
_LINK_DEG = 11.0
_MAX_OUTLINES = 3000


def split_figure(splits: SplitMap, bricks: pa.Table, path: str | Path) -> Path:
    """Draw the cells by split with the guard band, and what each split holds.

    A footprint of a few small fields is drawn field by field with its cells and
    bricks, any other one on the whole sky.

    Parameters
    ----------
    splits : SplitMap
        Division of the sky.
    bricks : pyarrow.Table
        Schema ``BRICKS``.
    path : path
        PNG.
    """
    fields = _fields(splits)
    if fields is None:
        with canvas(path, size=(11.0, 6.4), dpi=150) as (axes,):
            _draw_all_sky(axes, splits)
            _legend(axes, splits)
            _write_shares(axes, splits, bricks)
    else:
        with canvas(path, columns=len(fields), size=(4.6, 5.2)) as panels:
            for axes, field in zip(panels, fields, strict=True):
                _draw_field(axes, splits, field, bricks)
            _legend(panels[0], splits)
            _write_shares(panels[0], splits, bricks)
    return Path(path)


def mollweide(lon_deg: ArrayLike, lat_deg: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Project longitudes in [-180, 180] and latitudes; x in [-2, 2] grows with longitude, y in [-1, 1].

    2 t + sin 2 t = pi sin(lat), x = 2 lon cos(t) / pi, y = sin(t)
    (Snyder 1987, USGS Professional Paper 1395, p. 251, scaled), by Newton's method.
    """
    lon, lat = np.radians(np.asarray(lon_deg, float)), np.radians(np.asarray(lat_deg, float))
    t = lat.copy()
    for _ in range(60):
        slope = 2.0 + 2.0 * np.cos(2.0 * t)
        t -= np.divide(
            2.0 * t + np.sin(2.0 * t) - np.pi * np.sin(lat), slope, out=np.zeros_like(t), where=slope > 1e-9
        )
    return 2.0 * lon * np.cos(t) / np.pi, np.sin(t)


def _place(lon_deg: float, lat_deg: float) -> tuple[float, float]:
    x, y = mollweide(lon_deg, lat_deg)
    return float(x), float(y)


def mollweide_inverse(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Undo :func:`mollweide`; NaN outside the ellipse."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    inside = (x / 2.0) ** 2 + y**2 < 1.0
    t = np.arcsin(np.where(inside, y, 0.0))
    lat = np.degrees(np.arcsin((2.0 * t + np.sin(2.0 * t)) / np.pi))
    lon = np.degrees(np.pi * np.where(inside, x, 0.0) / (2.0 * np.cos(t)))
    return np.where(inside, lon, np.nan), np.where(inside, lat, np.nan)


def _fields(splits: SplitMap) -> list[FloatArray] | None:
    """Return the outlines' corners (ra1, ra2, dec1, dec2) of a few small fields, or None."""
    cells = np.array(sorted(splits.cells))
    parents = np.unique(cells // (splits.nside // TILE_NSIDE) ** 2)
    centres = np.stack(hp.pix2vec(TILE_NSIDE, parents, nest=True), axis=-1)
    pairs = cKDTree(centres).query_pairs(chord(_LINK_DEG), output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(parents),) * 2)
    count, label = connected_components(graph, directed=False)
    if count > _MAX_FIELDS:
        return None
    group = label[np.searchsorted(parents, cells // (splits.nside // TILE_NSIDE) ** 2)]
    fields = []
    for index in range(count):
        ra, dec = _centres(splits.nside, cells[group == index])
        middle = unit_vectors(ra, dec).mean(axis=0)
        ra0 = np.degrees(np.arctan2(middle[1], middle[0]))
        ra = (ra - ra0 + 180.0) % 360.0 - 180.0 + ra0
        side = np.degrees(hp.nside2resol(splits.nside))
        across = side / np.cos(np.radians(np.abs(dec).max()))
        field = np.array([ra.min() - across, ra.max() + across, dec.min() - side, dec.max() + side])
        width = (field[1] - field[0]) * np.cos(np.radians(dec.mean()))
        if max(width, field[3] - field[2]) > 2.0 * _FIELD_RADIUS_DEG or np.abs(dec).max() > 75.0:
            return None
        fields.append(field)
    return sorted(fields, key=lambda field: float(field[0] % 360.0))


def _centres(nside: int, cells: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    ra, dec = hp.pix2ang(nside, cells, nest=True, lonlat=True)
    return np.asarray(ra), np.asarray(dec)


def _picture(splits: SplitMap, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return colours of positions, shape (..., 3); white where there is no footprint or no sky."""
    shape = ra_deg.shape
    ra, dec = ra_deg.ravel(), dec_deg.ravel()
    rows = np.flatnonzero(np.isfinite(ra))
    rows = rows[np.isin(cell_ids(ra[rows] % 360.0, dec[rows], splits.nside), sorted(splits.cells))]
    palette = np.array([to_rgb(SPLIT_COLOURS[name]) for name in SPLIT_CODES])
    colours = np.ones((ra.size, 3))
    colours[rows] = palette[splits.codes(ra[rows] % 360.0, dec[rows])]
    return colours.reshape(*shape, 3)


def _draw_all_sky(axes: Axes, splits: SplitMap) -> None:
    width, height = _ALL_SKY_PX
    x, y = np.meshgrid(
        2.0 - 4.0 * (np.arange(width) + 0.5) / width, 2.0 * (np.arange(height) + 0.5) / height - 1.0
    )
    lon, lat = mollweide_inverse(x, y)
    # RA 285 at the edges keeps both Galactic caps of the survey whole.
    middle = 105.0
    axes.imshow(_picture(splits, lon + middle, lat), origin="lower", extent=(2.0, -2.0, -1.0, 1.0), zorder=1)
    line: dict[str, Any] = {"color": MUTED, "linewidth": 0.4, "alpha": 0.6, "zorder": 2}
    across = np.linspace(-180.0, 180.0, 181)
    for dec in range(-60, 90, 30):
        axes.plot(*mollweide(across, np.full(181, dec)), **line)
        axes.text(*_place(-180.0, dec), f"{dec:+d}° ", ha="left", va="center", fontsize=7, color=MUTED)
    for lon_line in range(-180, 181, 30):
        axes.plot(*mollweide(np.full(181, lon_line), np.linspace(-90.0, 90.0, 181)), **line)
        if abs(lon_line) < 180:
            axes.text(
                *_place(lon_line, 0.0), f"{(lon_line + middle) % 360:.0f}°",
                ha="center", va="center", fontsize=7, color=INK,
                bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )  # fmt: skip
    axes.set(xlim=(2.12, -2.12), ylim=(-1.03, 1.03), xticks=[], yticks=[], aspect="equal")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(visible=False)
    axes.set_title(_title(splits))


def _draw_field(axes: Axes, splits: SplitMap, field: FloatArray, bricks: pa.Table) -> None:
    ra = np.linspace(field[0], field[1], _FIELD_PX)
    dec = np.linspace(field[2], field[3], _FIELD_PX)
    axes.imshow(
        _picture(splits, *np.meshgrid(ra, dec)),
        origin="lower", extent=tuple(field.tolist()), interpolation="nearest", zorder=1,
    )  # fmt: skip
    middle = (field[0] + field[1]) / 2.0

    def shown(at: FloatArray) -> FloatArray:
        return np.asarray((at - middle + 180.0) % 360.0 - 180.0 + middle)

    cells = np.array(sorted(splits.cells))
    if len(cells) <= _MAX_OUTLINES:
        corners = hp.boundaries(splits.nside, cells, step=8, nest=True)
        lon, lat = hp.vec2ang(np.moveaxis(corners, 1, 2).reshape(-1, 3), lonlat=True)
        shapes = np.stack([shown(lon).reshape(len(cells), -1), lat.reshape(len(cells), -1)], axis=-1)
        axes.add_collection(
            PolyCollection(list(shapes), facecolors="none", edgecolors="white", linewidths=0.8, zorder=2)
        )
    usable = bricks.filter(pc.equal(bricks["status"], "ok"))
    if usable.num_rows <= _MAX_OUTLINES:
        # The middle point of each brick's grid is its centre.
        ra, dec = (points[:, points.shape[1] // 2] for points in brick_points(usable))
        axes.scatter(
            shown(ra),
            dec,
            marker="s",
            s=7,
            color="white",
            edgecolors=INK,
            linewidths=0.8,
            zorder=3,
            label="brick",
        )
    axes.set(
        xlim=(field[1], field[0]),
        ylim=(field[2], field[3]),
        xlabel="RA [deg]",
        ylabel="Dec [deg]",
        aspect=1.0 / np.cos(np.radians((field[2] + field[3]) / 2.0)),
    )
    ticks = [tick for tick in axes.get_xticks() if field[0] <= tick <= field[1]]
    axes.set_xticks(ticks, [f"{tick % 360:g}" for tick in ticks])
    axes.grid(visible=False)
    axes.set_title(_title(splits))


def _title(splits: SplitMap) -> str:
    return f"{len(splits.cells):,} cells of nside {splits.nside}"


def _legend(axes: Axes, splits: SplitMap) -> None:
    labels = {**{name: name for name in SPLITS}, GUARD: f"guard, {splits.guard_deg:g}° around test"}
    for name, label in labels.items():
        axes.scatter([], [], marker="s", s=40, color=SPLIT_COLOURS[name], label=label)
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda i: names[i] == "brick")
    figure_of(axes).legend(
        [handles[i] for i in order],
        [names[i] for i in order],
        loc="outside upper right",
        ncols=5,
        columnspacing=1.2,
        handletextpad=0.2,
    )


def _write_shares(axes: Axes, splits: SplitMap, bricks: pa.Table) -> None:
    """Write what each split holds below the map."""
    shares, usable = splits.shares(), usable_shares(splits, bricks)
    counts = {name: list(splits.cells.values()).count(name) for name in SPLITS}
    rows = [
        (
            name,
            f"{counts[name]:,}",
            *(f"{shares[name][what]:.1%}" for what in ("galaxies", "area")),
            f"{usable[name]:.1%}",
        )
        for name in SPLITS
    ]
    rows.append((GUARD, "", "", "", f"{usable[GUARD]:.1%}"))
    head = ("", "cells", "galaxies", "area", "galaxies outside guard")
    figure_of(axes).supxlabel(_aligned([head, *rows]), fontsize=8, family="monospace", color=INK)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "   ".join(
            cell.ljust(width) if not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
