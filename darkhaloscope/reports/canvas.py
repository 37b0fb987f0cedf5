"""The drawing surface all figures share: style, size, deterministic PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from darkhaloscope.artifacts import atomic_path

INK, MUTED, GRID = "#1d2733", "#6b7785", "#e3e8ee"
COLOURS = {
    "positive": "#c2571a",
    "paired": "#2f6f9f",
    "unpaired": "#7fa8c9",
    "matched_light": "#5b8c5a",
    "hard_negative": "#8e6aa8",
}
"""One colour per kind of row, the same in every figure."""

SERIES = ("#c2571a", "#2f6f9f", "#5b8c5a", "#8e6aa8", "#b59b2b", "#4a4a4a")

_STYLE: Any = {
    "font.size": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": "white",
}


@contextmanager
def canvas(
    path: str | Path,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (4.6, 3.3),
    *,
    dpi: int = 110,
    colours: int | None = 64,
) -> Iterator[list[Axes]]:
    """Yield the axes of a figure that is written to ``path`` when the block ends.

    No global state of matplotlib is touched, and the file holds no date, so equal
    input gives equal bytes.

    Parameters
    ----------
    path : path
        PNG.
    rows, columns : int
        Panels.
    size : (float, float)
        Inches per panel.
    dpi : int
        Pixels per inch.
    colours : int or None
        Size of the palette: line figures lose nothing a person sees and stay
        small enough for an event log. None keeps every colour, for stamps.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        yield list(axes.ravel())
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=dpi, format="png", metadata={"Software": None})
        with Image.open(buffer) as picture:
            flat = picture.convert("RGB")
            small = flat if colours is None else flat.quantize(colours, method=Image.Quantize.MEDIANCUT)
        with atomic_path(path) as temporary:
            small.save(temporary, format="png", optimize=True)


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes made by :func:`canvas` belong to."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes of a canvas always have one
    return figure
