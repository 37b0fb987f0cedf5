"""Pictures of the physics gates, drawn from their stored measurements.

Colours and the writing of files are those of ``gates.figures``; nothing is
measured here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from darkhaloscope.gates.figures import COLOURS, save
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.physics.noise import MEASURES, STEP_EDGES
from darkhaloscope.gates.physics.position import RATIO_SPAN
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS

BAND_COLOURS = dict(zip(BANDS, ("#2c7fb8", "#31a354", "#c0392b"), strict=True))


def draw_position(path: Path, measured: Measured, limits: Thresholds) -> str | None:
    """Draw radius and sharpness against the oracle, directions, the impulse and mean arcs (P2).

    None where no arc has light.
    """
    if "stacks" not in measured:
        return None
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.25, 1.0])[:, 0]
    grid = upper.add_gridspec(1, 4)
    for column, (name, label) in enumerate((("radius", "mean radius"), ("sharpness", "sharpness"))):
        axes = upper.add_subplot(grid[column])
        limit = limits.value("P2", f"max_{name}_error")
        axes.axvspan(1.0 - limit, 1.0 + limit, color="0.93", zorder=0)
        for band, counts in measured["histogram"][name].items():
            axes.stairs(
                counts, np.linspace(*RATIO_SPAN, len(counts) + 1), color=BAND_COLOURS[band], label=band
            )
        axes.set(xlabel=f"{label} over lenstronomy's", ylabel="arcs")
        axes.legend(fontsize=7)
    rose = upper.add_subplot(grid[2], projection="polar")
    assert isinstance(rose, PolarAxes)
    counts = np.asarray(measured["azimuth"])
    width = 2.0 * np.pi / len(counts)
    rose.bar(
        -np.pi + width * (np.arange(len(counts)) + 0.5), counts, width, color=COLOURS["positive"], alpha=0.7
    )
    rose.set_xticks([0.0, 0.5 * np.pi, np.pi, 1.5 * np.pi], ["+x", "+y", "-x", "-y"], fontsize=7)
    rose.set_yticks([])
    rose.tick_params(pad=-1)
    rose.set_xlabel(f"directions, p = {measured['rayleigh']['p']:.2g}", fontsize=9)
    _impulse(upper.add_subplot(grid[3]), measured, limits.value("P2", "max_impulse_px"))
    panels = lower.subplots(1, 2 * len(measured["stacks"]), squeeze=False)[0]
    for i, stack in enumerate(measured["stacks"]):
        top = np.max(stack["oracle"])
        for axes, name in zip(panels[2 * i : 2 * i + 2], ("stamps", "oracle"), strict=True):
            axes.imshow(stack[name], origin="lower", cmap="magma", vmin=0.0, vmax=top)
            axes.set_xticks([])
            axes.set_yticks([])
            told = f"{stack['rows']} arcs" if name == "stamps" else "lenstronomy"
            axes.set_xlabel(told, fontsize=8)
        panels[2 * i].set_title(f"mean arc, {stack['theta_e_arcsec']:.2f} arcsec", fontsize=8, loc="left")
    return save(figure, path)


def draw_snr(path: Path, measured: Measured) -> str | None:
    """Draw S/N from pixels over the recorded, in r (P5); None where nothing was recorded."""
    if "points" not in measured:
        return None
    columns = [column for column in measured["points"] if column.endswith("_r")]
    figure = Figure(figsize=(9.6, 2.7), layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True)
    for axes, column in zip(panels, columns, strict=True):
        recorded, found = np.asarray(measured["points"][column]).T
        axes.axhline(0.0, color="0.75", lw=0.8, zorder=0)
        axes.plot(np.log10(recorded), found / recorded - 1.0, ".", ms=2.5, color=COLOURS["positive"])
        for source, style in (("oracle", "--"), ("pixels", "-")):
            value = measured[source][column]["median"]["value"]
            axes.axhline(value, color=COLOURS["paired"], ls=style, lw=0.8, label=f"median, {source}")
        axes.set(ylim=(-0.3, 0.3), xlabel=f"log10 {column}")
    panels[0].set_ylabel("from pixels / recorded - 1", fontsize=8)
    panels[-1].legend(fontsize=7)
    return save(figure, path)


def draw_noise(path: Path, measured: Measured, limit: float) -> str | None:
    """Draw how the noise changed between host and stamp, by class (P8); None where nothing was seen."""
    if not measured["means"]:
        return None
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    variance, correlation, steps = figure.subplots(1, 3)
    for axes, name, label in (
        (variance, MEASURES[0], "relative change of the sky variance"),
        (correlation, MEASURES[1], "change of neighbours' correlation"),
    ):
        _effects(axes, measured, name, limit)
        axes.set_xlabel(f"{label}\npositives - controls", fontsize=8)
    edges = np.concatenate([[STEP_EDGES[1] - 2.0], STEP_EDGES[1:-1], [STEP_EDGES[-2] + 2.0]])
    for kind, shares in measured["steps"].items():
        steps.stairs(shares["stamp"], edges, color=COLOURS[kind], label=kind)
    if "positive" in measured["steps"]:
        bare = measured["steps"]["positive"]["host"]
        steps.stairs(bare, edges, color="k", ls=":", label="hosts of positives")
    steps.set(ylabel="share")
    steps.set_xlabel("log2 of the gap between sorted\npixel values, in sigma", fontsize=8)
    steps.legend(fontsize=7)
    return save(figure, path)


def _impulse(axes: Axes, measured: Measured, limit: float) -> None:
    turn = np.linspace(0.0, 2.0 * np.pi, 100)
    axes.plot(limit * np.cos(turn), limit * np.sin(turn), color="0.75", lw=0.8)
    for size, marker in zip(sorted({e["size_px"] for e in measured["impulse"]}), "os", strict=False):
        some = [entry for entry in measured["impulse"] if entry["size_px"] == size]
        axes.plot(
            [e["x_px"] for e in some],
            [e["y_px"] for e in some],
            marker,
            ms=3,
            mfc="none",
            label=f"stamp of {size} px",
        )
    reach = 1.2 * max(limit, *(entry["off_px"] for entry in measured["impulse"]))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="impulse off by [px]")
    axes.legend(fontsize=6)


def _effects(axes: Axes, measured: Measured, name: str, limit: float) -> None:
    axes.axvspan(-limit, limit, color="0.93", zorder=0)
    labels: list[str] = []
    for kind, effects in measured["effects"].items():
        for band, raw in effects[name].items():
            if raw is not None:
                _interval(axes, raw, len(labels), COLOURS[kind])
            labels.append(f"{kind}, {band}")
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.invert_yaxis()


def _interval(axes: Axes, raw: dict[str, Any], y: float, colour: str) -> None:
    axes.plot([raw["lower"], raw["upper"]], [y, y], color=colour, lw=1.0)
    axes.plot(raw["value"], y, "o", ms=3, color=colour)
