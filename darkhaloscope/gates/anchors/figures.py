"""Pictures of the anchor gates, drawn from their stored measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkhaloscope.gates.anchors.regime import MEASURES, TIERS
from darkhaloscope.gates.figures import save
from darkhaloscope.gates.judging import Measured

_TIER_COLOURS = {"A": "#c0392b", "B": "#2c7fb8"}
_INJECTED, _LIMIT = "0.80", "0.35"


def draw_regime(path: Path, measured: Measured) -> str:
    """Draw every measure of training positives with real lenses over it, and the range of training (A2)."""
    names = list(measured["measures"]) or ["nothing"]
    figure = Figure(figsize=(7.2, 2.2 * -(-len(names) // 3) + 0.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(-(-len(names) // 3), min(3, len(names)))).ravel()
    for axes, name in zip(panels, names, strict=False):
        if name in measured["measures"]:
            _regime_panel(axes, measured, name)
    for axes in panels[len(names) :]:
        axes.axis("off")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, fontsize=7, loc="outside lower center", ncols=4, frameon=False)
    return save(figure, path)


def draw_realism(path: Path, measured: Measured) -> str:
    """Draw out-of-fold scores of the probe for injections and real lenses, tier by tier (A3)."""
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    for axes, tier in zip(figure.subplots(1, len(TIERS)), TIERS, strict=True):
        found = measured["tiers"].get(tier, {"n": 0})
        if "histogram" not in found:
            axes.set_axis_off()
            axes.text(0.5, 0.5, f"Tier {tier}: {found['n']} lenses, not probed", ha="center", fontsize=9)
            continue
        axes.set_xlabel("probe: real <- score -> injected")
        edges = np.asarray(found["histogram"]["edges"])
        for name, colour, fill in (("injected", _INJECTED, True), ("real", _TIER_COLOURS[tier], False)):
            counts = np.asarray(found["histogram"][name], dtype=float)
            axes.stairs(counts / max(1.0, counts.sum()), edges, color=colour, fill=fill, label=name)
        area = found["auc"]
        reach = f"[{area['lower']:.2f}, {area['upper']:.2f}]"
        axes.set_title(f"Tier {tier}, {found['n']} lenses: AUC {area['value']:.2f} {reach}", fontsize=9)
        axes.set_ylabel("share")
        axes.legend(fontsize=7)
    return save(figure, path)


def draw_claims(path: Path, measured: Measured) -> str:
    """Draw every headline rate with its exact interval and its counts (A4)."""
    rates = [rate for rate in measured["rates"] if "[" not in rate["name"] and rate["n"]]
    return _draw_rates(path, rates, None, "share, exact 95 % interval")


def draw_lookalikes(path: Path, measured: Measured, limit: float) -> str:
    """Draw the share of each class of look-alikes that is called a lens, against the limit (A5)."""
    rates = [{"name": name, **raw} for name, raw in measured["rates"].items() if raw["n"]]
    return _draw_rates(path, rates, limit, "share called a lens, exact 95 % interval (dashed: limit)")


def _draw_rates(path: Path, rates: Sequence[dict[str, Any]], limit: float | None, label: str) -> str:
    figure = Figure(figsize=(6.4, 1.0 + 0.26 * max(2, len(rates))), layout="constrained")
    axes = figure.subplots()
    for row, rate in enumerate(rates):
        value = rate["k"] / rate["n"]
        reach = [[max(0.0, value - rate["lower"])], [max(0.0, rate["upper"] - value)]]
        axes.errorbar([value], [row], xerr=reach, fmt="o", ms=4, capsize=2, color=_TIER_COLOURS["B"])
        axes.annotate(f"{rate['k']}/{rate['n']}", (1.02, row), va="center", fontsize=7, annotation_clip=False)
    if limit is not None:
        axes.axvline(limit, color=_LIMIT, lw=0.8, ls="--")
    axes.set_yticks(range(len(rates)), [rate["name"] for rate in rates], fontsize=8)
    axes.set(xlim=(-0.02, 1.0), xlabel=label, ylim=(len(rates) - 0.5, -0.5))
    return save(figure, path)


def _regime_panel(axes: Axes, measured: Measured, name: str) -> None:
    found = measured["measures"][name]
    edges = np.asarray(found["edges"])
    axes.axvspan(*found["range"], color="0.95", zorder=0, label="range of training")
    for who, colour in (("training", _INJECTED), *_TIER_COLOURS.items()):
        counts = np.asarray(found["counts"][who], dtype=float)
        if not counts.sum():
            continue
        n = measured["training"] if who == "training" else measured["tiers"][who]["n"]
        label = f"{who if who == 'training' else f'Tier {who}'}, {n}"
        axes.stairs(counts / counts.sum(), edges, color=colour, fill=who == "training", label=label, lw=1.4)
    axes.set_xlabel(MEASURES[name], fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_yticks([])
