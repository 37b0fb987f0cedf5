"""Pictures of the behaviour gates, drawn from their stored measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from darkhaloscope.gates.figures import COLOURS, save
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.population import POSITIVE

_ARC, _HOST, _GREY = COLOURS["positive"], COLOURS["paired"], "0.75"


def draw_centre(path: Path, measured: Measured) -> str | None:
    """Draw the mean score against the radius that is levelled (B3); None if nothing was scored."""
    if not measured["whole"]:
        return None
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"inside": "the centre inside the arc", "whole": "the whole disc"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        radii = [float(radius) for radius in measured[name]]
        for kind, colour, label in (("positives", _ARC, "positives"), ("hosts", _HOST, "bare hosts")):
            scores = np.array([entry[kind] for entry in measured[name].values()]).reshape(-1, 2)
            if len(scores):
                axes.plot([0.0, *radii], [scores[0, 0], *scores[:, 1]], "o-", ms=4, color=colour, label=label)
        for radius, entry in zip(radii, measured[name].values(), strict=True):
            axes.annotate(
                f"{entry['arc_share']:.0%}",
                (radius, 0.99),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7,
            )
        axes.set_title(f"levelled: {title}", fontsize=9)
        axes.set_xlabel("radius at most [px]")
    panels[0].set(ylabel="mean score", ylim=(0.0, None))
    figure.suptitle("above: share of arc light inside", fontsize=7)
    panels[1].legend(fontsize=7, loc="lower left")
    return save(figure, path)


def draw_rings(path: Path, measured: Measured) -> str | None:
    """Draw the mean score of hosts with rings (B4); None if nothing was scored.

    Rows are radii, columns heights and colours; beside the grid, hosts with rings as they were shown.
    """
    if not measured["cells"]:
        return None
    cells = measured["cells"]
    radii = list(dict.fromkeys(cell["radius_px"] for cell in cells))
    heights = list(dict.fromkeys((cell["colour"], cell["sigmas"]) for cell in cells))
    grid = np.array([cell["mean_p"] for cell in cells]).reshape(len(radii), len(heights))
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    axes, *panels = figure.subplot_mosaic("AABC;AADE", width_ratios=(1.6, 1.6, 1.0, 1.0)).values()
    image = axes.imshow(grid, vmin=0.0, vmax=1.0, cmap="magma", aspect="auto")
    for (row, column), cell in zip(np.ndindex(grid.shape), cells, strict=True):
        axes.text(
            column,
            row,
            f"{cell['mean_p']:.2f}\n{cell['share']['value']:.0%} > 0.5",
            ha="center",
            va="center",
            fontsize=7,
            color="w" if cell["mean_p"] < 0.6 else "k",
            fontweight="bold" if cell["judged"] else "normal",
        )
    axes.set_xticks(range(len(heights)), [f"{sigmas:g}, {colour}" for colour, sigmas in heights], fontsize=8)
    axes.set_yticks(range(len(radii)), [f"{radius:g}" for radius in radii])
    axes.set(xlabel="height in r [sky sigma], colour of", ylabel="radius [px] (bold: no lens's)")
    shuffled, bare = measured["shuffled"]["mean_p"], measured["bare"]["mean_p"]
    axes.set_title(f"mean score; bare hosts {bare:.2f}, with shuffled arcs {shuffled:.2f}", fontsize=9)
    figure.colorbar(image, ax=axes)
    for panel, (title, plane) in zip(panels, measured["examples"].items(), strict=True):
        panel.imshow(np.asarray(plane), origin="lower", cmap="gray", vmin=-2.0, vmax=12.0)
        panel.set_title(title, fontsize=7)
        panel.set_axis_off()
    return save(figure, path)


def draw_calm(path: Path, measured: Measured) -> str | None:
    """Draw scores of changed stamps over those of the stamps as they are (B5); None if none."""
    if not measured.get("points"):
        return None
    figure = Figure(figsize=(8.6, 2.6), layout="constrained")
    panels = figure.subplots(1, len(measured["points"]), sharey=True)
    for axes, (kind, points) in zip(panels, measured["points"].items(), strict=True):
        before, after = np.asarray(points).T
        axes.axline((0.0, 0.0), slope=1.0, color=_GREY, lw=0.8, zorder=0)
        axes.plot(before, after, ".", ms=2.5, color=_HOST)
        found = [entry for entry in measured["changes"].values() if entry["kind"] == kind]
        change = max(entry[kind]["value"] for entry in found for kind in ("positives", "hosts"))
        rank = min(entry["rank"]["value"] for entry in found)
        axes.set_title(f"{kind}\nmedian {change:.3f}, rank {rank:.3f}", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score as it is")
        axes.set_aspect("equal")
    panels[0].set_ylabel("score changed")
    return save(figure, path)


def draw_split_gap(path: Path, measured: Measured, limit: float) -> str | None:
    """Draw the difference of AUC between validation and test, by signal (B7); None if none."""
    if "even" not in measured:
        return None
    bins = [entry for entry in measured["bins"] if "gap" in entry]
    names = [f"S/N {_range(entry['snr'])}, theta_E/PSF {_range(entry['theta_e_over_psf'])}" for entry in bins]
    rows = [*zip(names, (entry["gap"] for entry in bins), strict=True), ("same mix", measured["even"])]
    figure = Figure(figsize=(6.4, 1.0 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-limit, limit, color="0.9", zorder=0)
    for y, (name, gap) in enumerate(rows):
        colour = "k" if name == "same mix" else COLOURS["val"]
        axes.plot([gap["lower"], gap["upper"]], [y, y], color=colour)
        axes.plot(gap["value"], y, "o", ms=4, color=colour)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("AUC of val minus test (grey: allowed)")
    return save(figure, path)


def draw_growth(path: Path, measured: Measured) -> str | None:
    """Draw the score against arc brightness, S/N and theta_E over PSF (B8); None if nothing was scored."""
    if "mean_p" not in measured:
        return None
    trends = measured["population"]
    figure = Figure(figsize=(8.6, 2.7), layout="constrained")
    turned, *panels = figure.subplots(1, 1 + len(trends), sharey=True)
    turned.plot(measured["brightness"], measured["mean_p"], "o-", ms=4, color=_ARC)
    turned.set(xlabel="arc brightness over its own", ylabel="score", ylim=(0.0, 1.0))
    turned.set_title(f"same galaxies: {measured['correlation']['value']:.2f}", fontsize=9)
    labels = {"snr": "footprint S/N in r", "theta_e_over_psf": "theta_E / PSF"}
    for axes, (name, trend) in zip(panels, trends.items(), strict=True):
        axes.plot(trend["points"]["x"], trend["points"]["p"], ".", ms=2.5, color=_GREY)
        axes.plot(trend["isotonic"]["x"], trend["isotonic"]["p"], color=_ARC, drawstyle="steps-mid")
        axes.set(xscale="log", xlabel=labels[name])
        axes.set_title(f"population, isotonic: rank {trend['spearman']:.2f}", fontsize=9)
    return save(figure, path)


def draw_calibration(path: Path, measured: Measured) -> str | None:
    """Draw the reliability diagram and the error by condition (B9); None if nothing was scored."""
    if "bins" not in measured:
        return None
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    diagram, conditions = figure.subplots(1, 2, width_ratios=(1.0, 1.3))
    diagram.axline((0.0, 0.0), slope=1.0, color=_GREY, lw=0.8, zorder=0)
    said, found = ([entry[name] for entry in measured["bins"]] for name in ("mean_p", "share"))
    diagram.plot(said, found, "o-", ms=4, color=_HOST)
    diagram.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean score", ylabel="share of lenses")
    diagram.set_aspect("equal")
    diagram.set_title(f"ECE {measured['ece']['value']:.3f} at prior {measured['prior']:.2f}", fontsize=9)
    rows = [
        (f"{name}: {entry['mean']:.2f}", entry)
        for name, thirds in measured["conditions"].items()
        for entry in thirds
    ]
    conditions.axvline(0.0, color=_GREY, lw=0.8, zorder=0)
    for y, (_, entry) in enumerate(rows):
        conditions.plot([entry["lower"], entry["upper"]], [y, y], color=_HOST)
        conditions.plot(entry["value"], y, "o", ms=3.5, color=_HOST)
    conditions.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
    conditions.invert_yaxis()
    conditions.set_xlabel("share of lenses minus score, by third")
    return save(figure, path)


def draw_matched_light(path: Path, measured: Measured) -> str | None:
    """Draw mean scores of arcs and of their unlensed twins by added light (B10); None if there are none."""
    if "by_light" not in measured:
        return None
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    for shift, (kind, label) in enumerate(((POSITIVE, "arcs"), ("matched_light", "unlensed twins"))):
        for x, entry in enumerate(measured["by_light"]):
            if entry[kind]["mean_p"] is not None:
                name = label if x == 0 else None
                axes.bar(
                    x + 0.36 * (shift - 0.5), entry[kind]["mean_p"], 0.34, color=COLOURS[kind], label=name
                )
    ticks = [
        f"{entry['light']}\ncalled {entry[POSITIVE]['called']} / {entry['matched_light']['called']}"
        for entry in measured["by_light"]
    ]
    axes.set_xticks(range(len(ticks)), ticks, fontsize=8)
    axes.set_ylabel("mean score")
    axes.axhline(measured["threshold"], color="k", lw=0.8, ls=":", label="operating point")
    axes.legend(fontsize=7)
    return save(figure, path)


def _range(edges: list[float | None]) -> str:
    low, high = edges
    return f"{low:g}-{high:g}" if high is not None else f"> {low:g}"
