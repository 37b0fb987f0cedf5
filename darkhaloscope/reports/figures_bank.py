"""The contact sheet of a source bank: what its galaxies look like and how they were chosen."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.sources.bankfile import SourceBank
from darkhaloscope.streams import uniform

_COLUMNS, _ROWS = 8, 5
_SCALE_BAR_ARCSEC = 0.5
_RADIUS_TICKS_ARCSEC = (0.1, 0.2, 0.3, 0.5, 1.0)
_COLOURS = mpl.colormaps["magma"].with_extremes(bad="#15101f")
_INK, _MUTED, _ACCENT = "#1d2733", "#6b7785", "#c2571a"


def contact_sheet(bank_path: str | Path, png_path: str | Path) -> Path:
    """Draw up to 40 templates of a bank, its sizes and magnitudes, and the reasons of rejection.

    Templates are chosen by a hash of their identity and shown by surface
    brightness on an asinh scale from the noise to the peak. Equal banks give
    equal bytes.

    Parameters
    ----------
    bank_path : path
        Bank file.
    png_path : path
        Destination.

    Returns
    -------
    Path
        ``png_path``.

    Raises
    ------
    DataError
        If the bank cannot be read.
    """
    png_path = Path(png_path)
    with SourceBank.open(bank_path) as bank, mpl.rc_context({"font.size": 8.0, "text.color": _INK}):
        draw = uniform(0, "contact_sheet", bank.ids.tolist())
        shown = np.sort(np.argsort(draw, kind="stable")[: _COLUMNS * _ROWS])
        rows = -(-len(shown) // _COLUMNS)
        figure = Figure(figsize=(1.45 * _COLUMNS, 1.75 * rows + 3.4), layout="constrained")
        panels = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.75 * rows + 0.4, 3.0])
        stamps, charts = panels[:, 0]
        stamps.suptitle(_title(bank), fontsize=9.0)
        axes = stamps.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axis, row in zip(axes, shown, strict=False):
            _template(axis, bank, int(row))
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        left, middle, right = charts.subplots(1, 3)
        _sizes(left, bank)
        _magnitudes(middle, bank)
        _rejections(right, bank)
        with atomic_path(png_path) as temporary:
            figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    return png_path


def _title(bank: SourceBank) -> str:
    data = bank.metadata
    splits = ", ".join(f"{name} {count}" for name, count in data["splits"].items())
    return (
        f"{data['galaxies']} sources of {data['tried']} galaxies tried ({data['catalogue']}); {splits}\n"
        f"PSF: {data['psf']}. Box {data['template_px'] * data['pixel_scale_arcsec']:.2f} arcsec, "
        f"bar {_SCALE_BAR_ARCSEC} arcsec"
    )


def _template(axis: Axes, bank: SourceBank, row: int) -> None:
    """Draw one template in units of its sky noise."""
    column = bank.columns
    image = bank.templates([row])[0] * column["flux"][row] / column["noise_sigma"][row]
    shown = np.ma.masked_where(image == 0.0, np.arcsinh(image / 2.0))
    axis.imshow(shown, origin="lower", cmap=_COLOURS, vmin=-1.5, interpolation="nearest")
    length = _SCALE_BAR_ARCSEC / bank.pixel_scale_arcsec
    axis.plot([5, 5 + length], [6, 6], color="white", linewidth=1.2)
    axis.set_axis_off()
    axis.set_title(
        f"{bank.ids[row].removeprefix('cosmos-')} {bank.split[row]}\n"
        f"{bank.mag_f814w[row]:.1f} mag  {bank.hlr_arcsec[row]:.2f}″  S/N {bank.snr[row]:.0f}",
        fontsize=6.0,
        color=_INK,
    )


def _sizes(axis: Axes, bank: SourceBank) -> None:
    catalogue, measured = bank.columns["hlr_catalogue_arcsec"], bank.hlr_arcsec
    limits = bank.metadata["limits"]["hlr_arcsec"]
    axis.plot(limits, limits, color=_MUTED, linewidth=0.8)
    axis.plot(catalogue, measured, ".", color=_ACCENT, markersize=4, alpha=0.7)
    axis.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(FixedLocator(_RADIUS_TICKS_ARCSEC))
        side.set_major_formatter(ScalarFormatter())
        side.set_minor_locator(NullLocator())
    axis.set(xlabel="catalogued half-light radius [arcsec]", ylabel="measured [arcsec]")
    axis.set_title(f"r.m.s. log ratio {bank.metadata['hlr_log10_ratio_rms']:.3f} dex", fontsize=8.0)


def _magnitudes(axis: Axes, bank: SourceBank) -> None:
    axis.plot(bank.mag_f814w, bank.hlr_arcsec, ".", color=_ACCENT, markersize=4, alpha=0.7)
    axis.set(yscale="log", ylim=bank.metadata["limits"]["hlr_arcsec"])
    axis.yaxis.set_major_locator(FixedLocator(_RADIUS_TICKS_ARCSEC))
    axis.yaxis.set_major_formatter(ScalarFormatter())
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set(xlabel="F814W [mag]", ylabel="half-light radius [arcsec]")
    axis.set_title("size against magnitude", fontsize=8.0)


def _rejections(axis: Axes, bank: SourceBank) -> None:
    rejected = bank.metadata["rejected"]
    names = sorted(rejected, key=lambda name: (rejected[name], name))
    axis.barh(names, [rejected[name] for name in names], color=_MUTED)
    for position, name in enumerate(names):
        axis.text(rejected[name], position, f" {rejected[name]}", va="center", fontsize=7.0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(f"left out: {sum(rejected.values())}", fontsize=8.0)
    axis.spines[["top", "right"]].set_visible(False)
