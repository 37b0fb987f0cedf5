"""Figure of the renderers' frontier: error against time, from the record of ``bench_render``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkhaloscope.errors import DataError, describe
from darkhaloscope.reports.canvas import INK, MUTED, SERIES, canvas

OURS = "darkhaloscope"
_ERRORS = {"error_of_peak_median": "median scene", "error_of_peak_worst": "worst scene"}


def frontier_figure(path: str | Path, record: Mapping[str, Any]) -> None:
    """Draw error of the peak against time per source: down and left is better.

    Parameters
    ----------
    path : path
        PNG, replaced.
    record : mapping
        ``implementations``: per name ``us_per_stamp``, ``error_of_peak_median`` and
        ``error_of_peak_worst``; ``budget``, if there is one: the largest allowed errors.

    Raises
    ------
    DataError
        If the record names no implementation.
    """
    rows = record.get("implementations")
    if not rows:
        raise DataError(describe("Record of a benchmark", field="implementations", expected="at least one"))
    with canvas(path, columns=len(_ERRORS), size=(4.8, 3.8)) as panels:
        for axes, (key, title) in zip(panels, _ERRORS.items(), strict=True):
            for name, row in rows.items():
                own = name.startswith(OURS)
                x, y = row["us_per_stamp"], 100.0 * row[key]
                axes.plot(x, y, "o" if own else "s", color=SERIES[0] if own else SERIES[1], markersize=6)
                label = name.removeprefix(OURS).strip() or name
                axes.annotate(
                    label, (x, y), xytext=(6, 3), textcoords="offset points", fontsize=7.5, color=INK
                )
            mine = sorted(
                (row["us_per_stamp"], 100.0 * row[key]) for name, row in rows.items() if name.startswith(OURS)
            )
            axes.plot(*zip(*mine, strict=True), color=SERIES[0], linewidth=1.0)
            limit = record.get("budget", {}).get(key)
            if limit is not None:
                axes.axhline(100.0 * limit, color=MUTED, linewidth=1.0, linestyle="--")
                axes.annotate(
                    "budget of standard",
                    (1.0, 100.0 * limit),
                    xycoords=("axes fraction", "data"),
                    ha="right",
                    va="bottom",
                    fontsize=7.5,
                    color=MUTED,
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.margins(x=0.25, y=0.15)
            axes.set_title(f"Largest error, {title}")
            axes.set_xlabel("time per source, 3 bands [µs]")
            axes.set_ylabel("error of the peak pixel [%]")
