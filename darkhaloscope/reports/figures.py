"""Figures from records: curves, histograms, maps.

Every function takes a record or a table and writes one PNG. Pictures of pixels
are made in ``stamps_rgb``; their sheets are offered here too, so that an asset
needs one import.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.patches import Rectangle

from darkhaloscope.reports.canvas import COLOURS, INK, MUTED, SERIES, canvas, figure_of
from darkhaloscope.reports.stamps_rgb import anchor_sheet, host_sheet, picture_sheet, stamp_sheet
from darkhaloscope.statistics.rates import Rate

__all__ = [
    "anchor_sheet",
    "comparison_figure",
    "footprint_map",
    "host_sheet",
    "picture_sheet",
    "rates_figure",
    "recall_snr_figure",
    "reliability_figure",
    "roc_figure",
    "score_figure",
    "selection_figure",
    "stamp_sheet",
    "training_figure",
]


def footprint_map(bricks: pa.Table, path: str | Path) -> Path:
    """Draw the bricks on the sky, coloured by tile; incomplete bricks are crosses.

    Parameters
    ----------
    bricks : pyarrow.Table
        Schema ``BRICKS``.
    path : path
        PNG.
    """
    ra, dec = bricks["ra"].to_numpy(), bricks["dec"].to_numpy()
    tiles = np.array(bricks["tile"].to_pylist())
    usable = np.array(bricks["status"].to_pylist()) == "ok"
    # RA wraps at 0: draw about the mean direction, so that a field across it stays whole.
    middle = np.rad2deg(np.angle(np.exp(1j * np.deg2rad(ra)).mean()))
    shown = (ra - middle + 180.0) % 360.0 - 180.0 + middle
    with canvas(path, size=(5.6, 3.6)) as (axes,):
        for index, tile in enumerate(sorted(set(tiles))):
            rows = usable & (tiles == tile)
            axes.scatter(
                shown[rows], dec[rows], s=18, color=SERIES[index % len(SERIES)], label=f"tile {tile}"
            )
        if (~usable).any():
            axes.scatter(shown[~usable], dec[~usable], s=30, color=INK, marker="x", label="incomplete")
        axes.invert_xaxis()
        axes.set(xlabel="RA [deg]", ylabel="Dec [deg]", title=f"{int(usable.sum())} usable bricks")
        if len(set(tiles)) <= 12:
            axes.legend()
    return Path(path)


def training_figure(epochs: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw loss and validation AUC by epoch.

    Parameters
    ----------
    epochs : sequence of dict
        Per epoch ``epoch``, ``train_loss`` and ``val`` with ``loss`` and ``auc`` (an interval).
    path : path
        PNG.
    """
    number = [int(row["epoch"]) for row in epochs]
    with canvas(path, columns=2) as (loss, area):
        loss.plot(number, [row["train_loss"] for row in epochs], color=SERIES[1], marker="o", label="train")
        loss.plot(
            number, [row["val"]["loss"] for row in epochs], color=SERIES[0], marker="o", label="validation"
        )
        loss.set(xlabel="epoch", ylabel="loss", title="Loss")
        loss.legend()
        value = np.array([row["val"]["auc"]["value"] for row in epochs])
        lower = np.array([row["val"]["auc"]["lower"] for row in epochs])
        upper = np.array([row["val"]["auc"]["upper"] for row in epochs])
        area.fill_between(number, lower, upper, color=SERIES[0], alpha=0.18, linewidth=0)
        area.plot(number, value, color=SERIES[0], marker="o")
        area.set(xlabel="epoch", ylabel="AUC", title="Validation AUC, 95 % interval")
        for axes in (loss, area):
            axes.set_xticks(number)
    return Path(path)


def roc_figure(evaluation: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the ROC curve of the test split with the operating point, rates on a log axis."""
    roc = evaluation["test"]["roc"]
    point = evaluation["threshold"]
    with canvas(path) as (axes,):
        fpr = np.array(roc["fpr"])
        floor = max(1e-4, float(fpr[fpr > 0].min()) / 2) if (fpr > 0).any() else 1e-4
        axes.step(np.maximum(fpr, floor), roc["tpr"], where="post", color=SERIES[0])
        axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=0.8, linestyle=":")
        axes.axvline(point["target_fpr"], color=MUTED, linewidth=0.8, linestyle="--")
        axes.annotate(
            f"frozen at FPR {point['target_fpr']:g}",
            (point["target_fpr"], 0.03),
            textcoords="offset points",
            xytext=(4, 0),
            color=MUTED,
            fontsize=8,
        )
        axes.set(
            xscale="log",
            xlim=(floor, 1),
            ylim=(0, 1.02),
            xlabel="false-positive rate, all controls",
            ylabel="recall of injections",
            title=f"ROC on test, AUC {_interval(evaluation['test']['auc'])}",
        )
    return Path(path)


def score_figure(evaluation: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the score histogram of each kind of row, with the threshold."""
    histogram = evaluation["test"]["histogram"]
    edges = np.array(histogram["edges"])
    with canvas(path) as (axes,):
        for kind, counts in histogram["counts"].items():
            share = np.array(counts) / max(sum(counts), 1)
            axes.stairs(
                share, edges, color=COLOURS.get(kind, INK), label=kind.replace("_", " "), linewidth=1.4
            )
        axes.axvline(evaluation["threshold"]["score"], color=MUTED, linestyle="--", linewidth=0.8)
        axes.set(
            xlabel="score", ylabel="share of rows", yscale="log", xlim=(0, 1), title="Scores on test by kind"
        )
        axes.legend()
    return Path(path)


def reliability_figure(evaluation: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the share of injections against mean score, with exact intervals."""
    reliability = evaluation["test"]["reliability"]
    bins = [item for item in reliability["bins"] if item["n"]]
    with canvas(path) as (axes,):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        x, y, err = _error_bars(bins, "mean_score")
        axes.errorbar(x, y, yerr=err, fmt="o", color=SERIES[1], capsize=2)
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="mean score",
            ylabel="share of injections",
            title=f"Reliability at prior {reliability['prior']:.2f}, ECE {reliability['ece']:.3f}",
        )
    return Path(path)


def recall_snr_figure(evaluation: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the recall of test injections by footprint S/N in r, with exact intervals."""
    bins = [item for item in evaluation["test"]["recall_by_snr"] if item["n"]]
    with canvas(path) as (axes,):
        for index, item in enumerate(bins):
            x, y, err = _error_bars([{**item, "x": index}], "x")
            axes.errorbar(x, y, yerr=err, fmt="o", color=SERIES[0], capsize=3)
            axes.annotate(
                f"n={item['n']}", (index, 1.03), ha="center", fontsize=7, color=MUTED, annotation_clip=False
            )
        labels = [
            f"{item['low']:g}-{item['high']:g}" if item["high"] < 1e6 else f">{item['low']:g}"
            for item in bins
        ]
        axes.set_xticks(range(len(bins)), labels)
        axes.set(
            ylim=(0, 1.1),
            xlabel="arc S/N in r (footprint)",
            ylabel="recall",
            title="Injections found, by arc S/N",
        )
    return Path(path)


def rates_figure(evaluation: Mapping[str, Any], path: str | Path) -> Path:
    """Draw recall by tier and contamination by class with exact intervals."""
    rows = [(f"Tier {tier}", item, SERIES[0]) for tier, item in evaluation["recall"].items()]
    rows += [(name, item, SERIES[1]) for name, item in evaluation["contamination"].items()]
    with canvas(path, size=(5.4, 0.6 + 0.42 * max(len(rows), 3))) as (axes,):
        for index, (_, item, colour) in enumerate(rows):
            if not item["n"]:
                continue
            x, y, err = _error_bars([{**item, "x": index}], "x")
            axes.errorbar(y, x, xerr=err, fmt="o", color=colour, capsize=3)
            axes.annotate(
                f"{item['k']}/{item['n']}", (1.02, index), va="center", fontsize=8, annotation_clip=False
            )
        axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        axes.invert_yaxis()
        axes.set(
            xlim=(0, 1), xlabel="share above the threshold", title="Real objects: lenses and look-alikes"
        )
    return Path(path)


def selection_figure(selection: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the selection function C(theta_E, seeing); cells without injections are hatched."""
    theta, seeing = selection["theta_e_edges_arcsec"], selection["seeing_edges_arcsec"]
    value = np.full((len(seeing) - 1, len(theta) - 1), np.nan)
    with canvas(path, size=(5.6, 3.6)) as (axes,):
        axes.grid(visible=False)
        for cell in selection["cells"]:
            row, column = cell["seeing_index"], cell["theta_e_index"]
            rate = Rate.from_dict(cell)
            if rate.value is None:
                axes.add_patch(
                    Rectangle((column, row), 1, 1, fill=False, hatch="///", edgecolor="#c9d1da", linewidth=0)
                )
                text, colour = "no host" if not cell["n_hosts"] else "empty", MUTED
            else:
                value[row, column] = rate.value
                text = f"{rate.value:.2f}\n[{rate.lower:.2f}, {rate.upper:.2f}]\nn={rate.n}"
                colour = "white" if rate.value > 0.6 else INK
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=colour)
        mesh = axes.pcolormesh(
            np.arange(len(theta)), np.arange(len(seeing)), value, cmap="YlOrBr", vmin=0, vmax=1, zorder=0
        )
        figure_of(axes).colorbar(mesh, ax=axes, label="share recovered")
        axes.set_xticks(range(len(theta)), [f"{edge:g}" for edge in theta])
        axes.set_yticks(range(len(seeing)), [f"{edge:g}" for edge in seeing])
        axes.set(xlabel="Einstein radius [arcsec]", ylabel="seeing in r [arcsec]", title="Selection function")
        # The claim travels with the picture, wherever it is pasted.
        claim = "\n".join(textwrap.wrap(selection["validity"]["statement"], 90))
        figure_of(axes).supxlabel(claim, fontsize=6.5, color=MUTED)
    return Path(path)


def comparison_figure(comparison: Mapping[str, Any], path: str | Path) -> Path:
    """Draw AUC, Tier A recall and contamination of every graded model side by side."""
    models = [row for row in comparison["models"] if row["graded"]]
    panels = (
        ("AUC on test", [row["auc"] for row in models]),
        ("recall, Tier A", [row["recall"]["A"] for row in models]),
        ("look-alikes called lenses", [row["contamination_all"] for row in models]),
    )
    with canvas(path, columns=3, size=(3.2, 0.9 + 0.5 * max(len(models), 2))) as axes_list:
        for axes, (title, items) in zip(axes_list, panels, strict=True):
            for index, item in enumerate(items):
                if not item["n"]:
                    continue
                x, y, err = _error_bars([{**item, "x": index}], "x")
                axes.errorbar(y, x, xerr=err, fmt="o", color=SERIES[index % len(SERIES)], capsize=3)
            axes.set_yticks(range(len(models)), [_waived_name(row) for row in models])
            axes.set(xlim=(-0.02, 1.02), ylim=(max(len(models), 1) - 0.5, -0.5), title=title)
    return Path(path)


def _waived_name(row: Mapping[str, Any]) -> str:
    """Return the name of a model and, below it, how many gates were waived for it."""
    count = len(row["waivers"])
    waived = f"\n{count} gate{'s' if count != 1 else ''} waived" if count else ""
    return f"{row['experiment']}{waived}"


def _error_bars(
    items: Sequence[Mapping[str, Any]], key: str
) -> tuple[list[float], list[float], list[list[float]]]:
    """Return x, y and the lengths below and above of intervals."""
    x = [float(item[key]) for item in items]
    y = [float(item["value"]) for item in items]
    below = [max(0.0, item["value"] - item["lower"]) for item in items]
    above = [max(0.0, item["upper"] - item["value"]) for item in items]
    return x, y, [below, above]


def _interval(item: Mapping[str, Any]) -> str:
    return f"{item['value']:.3f} [{item['lower']:.3f}, {item['upper']:.3f}]"
