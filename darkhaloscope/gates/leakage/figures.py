"""Pictures of the leakage gates, drawn from their stored measurements."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkhaloscope.gates.figures import COLOURS, save
from darkhaloscope.gates.judging import Measured

_SHOWN = 8


def draw_metadata(path: Path, measured: Measured, limit: float) -> str | None:
    """Draw what trees make of the conditions: ROC curves, AUC and the columns that help (L5).

    Parameters
    ----------
    path : path
        PNG to write.
    measured : dict
        Of ``metadata.measure_metadata``.
    limit : float
        Largest harmless AUC.

    Returns
    -------
    str or None
        File name; None if no trees were grown.
    """
    if not measured["roc"]:
        return None
    figure = Figure(figsize=(9.6, 3.1), layout="constrained")
    curves, areas, columns = figure.subplots(1, 3, width_ratios=[1.0, 0.9, 1.1])
    curves.plot([0, 1], [0, 1], color="0.75", lw=0.8, zorder=0)
    for kind, curve in measured["roc"].items():
        curves.plot(curve["fpr"], curve["tpr"], color=COLOURS[kind], label=kind)
    curves.set(xlabel="false-positive rate", ylabel="true-positive rate")
    curves.legend(fontsize=7, loc="lower right")
    curves.set_title("trees on all conditions, out of fold", fontsize=9)
    _areas(areas, measured, limit)
    kind = max(measured["importance"], key=lambda k: max(measured["importance"][k].values()))
    importance = measured["importance"][kind]
    best = sorted(importance, key=lambda name: -importance[name])[:_SHOWN]
    columns.barh(range(len(best)), [importance[name] for name in best], color=COLOURS[kind])
    columns.axvline(0.0, color="0.5", lw=0.8)
    columns.set_yticks(range(len(best)), best, fontsize=7)
    columns.invert_yaxis()
    columns.set_xlim(min(-0.02, *importance.values()), max(0.02, 1.1 * max(importance.values())))
    columns.set_xlabel("AUC lost when it is shuffled")
    columns.set_title(f"columns that help, {kind}", fontsize=9)
    return save(figure, path)


def _areas(axes: Axes, measured: Measured, limit: float) -> None:
    rows = [(of, kind) for of in ("conditions", "inputs") for kind in measured["auc"][of]]
    axes.axvspan(0.0, limit, color="0.93", zorder=0)
    for y, (of, kind) in enumerate(rows):
        raw = measured["auc"][of][kind]
        axes.plot([raw["lower"], raw["upper"]], [y, y], color=COLOURS[kind])
        axes.plot(raw["value"], y, "o", ms=4, color=COLOURS[kind])
    axes.set_yticks(range(len(rows)), [f"{kind}\n{of}" for of, kind in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(min(0.4, *(measured["auc"][of][kind]["lower"] - 0.02 for of, kind in rows)), None)
    axes.set_xlabel("AUC (grey: harmless)")
