"""Pictures of the quality gates, drawn from their stored measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkhaloscope.gates.figures import COLOURS, save
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.thresholds import Thresholds

_ACROSS = 5
_LIMIT_COLOUR = "#c0392b"


def draw_conditions(path: Path, measured: Measured, limits: Thresholds) -> str | None:
    """Draw the distribution of every condition by class (Q1); red titles lie beyond a limit.

    Parameters
    ----------
    path : path
        PNG to write.
    measured : dict
        Of ``conditions.measure_conditions``.
    limits : Thresholds
        For the colour of the titles.

    Returns
    -------
    str or None
        File name; None if no column holds anything.
    """
    shown = {name: h for name, h in measured["histograms"].items() if h is not None}
    if not shown:
        return None
    down = -(-len(shown) // _ACROSS)
    figure = Figure(figsize=(2.1 * _ACROSS, 1.75 * down + 0.5), layout="constrained")
    grid = figure.subplots(down, _ACROSS, squeeze=False)
    for axes, (name, histogram) in zip(grid.flat, shown.items(), strict=False):
        _distribution(axes, histogram)
        worst = _worst(measured, name)
        beyond = worst is not None and worst["d"]["lower"] > limits.value("Q1", "max_abs_d")
        beyond |= _worst_ks(measured, name) > limits.value("Q1", "max_ks")
        told = "" if worst is None else f"  |d| {worst['d']['value']:.2f}"
        axes.set_title(f"{name}{told}", fontsize=7, color=_LIMIT_COLOUR if beyond else "k", pad=2)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8, frameon=False)
    return save(figure, path)


def draw_multiplicity(path: Path, measured: Measured, limits: Thresholds) -> str | None:
    """Draw galaxies by their rows in a class (Q6); None if there are no galaxies."""
    by_class: dict[str, list[int]] = measured["rows_per_galaxy"]
    if not by_class:
        return None
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(by_class)
    for i, (kind, galaxies) in enumerate(by_class.items()):
        at = np.arange(1, len(galaxies) + 1) + width * (i - (len(by_class) - 1) / 2)
        bars = axes.bar(at, galaxies, width=width * 0.92, color=COLOURS[kind], label=kind)
        if len(galaxies) <= 4:
            axes.bar_label(bars, [f"{n:,}" if n else "" for n in galaxies], fontsize=7, padding=1)
    most = limits.value("Q6", "max_rows_per_class")
    longest = max(len(galaxies) for galaxies in by_class.values())
    axes.axvspan(most + 0.5, max(longest, most + 1) + 0.5, color="0.93", zorder=0)
    axes.text(
        most + 0.55, 0.97, "more than configured", transform=axes.get_xaxis_transform(), fontsize=7, va="top"
    )
    axes.set_xlim(0.5, max(longest, most + 1) + 0.5)
    axes.set_xticks(range(1, int(max(longest, most + 1)) + 1, max(1, longest // 12)))
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(0, 3.0 * max(max(galaxies) for galaxies in by_class.values()))
    axes.set_xlabel("rows of one galaxy in one class")
    axes.set_ylabel("galaxies")
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(by_class), frameon=False)
    return save(figure, path)


def _distribution(axes: Axes, histogram: dict[str, Any]) -> None:
    edges = np.asarray(histogram["edges"])
    for kind, counts in histogram["counts"].items():
        density = np.asarray(counts) / max(1, sum(counts)) / np.diff(edges)
        filled = kind == "positive"
        axes.stairs(
            density, edges, color=COLOURS[kind], fill=filled, alpha=0.3 if filled else 1.0, label=kind
        )
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=6, length=2)
    axes.locator_params(axis="x", nbins=4)


def _worst(measured: Measured, name: str) -> dict[str, Any] | None:
    found = [c for c in measured["comparisons"] if c["column"] == name and c["d"] is not None]
    return max(found, key=lambda c: (c["d"]["lower"], c["d"]["value"]), default=None)


def _worst_ks(measured: Measured, name: str) -> float:
    return max((c["ks"]["lower"] for c in measured["comparisons"] if c["column"] == name), default=0.0)
