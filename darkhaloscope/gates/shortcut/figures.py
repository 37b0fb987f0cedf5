"""Pictures of the shortcut gates, drawn from their stored measurements.

Colours and the writing of files are those of ``gates.figures``; nothing is
measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkhaloscope.gates.features import MATCHED
from darkhaloscope.gates.figures import COLOURS, save
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.shortcut.twins import REGIONS
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS

_BAND_COLOURS = dict(zip(BANDS, ("#2c7fb8", "#31a354", "#c0392b"), strict=True))
_VIEW_STYLES = {"raw": "-", "model": "--"}


def draw_classifier(path: Path, views: Mapping[str, Measured], title: str) -> str:
    """Draw the ROC curves of a classifier against every control kind, one panel per view (S2p)."""
    figure = Figure(figsize=(6.8, 3.6), layout="constrained")
    _rocs(figure.subplots(1, len(views), squeeze=False, sharey=True)[0], views, title)
    return save(figure, path)


def draw_aperture_light(path: Path, views: Mapping[str, Measured], limits: Thresholds) -> str:
    """Draw the ROC curves of S2 and, where there is matched light, how bright arcs are beside it."""
    twins = next(iter(views.values()))["twins"]
    if not twins.get("difference"):
        return draw_classifier(path, views, "aperture light")
    figure = Figure(figsize=(9.8, 3.6), layout="constrained")
    *rocs, axes = figure.subplots(1, len(views) + 1, squeeze=False)[0]
    _rocs(rocs, views, "aperture light")
    allowed = ("max_twin_flux_small", "max_twin_flux_core", "max_twin_flux")
    for row, (region, name) in enumerate(zip(REGIONS, allowed, strict=True)):
        limit = limits.value("S2", name)
        axes.fill_betweenx([row - 0.4, row + 0.4], -limit, limit, color="0.93", zorder=0)
        for shift, (band, raw) in enumerate(twins["difference"][region].items()):
            _bar(axes, raw, row + 0.2 * (shift - 1), _BAND_COLOURS[band], band if row == 0 else None)
    axes.set_yticks(range(len(REGIONS)), REGIONS)
    _twin_axes(axes, f"{twins['pairs']} arcs and their twins", "(arc - matched light) / light")
    return save(figure, path)


def draw_colour(path: Path, views: Mapping[str, Measured], limits: Thresholds) -> str:
    """Draw the ROC curves of S4, the colours of the classes and those of arcs beside matched light."""
    last = next(iter(views.values()))
    figure = Figure(figsize=(9.8, 6.4), layout="constrained")
    upper = figure.subplots(2, 3)
    _rocs(list(upper[0, : len(views)]), views, "colour")
    for axes, (name, found) in zip(upper[1], last["distributions"].items(), strict=False):
        for kind, counts in found["counts"].items():
            share = np.asarray(counts) / max(1, sum(counts))
            axes.stairs(share, found["edges"], color=COLOURS[kind], label=kind)
        axes.set(xlabel=f"{name} of the stamp within 10 px [mag]", ylabel="share of the class")
        axes.legend(fontsize=7)
    upper[1, 2].set_axis_off()
    twins = last["twins"]
    if not twins.get("difference"):
        upper[0, 2].set_axis_off()
        return save(figure, path)
    limit, axes = limits.value("S4", "max_twin_colour_mag"), upper[0, 2]
    axes.axvspan(-limit, limit, color="0.93", zorder=0)
    for row, raw in enumerate(twins["difference"].values()):
        _bar(axes, raw, row, COLOURS[POSITIVE], None)
    axes.set_yticks(range(len(twins["difference"])), list(twins["difference"]))
    axes.set_ylim(len(twins["difference"]) - 0.5, -0.5)
    _twin_axes(axes, f"{twins['pairs']} arcs and their twins", "arc - matched light [mag]")
    return save(figure, path)


def draw_profile(path: Path, views: Mapping[str, Measured]) -> str:
    """Draw the ROC curves of S5 and, below, the mean radial profile of every class."""
    last = next(iter(views.values()))
    figure = Figure(figsize=(9.8, 6.4), layout="constrained")
    panels = figure.subplots(2, 3)
    _rocs(list(panels[0, : len(views)]), views, "radial profile")
    panels[0, 2].set_axis_off()
    radius = last["radius_px"]
    for axes, band in zip(panels[1], BANDS, strict=True):
        for kind, profile in last["profiles"].items():
            axes.plot(radius, profile[band], ".-", ms=3, lw=1.0, color=COLOURS[kind], label=kind)
        axes.set_yscale("symlog", linthresh=_linear_below(last["profiles"], band))
        axes.set(xlabel="radius [px]", ylabel=f"mean of medians in {band} [nMgy/px]")
    panels[1, 0].legend(fontsize=7)
    return save(figure, path)


def draw_brightness(path: Path, views: Mapping[str, Measured], low: float, high: float) -> str:
    """Draw the ratios of core brightness with the arcs and before them (S3)."""
    rows: list[tuple[str, dict[str, float]]] = []
    for view, measured in views.items():
        rows += [(f"stamp, {view}: {kind}", raw) for kind, raw in measured["stamp"].items()]
    last = next(iter(views.values()))
    rows += [(f"before injection: {kind}", raw) for kind, raw in last["host"].items()]
    figure = Figure(figsize=(6.4, 1.0 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(low, high, color="0.93", zorder=0)
    axes.axvline(1.0, color="0.75", lw=0.8, zorder=0)
    for y, (name, raw) in enumerate(rows):
        _bar(axes, raw, y, COLOURS[name.rsplit(": ", 1)[1]], None)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("mean r < 8 px, positives over controls (grey: allowed)")
    return save(figure, path)


def draw_signal(path: Path, measured: Measured) -> str | None:
    """Draw what the probe of S6 is shown, class by class, and its ROC curves; None if none was trained."""
    trained = {kind: found for kind, found in measured["kinds"].items() if "roc" in found}
    if not trained:
        return None
    # what is left of a class when the hosts of its own controls are taken away
    bare = np.asarray(measured["stacks"].get("paired", 0.0))
    lit = [kind for kind in (POSITIVE, MATCHED) if kind in measured["stacks"]]
    figure = Figure(figsize=(4.2 + 2.6 * len(lit), 4.2), layout="constrained")
    *maps, axes = figure.subplots(1, len(lit) + 1, squeeze=False, width_ratios=[2.6] * len(lit) + [4.0])[0]
    stacks = [np.asarray(measured["stacks"][kind]) - bare for kind in lit]
    top = max(float(np.abs(stack).max()) for stack in stacks)
    for panel, kind, stack in zip(maps, lit, stacks, strict=True):
        panel.imshow(stack, origin="lower", cmap="inferno", vmin=0.0, vmax=top)
        panel.set_title(f"{kind}: mean, clipped,\nr" + (" minus paired" if np.ndim(bare) else ""), fontsize=8)
        panel.set_xticks([])
        panel.set_yticks([])
    axes.plot([0, 1], [0, 1], color="0.75", lw=0.8, zorder=0)
    for kind, found in trained.items():
        for view in ("raw", "model") if measured["treated"] else ("raw",):
            curve, auc = found["roc"][view], found[view]
            name = kind + (f", {view} view" if measured["treated"] else "")
            axes.plot(
                curve["fpr"], curve["tpr"], _VIEW_STYLES[view], color=COLOURS[kind], label=_auc(name, auc)
            )
    axes.set_title("probe: visible arcs against controls", fontsize=9)
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    axes.legend(fontsize=6, loc="lower right", title="AUC", title_fontsize=7)
    return save(figure, path)


def draw_mask_curve(path: Path, curves: Mapping[str, Mapping[str, Any]], floor: float) -> str:
    """Draw the AUC of the probe against the radius inside which the centre is masked.

    Parameters
    ----------
    path : path
        PNG to write.
    curves : mapping
        Control kind to ``radius_px`` and ``auc`` (interval dicts).
    floor : float
        Least AUC against matched light.
    """
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(floor, color="0.6", lw=0.8, ls=":", label="least against matched light")
    axes.axhline(0.5, color="0.85", lw=0.8)
    for kind, curve in curves.items():
        value, lower, upper = (
            np.array([auc[k] for auc in curve["auc"]]) for k in ("value", "lower", "upper")
        )
        axes.errorbar(
            curve["radius_px"],
            value,
            [value - lower, upper - value],
            fmt="o-",
            ms=4,
            color=COLOURS[kind],
            label=kind,
        )
    axes.set(xlabel="radius masked [px]", ylabel="AUC of a probe trained on it")
    axes.legend(fontsize=7, loc="lower left")
    return save(figure, path)


def _rocs(panels: Any, views: Mapping[str, Measured], title: str) -> None:
    for axes, (view, measured) in zip(panels, views.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="0.75", lw=0.8, zorder=0)
        for kind, curve in measured["roc"].items():
            label = _auc(kind, measured["auc"][kind])
            axes.plot(curve["fpr"], curve["tpr"], color=COLOURS[kind], label=label)
        axes.set_title(f"{title}: {view} view", fontsize=9)
        axes.set(xlabel="false-positive rate", aspect="equal")
        if measured["roc"]:  # with too few of a class there is no curve to name
            axes.legend(fontsize=6, loc="lower right", title="AUC against", title_fontsize=7)
    panels[0].set_ylabel("true-positive rate")


def _auc(name: str, raw: Mapping[str, float]) -> str:
    return f"{name} {raw['value']:.3f} [{raw['lower']:.3f}, {raw['upper']:.3f}]"


def _bar(axes: Axes, raw: Mapping[str, float], y: float, colour: str, label: str | None) -> None:
    axes.plot([raw["lower"], raw["upper"]], [y, y], color=colour)
    axes.plot(raw["value"], y, "o", ms=4, color=colour, label=label)


def _twin_axes(axes: Axes, title: str, xlabel: str) -> None:
    axes.axvline(0.0, color="0.75", lw=0.8, zorder=0)
    axes.set_title(title, fontsize=9)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(f"{xlabel} (grey: allowed)", fontsize=7)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)
        axes.invert_yaxis()


def _linear_below(profiles: Mapping[str, Any], band: str) -> float:
    """Return the light below which a profile is drawn linearly: the size of its outermost values."""
    outer = [abs(value) for profile in profiles.values() for value in profile[band][-4:]]
    return max(outer) or 1.0
