"""Pictures of stamps: g r z in the colours of the survey's own viewer.

The stretch is fixed, in nMgy, so that an injected stamp and a real cutout side
by side are shown alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.errors import DataError, describe
from darkhaloscope.reports.canvas import INK, MUTED, canvas, figure_of
from darkhaloscope.schema import BANDS

RGB_SCALES = {"g": (2, 6.0), "r": (1, 3.4), "z": (0, 2.2)}
"""Colour plane and factor per band of ``sdss_rgb`` in legacypipe, the Legacy Surveys viewer."""

POSITIVE_POOL = 5
"""Positives read per positive shown: the strongest of few would flatter the sample, the first hide it."""

_SOFTENING = 0.03
_STRETCH = 20.0


def rgb(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn stamps into colour pictures.

    Lupton et al. (2004, PASP 116, 133) as in the Legacy Surveys viewer: with the
    scaled planes x_b = f_b I_b + m and their mean I, each plane is multiplied by
    asinh(Q I) / (sqrt(Q) I).

    Parameters
    ----------
    images : ndarray, shape (n, 3, size, size)
        g, r, z in nMgy/px; y up (north), x right (west).

    Returns
    -------
    ndarray of uint8, shape (n, size, size, 3)
        y up: draw with the origin at the lower left.
    """
    planes = np.zeros((len(images), *images.shape[2:], 3), dtype=np.float64)
    for index, band in enumerate(BANDS):
        plane, factor = RGB_SCALES[band]
        planes[..., plane] = np.maximum(0.0, np.nan_to_num(images[:, index]) * factor + _SOFTENING)
    mean = planes.mean(axis=-1)
    gain = np.arcsinh(_STRETCH * mean) / np.sqrt(_STRETCH) / np.maximum(mean, 1e-12)
    return np.asarray(np.clip(planes * gain[..., None], 0.0, 1.0) * 255.0, dtype=np.uint8)


def picture_sheet(
    images: NDArray[Any],
    captions: Sequence[str],
    path: str | Path,
    *,
    columns: int = 8,
    title: str = "",
    pixel_scale_arcsec: float = 0.262,
    marked: Sequence[bool] | None = None,
) -> Path:
    """Draw stamps in a grid with a caption each.

    Parameters
    ----------
    images : ndarray, shape (n, 3, size, size)
        nMgy/px.
    captions : sequence of str, length n
        Below each stamp.
    path : path
        PNG.
    columns : int
        Stamps per row.
    title : str
        Above the sheet.
    pixel_scale_arcsec : float
        For the 5 arcsec bar on the first stamp.
    marked : sequence of bool, optional
        Stamps drawn with a frame.
    """
    columns = min(columns, max(len(images), 1))
    rows = max(1, -(-len(images) // columns))
    pictures = rgb(images)
    size = images.shape[-1]
    with canvas(path, rows=rows, columns=columns, size=(1.35, 1.55), dpi=90, colours=None) as axes_list:
        for axes in axes_list:
            axes.set_axis_off()
        for index, (axes, caption) in enumerate(zip(axes_list, captions, strict=False)):
            axes.imshow(pictures[index], origin="lower", interpolation="nearest")
            axes.set_title(caption, fontsize=6.5, fontweight="normal", loc="center", color=INK, pad=3)
            if index == 0:
                bar_px = 5.0 / pixel_scale_arcsec
                axes.plot([3, 3 + bar_px], [4, 4], color="white", linewidth=1.6)
                axes.text(3, 6.5, '5"', color="white", fontsize=6.5)
            if marked is not None and marked[index]:
                edge = (-0.5, size - 0.5)
                axes.plot(
                    [edge[0], edge[1], edge[1], edge[0], edge[0]],
                    [edge[0], edge[0], edge[1], edge[1], edge[0]],
                    color="#f2b134",
                    linewidth=2.2,
                )
        if title:
            figure_of(axes_list[0]).suptitle(
                title, fontsize=10, fontweight="bold", x=0.01, ha="left", color=INK
            )
        figure_of(axes_list[0]).supxlabel("north up, east left", fontsize=6.5, color=MUTED)
    return Path(path)


def stamp_sheet(paths: Sequence[str | Path], path: str | Path, *, per_kind: int = 8, title: str = "") -> Path:
    """Draw positives and every kind of control, one row of stamps each.

    Parameters
    ----------
    paths : sequence of path
        Files of schema ``STAMPS``, read in order until every kind that is found
        has enough stamps or the files end. Positives are spread evenly over the
        ranks of arc S/N of the first ``POSITIVE_POOL`` times ``per_kind``.
    path : path
        PNG.
    per_kind : int
        Stamps per row.
    title : str
        Above the sheet.
    """
    chosen = _first_of_each_kind(paths, per_kind)
    order = sorted(chosen, key=lambda kind: (kind != "positive", kind))
    size = next((rows[0]["image"].shape[-1] for rows in chosen.values() if rows), 1)
    blank = np.zeros((3, size, size), dtype=np.float32)
    images: list[NDArray[Any]] = []
    captions: list[str] = []
    for kind in order:
        rows = sorted(chosen[kind], key=lambda row: -(row["arc_snr_footprint_r"] or 0.0))
        rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, per_kind).round().astype(int))]
        for slot in range(per_kind):
            here = rows[slot] if slot < len(rows) else None
            images.append(blank if here is None else here["image"])
            captions.append("" if here is None else _caption(kind, here))
    return picture_sheet(np.stack(images), captions, path, columns=per_kind, title=title)


def host_sheet(paths: Sequence[str | Path], path: str | Path, *, count: int = 24) -> Path:
    """Draw the first host cutouts that have pixels, with their r magnitude."""
    images: list[NDArray[Any]] = []
    captions: list[str] = []
    for batch in tabular.iter_batches(paths, ["status", "host_mag_r", "image"]):
        rows = batch.filter(pc.equal(batch["status"], "ok")).slice(0, count - len(images))
        if rows.num_rows:
            images += list(tabular.pixels(rows, "image"))
            captions += [f"r {value:.1f}" for value in rows["host_mag_r"].to_pylist()]
        if len(images) >= count:
            break
    if not images:
        raise DataError(describe("No host has pixels", file=str(paths[0]), field="status", expected="ok"))
    return picture_sheet(np.stack(images), captions, path, columns=8)


def anchor_sheet(
    anchors: pa.Table, path: str | Path, *, scores: Mapping[str, float] | None = None, threshold: float = 1.0
) -> Path:
    """Draw every real object that has pixels: lenses by tier, then look-alikes by class.

    Parameters
    ----------
    anchors : pyarrow.Table
        Schema ``ANCHOR_STAMPS``.
    path : path
        PNG.
    scores : mapping of str to float, optional
        Score by ``anchor_id``; objects above ``threshold`` are framed.
    threshold : float
        Of the operating point.
    """
    rows = anchors.filter(pc.equal(anchors["status"], "ok"))
    if rows.num_rows == 0:
        raise DataError(describe("No real object has pixels", field="status", expected="ok", got=0))
    group = [
        f"0{tier}" if kind == "lens" else f"1{label}"
        for kind, tier, label in zip(
            rows["kind"].to_pylist(), rows["tier"].to_pylist(), rows["object_class"].to_pylist(), strict=True
        )
    ]
    order = sorted(range(rows.num_rows), key=lambda index: (group[index], index))
    rows = rows.take(order)
    ids = rows["anchor_id"].to_pylist()
    labels = [group[index][1:] for index in order]
    if scores is None:
        captions = [
            f"{label}  S/N {snr:.0f}" if snr is not None else label
            for label, snr in zip(labels, rows["arc_snr_r"].to_pylist(), strict=True)
        ]
        marked = None
    else:
        captions = [f"{label}  {scores[key]:.2f}" for label, key in zip(labels, ids, strict=True)]
        marked = [scores[key] > threshold for key in ids]
    return picture_sheet(tabular.pixels(rows, "image"), captions, path, columns=10, marked=marked)


def _first_of_each_kind(paths: Sequence[str | Path], per_kind: int) -> dict[str, list[dict[str, Any]]]:
    columns = ["status", "control_kind", "theta_e_arcsec", "arc_snr_footprint_r", "image"]
    chosen: dict[str, list[dict[str, Any]]] = {}
    for batch in tabular.iter_batches(paths, columns):
        rows = batch.filter(pc.equal(batch["status"], "ok"))
        kinds = rows["control_kind"].to_pylist()
        wanted: list[int] = []
        for index, kind in enumerate(kinds):
            held = len(chosen.setdefault(kind, [])) + sum(kinds[i] == kind for i in wanted)
            if held < _enough(kind, per_kind):
                wanted.append(index)
        picked = rows.take(pa.array(wanted, pa.int64()))
        images = tabular.pixels(picked, "image") if wanted else ()
        plain = picked.select(["control_kind", "theta_e_arcsec", "arc_snr_footprint_r"]).to_pylist()
        for row, image in zip(plain, images, strict=True):
            chosen[row["control_kind"]].append({**row, "image": image})
        if len(chosen) > 1 and all(len(found) >= _enough(kind, per_kind) for kind, found in chosen.items()):
            break
    if not chosen:
        raise DataError(describe("No stamp has pixels", file=str(paths[0]), field="status", expected="ok"))
    return chosen


def _enough(kind: str, per_kind: int) -> int:
    return per_kind * (POSITIVE_POOL if kind == "positive" else 1)


def _caption(kind: str, row: Mapping[str, Any]) -> str:
    if kind != "positive":
        return kind.replace("_", " ")
    return f'θ_E {row["theta_e_arcsec"]:.2f}"  S/N {row["arc_snr_footprint_r"] or 0.0:.0f}'
