"""One picture per gate, drawn from its stored measurement.

Nothing is measured here; a figure can be drawn again from the report's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.population import COMPARED_KINDS, SPLITS

COLOURS = {
    "positive": "#c0392b",
    "paired": "#2c7fb8",
    "unpaired": "#636363",
    "matched_light": "#31a354",
    "hard_negative": "#8856a7",
    "train": "#4c78a8",
    "val": "#f58518",
    "test": "#54a24b",
}

_DPI = 110


def draw_effects(path: Path, effects: Mapping[str, Mapping[str, Any]], limit: float, title: str) -> str:
    """Draw Cohen's d per column and control kind, against the limit (Q1, S1).

    Parameters
    ----------
    path : path
        PNG to write.
    effects : mapping
        Control kind to column to interval dict.
    limit : float
        Largest harmless abs(d).
    title : str
        Title.

    Returns
    -------
    str
        File name.
    """
    columns = list(dict.fromkeys(column for by_column in effects.values() for column in by_column))
    figure = Figure(figsize=(6.4, 1.2 + 0.24 * len(columns)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-limit, limit, color="0.93", zorder=0)
    for shift, (kind, by_column) in enumerate(effects.items()):
        for row, column in enumerate(columns):
            if column in by_column:
                d = by_column[column]
                y = row + 0.22 * (shift - 1)
                axes.plot([d["lower"], d["upper"]], [y, y], color=COLOURS[kind], lw=1.0)
                axes.plot(d["value"], y, "o", ms=3, color=COLOURS[kind], label=kind if row == 0 else None)
    axes.set_yticks(range(len(columns)), columns, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("Cohen's d between the classes (grey: harmless)")
    axes.set_title(title, fontsize=9)
    if columns:
        axes.legend(fontsize=7, loc="lower right")
    return save(figure, path)


def condition_effects(measured: Measured) -> dict[str, dict[str, Any]]:
    """Return the largest effect of each column over the splits, per control kind (Q1)."""
    effects: dict[str, dict[str, Any]] = {}
    for comparison in measured["comparisons"]:
        if comparison["d"] is None:
            continue
        by_column = effects.setdefault(comparison["kind"], {})
        known = by_column.get(comparison["column"])
        if known is None or comparison["d"]["lower"] > known["lower"]:
            by_column[comparison["column"]] = comparison["d"]
    return effects


def draw_classes(path: Path, measured: Measured) -> str:
    """Draw the class shares of each split beside what was promised (Q5)."""
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    kinds = ["positive", *COMPARED_KINDS]
    for row, counts in enumerate(measured["counts"].values()):
        total = max(1, sum(counts[kind] for kind in kinds))
        left = 0.0
        for kind in kinds:
            share = counts[kind] / total
            axes.barh(row, share, left=left, color=COLOURS[kind], label=kind if row == 0 else None)
            if share > 0.03:
                axes.text(
                    left + share / 2, row, str(counts[kind]), ha="center", va="center", fontsize=7, color="w"
                )
            left += share
    edge = 0.0
    for kind in kinds:
        edge += measured["expected"].get(kind, 0.0)
        axes.axvline(edge, color="k", lw=0.8, ls=":")
    axes.set_yticks(range(len(measured["counts"])), list(measured["counts"]))
    axes.set_xlabel("share of rows (dotted: promised)")
    axes.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.22), frameon=False)
    return save(figure, path)


def draw_snr_mix(path: Path, measured: Measured) -> str | None:
    """Draw achieved S/N per split against the declared target (Q7); None where none is declared."""
    if "edges" not in measured:
        return None
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    edges = np.asarray(measured["edges"])
    # what misses the range is drawn as one bin on either side
    outer = np.concatenate([[edges[0] / 1.5], edges, [edges[-1] * 1.5]])
    wanted = np.concatenate([[0.0], measured["shares"], [0.0]])
    axes.stairs(wanted, outer, color="0.9", fill=True, label="declared")
    for split, counts in measured["counts"].items():
        share = np.asarray(counts) / max(1, sum(counts))
        axes.stairs(share, outer, color=COLOURS.get(split, "k"), label=f"{split}, {sum(counts)}")
    axes.set_xscale("log")
    ticks = [*edges]
    axes.set_xticks(ticks, [f"{edge:.3g}" for edge in ticks])
    axes.minorticks_off()
    axes.set_xlabel("footprint S/N in r (outermost bins: outside the range)")
    axes.set_ylabel("share of positives")
    axes.legend(fontsize=7, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.15), frameon=False)
    return save(figure, path)


def draw_sky(path: Path, ra_deg: NDArray[Any], dec_deg: NDArray[Any], split: NDArray[Any]) -> str:
    """Draw the galaxies of each split on the sky (L1)."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(SPLITS):
        chosen = split == i
        axes.plot(
            ra_deg[chosen], dec_deg[chosen], ".", ms=2.5, color=COLOURS[name], label=f"{name}, {chosen.sum()}"
        )
    axes.invert_xaxis()
    axes.set_xlabel("RA [deg]")
    axes.set_ylabel("Dec [deg]")
    axes.legend(fontsize=7, markerscale=3)
    return save(figure, path)


def draw_flux(path: Path, measured: Measured, limit: float) -> str:
    """Draw the relative error of the added flux (P1)."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-limit, limit, color="0.93", zorder=0)
    for label, colour in (("oracle", COLOURS["positive"]), ("matched_light", COLOURS["matched_light"])):
        errors = measured.get(label, {})
        if "histogram" in errors:
            edges = np.linspace(-0.15, 0.15, len(errors["histogram"]) + 1)
            share = np.asarray(errors["histogram"]) / max(1, sum(errors["histogram"]))
            name = (
                "positives, against lenstronomy" if label == "oracle" else "matched light, against the twin"
            )
            axes.stairs(share, edges, color=colour, label=f"{name}: {errors['rows']} rows")
    axes.set_xlabel("added / expected flux - 1, every band (grey: limit of the median)")
    axes.set_ylabel("share")
    axes.legend(fontsize=7)
    return save(figure, path)


def draw_arc_colours(path: Path, measured: Measured) -> str | None:
    """Draw the colours of the arcs, and beside those recorded (P3); None where no arc has a colour."""
    if "points" not in measured:
        return None
    seen, said = (np.asarray(measured["points"][name]) for name in ("measured", "recorded"))
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    plane, *panels = figure.subplots(1, 3)
    plane.plot(said[:, 0], said[:, 1], "o", ms=3.5, mfc="none", mec="0.7", mew=0.6, label="recorded")
    plane.plot(seen[:, 0], seen[:, 1], ".", ms=2.5, color=COLOURS["positive"], label="measured")
    plane.set_xlabel("g - r [mag]")
    plane.set_ylabel("r - z [mag]")
    plane.legend(fontsize=7)
    for c, (axes, label) in enumerate(zip(panels, ("g - r", "r - z"), strict=True)):
        axes.axline((0.0, 0.0), slope=1.0, color="0.75", lw=0.8, zorder=0)
        axes.plot(said[:, c], seen[:, c], ".", ms=2.5, color=COLOURS["positive"])
        axes.set_xlabel(f"{label} recorded [mag]")
        axes.set_ylabel("measured on the stamp", fontsize=8)
    return save(figure, path)


def draw_scores(path: Path, measured: Measured, title: str) -> str | None:
    """Draw the distributions of scores of the behaviour gates; None if nothing was scored."""
    if "histogram" not in measured:
        return None
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    colours = [COLOURS["positive"], COLOURS["paired"], COLOURS["matched_light"]]
    for colour, (name, counts) in zip(colours, measured["histogram"].items(), strict=False):
        share = np.asarray(counts) / max(1, sum(counts))
        axes.stairs(share, np.linspace(0.0, 1.0, len(counts) + 1), color=colour, label=name)
    axes.set_xlabel("score")
    axes.set_ylabel("share")
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=7)
    return save(figure, path)


def draw_bank(path: Path, measured: Measured, limits: Mapping[str, float]) -> str:
    """Draw what tells a bank of galaxies from a bank of noise (P4).

    Parameters
    ----------
    path : path
        PNG to write.
    measured : dict
        Of ``bank.measure_bank``.
    limits : mapping
        Limits by the names of the histograms.

    Returns
    -------
    str
        File name.
    """
    figure = Figure(figsize=(9.6, 2.7), layout="constrained")
    light, sizes, structure, growth = figure.subplots(1, 4)
    for axes, name, label in (
        (light, "off_source", "share of light off the galaxy"),
        (structure, "roughness", "structure over that of noise"),
    ):
        axes.stairs(measured["histograms"][name], measured["edges"][name], fill=True, color=COLOURS["paired"])
        axes.axvline(limits[name], color=COLOURS["positive"], lw=1.0)
        axes.set(xlabel=label, ylabel="templates", yscale="symlog")
    catalogued, found = np.array(measured["radii_arcsec"]).reshape(-1, 2).T
    low, high = measured["hlr_limits_arcsec"]
    sizes.plot([low, high], [low, high], color=COLOURS["unpaired"], lw=0.8)
    sizes.plot(catalogued, found, ".", ms=3, color=COLOURS["paired"])
    sizes.set(
        xlabel="catalogued radius [arcsec]", ylabel="measured on the template", xscale="log", yscale="log"
    )
    sizes.xaxis.set_minor_formatter(NullFormatter())
    sizes.yaxis.set_minor_formatter(NullFormatter())
    curve = np.array(measured["growth"])
    radius_px = np.arange(len(curve))
    square = np.minimum(np.pi * radius_px**2 / (2.0 * radius_px[-1]) ** 2, 1.0)
    growth.plot(radius_px, curve, color=COLOURS["paired"], label="bank")
    growth.plot(radius_px, square, color=COLOURS["unpaired"], ls=":", label="empty square")
    growth.set(xlabel="radius [px]", ylabel="share of light inside")
    growth.legend(fontsize=7)
    return save(figure, path)


def save(figure: Figure, path: Path) -> str:
    """Write a figure as PNG and return its file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # without the writer's name and version equal figures are equal files
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path.name
