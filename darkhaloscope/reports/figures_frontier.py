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
            peers = (name for name in rows if not name.startswith(OURS))
            for name, marker, colour in zip(peers, "s^Dvh", SERIES[1:], strict=False):
                row = rows[name]
                axes.plot(row["us_per_stamp"], 100.0 * row[key], marker, color=colour, alpha=0.8, label=name)
            for name, row in rows.items():
                if name.startswith(OURS):
                    place = (row["us_per_stamp"], 100.0 * row[key])
                    axes.plot(*place, "o", color=SERIES[0])
                    axes.annotate(
                        name.removeprefix(OURS).strip(),
                        place,
                        xytext=(7, 3),
                        textcoords="offset points",
                        fontsize=8.0,
                        color=INK,
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
                    (0.02, 100.0 * limit),
                    xycoords=("axes fraction", "data"),
                    ha="left",
                    va="bottom",
                    fontsize=7.5,
                    color=MUTED,
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.margins(x=0.2, y=0.2)
            axes.legend(loc="lower right")
            axes.set_title(f"Largest error, {title}")
            axes.set_xlabel("time per source, 3 bands [µs]")
            axes.set_ylabel("error of the peak pixel [%]")
