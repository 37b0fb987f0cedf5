"""The mock sky beside the survey: stamps, autocorrelation of the noise, radial profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.reports.canvas import INK, SERIES, canvas
from darkhaloscope.reports.stamps_rgb import rgb
from darkhaloscope.survey.realism import LAGS_PX, PROFILE_EDGES_ARCSEC, Looks

_REAL, _MOCK = SERIES[0], SERIES[1]
_FAINTEST_MAG = 29.0


def stamps_figure(rows: Mapping[str, tuple[NDArray[Any], Sequence[str]]], path: str | Path) -> Path:
    """Draw cutouts in colour, one row per kind of sky, with a caption below each.

    Parameters
    ----------
    rows : mapping of str to (ndarray of shape (n, 3, size, size), captions)
        g, r, z in nMgy/px.
    path : path
        PNG.
    """
    columns = max(len(images) for images, _ in rows.values())
    with canvas(path, rows=len(rows), columns=columns, size=(2.0, 2.25), dpi=120, colours=None) as panels:
        for row, (name, (images, captions)) in enumerate(rows.items()):
            pictures = rgb(np.asarray(images))
            for column in range(columns):
                axes = panels[row * columns + column]
                axes.grid(visible=False)
                axes.set(xticks=[], yticks=[])
                if column >= len(pictures):
                    axes.set_axis_off()
                    continue
                axes.imshow(pictures[column], origin="lower")
                axes.set_xlabel(captions[column], fontsize=7, color=INK)
                if column == 0:
                    axes.set_ylabel(name, fontsize=9, color=INK)
    return Path(path)


def correlation_figure(real: Sequence[Looks], mock: Sequence[Looks], path: str | Path) -> Path:
    """Draw the autocorrelation of the sky at each lag: every real cutout, and the range of the mock's."""
    with canvas(path, columns=2, size=(4.2, 3.0)) as panels:
        lags = np.arange(1, LAGS_PX + 1)
        for direction, axes in enumerate(panels):
            values = np.stack([one.correlation[:, direction] for one in mock]).reshape(-1, LAGS_PX)
            low, middle, high = np.percentile(values, [2.5, 50.0, 97.5], axis=0)
            axes.bar(
                lags, high - low, bottom=low, width=0.5, color=_MOCK, alpha=0.3, label="mock, 95 % of cutouts"
            )
            axes.hlines(middle, lags - 0.25, lags + 0.25, color=_MOCK, linewidth=2.0, label="mock, median")
            for index, one in enumerate(real):
                shift = 0.09 * (index - (len(real) - 1) / 2.0)
                for band, plane in enumerate(one.correlation[:, direction]):
                    axes.plot(
                        lags + shift + 0.02 * (band - 1), plane, "o", color=_REAL, markersize=3.5,
                        label="real cutouts, three bands" if index == band == 0 else None,
                    )  # fmt: skip
            axes.axhline(0.0, color=INK, linewidth=0.7)
            axes.set_xticks(lags)
            axes.set(
                xlabel=f"lag along {'xy'[direction]} [px]", ylabel="autocorrelation of the sky",
                title=f"Noise along {'xy'[direction]}", ylim=(-0.25, 0.4),
            )  # fmt: skip
        panels[0].legend()
    return Path(path)


def profiles_figure(pairs: Sequence[tuple[str, Looks, Sequence[Looks]]], path: str | Path) -> Path:
    """Draw the r profile of each real galaxy over that of the mock's galaxies of its brightness.

    Parameters
    ----------
    pairs : sequence of (name, real, mock)
        One panel each.
    path : path
        PNG.
    """
    edges = np.array(PROFILE_EDGES_ARCSEC)
    middle = (edges[1:] + edges[:-1]) / 2.0
    with canvas(path, columns=len(pairs), size=(3.3, 3.1)) as panels:
        for axes, (name, real, mock) in zip(panels, pairs, strict=True):
            spread = np.nanpercentile(
                np.stack([m.profile_nmgy_arcsec2[1] for m in mock]), [5, 16, 50, 84, 95], axis=0
            )
            low, inner_low, median, inner_high, high = (_mag(values) for values in spread)
            axes.fill_between(middle, low, high, color=_MOCK, alpha=0.15, linewidth=0, label="mock, 90 %")
            axes.fill_between(
                middle, inner_low, inner_high, color=_MOCK, alpha=0.25, linewidth=0, label="mock, 68 %"
            )
            axes.plot(middle, median, color=_MOCK, label="mock, median")
            axes.plot(
                middle, _mag(real.profile_nmgy_arcsec2[1]), "o-", color=_REAL, markersize=3.5, label="real"
            )
            axes.set(
                xlabel="radius [arcsec]", ylabel="r [mag / arcsec$^2$]", ylim=(_FAINTEST_MAG, 21.2),
                title=f"{name}, {len(mock)} mock galaxies",
            )  # fmt: skip
        panels[0].legend(fontsize=7)
    return Path(path)


def _mag(surface_brightness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mag/arcsec^2 of nMgy/arcsec^2; no light is drawn at the faint edge."""
    faintest = 10.0 ** (0.4 * (22.5 - _FAINTEST_MAG))
    return np.asarray(22.5 - 2.5 * np.log10(np.maximum(surface_brightness, faintest)))
