"""What lenses and sources a manifest holds: Einstein radii, redshifts, dispersions, colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from numpy.typing import NDArray

from darkhaloscope.reports.canvas import COLOURS, INK, MUTED, SERIES, canvas, figure_of
from darkhaloscope.schema import per_band

FloatArray = NDArray[np.float64]

_BINS = 30
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def population_figure(manifest: pa.Table, path: str | Path) -> Path:
    """Draw the positives of a manifest.

    Four panels: Einstein radii as drawn and, where a lens has a weight,
    weighted to the rate of lenses; redshifts of lens and source; velocity
    dispersions against Einstein radius; colours of the sources by redshift.
    Panels of what the experiment does not assume say so.

    Parameters
    ----------
    manifest : pyarrow.Table
        MANIFEST rows.
    path : path
        PNG to write.
    """
    rows = manifest.filter(pc.equal(manifest["control_kind"], "positive"))
    with canvas(path, rows=2, columns=2, size=(4.2, 3.1)) as (radii, redshifts, masses, colours):
        _radii(radii, _values(rows, "theta_e_arcsec"), _values(rows, "lens_weight"))
        _redshifts(redshifts, _values(rows, "z_lens"), _values(rows, "z_source"))
        _masses(masses, _values(rows, "theta_e_arcsec"), _values(rows, "sigma_v_kms"))
        g, r, z = (_values(rows, name) for name in per_band("src_mag_{b}"))
        _colours(colours, g - r, r - z, _values(rows, "z_source"))
    return Path(path)


def population_numbers(manifest: pa.Table) -> dict[str, list[float]]:
    """Return the 5, 25, 50, 75 and 95 % quantiles of what describes the positives of a manifest."""
    rows = manifest.filter(pc.equal(manifest["control_kind"], "positive"))
    numbers = {}
    for name in ("theta_e_arcsec", "sigma_v_kms", "z_lens", "z_source", "src_mag_r"):
        values = _values(rows, name)
        values = values[np.isfinite(values)]
        if values.size:
            numbers[name] = [float(q) for q in np.quantile(values, _QUANTILES)]
    return numbers


def _radii(axes: Axes, theta_e: FloatArray, weight: FloatArray) -> None:
    edges = np.linspace(theta_e.min(), theta_e.max() + 1e-9, _BINS)
    share, _ = np.histogram(theta_e, edges, density=True)
    median = f"median {np.median(theta_e):.2f}"
    axes.stairs(share, edges, fill=True, color=COLOURS["positive"], alpha=0.35, label=f"drawn, {median}")
    if np.isfinite(weight).all():
        share, _ = np.histogram(theta_e, edges, weights=weight, density=True)
        axes.stairs(share, edges, color=INK, label=f"rate of lenses, median {_weighted(theta_e, weight):.2f}")
    axes.set(xlabel=r"$\theta_E$ [arcsec]", ylabel="density", title=f"{theta_e.size} lenses")
    axes.legend()


def _redshifts(axes: Axes, z_lens: FloatArray, z_source: FloatArray) -> None:
    known = np.isfinite(z_lens) & np.isfinite(z_source)
    axes.set(xlabel="$z$ of the lens", ylabel="$z$ of the source", title="Redshifts")
    if not known.any():
        _absent(axes, "lenses without a redshift")
        return
    axes.plot(z_lens[known], z_source[known], ".", ms=3, color=SERIES[1], mew=0)
    top = float(z_lens[known].max())
    axes.plot([0.0, top], [0.0, top], color=MUTED, lw=0.9)


def _masses(axes: Axes, theta_e: FloatArray, sigma: FloatArray) -> None:
    axes.set(xlabel=r"$\sigma_v$ [km/s]", ylabel=r"$\theta_E$ [arcsec]", title="Velocity dispersions")
    if not np.isfinite(sigma).any():
        _absent(axes, "lenses without a dispersion")
        return
    axes.plot(sigma, theta_e, ".", ms=3, color=COLOURS["positive"], mew=0)
    axes.set_yscale("log")


def _colours(axes: Axes, g_r: FloatArray, r_z: FloatArray, z_source: FloatArray) -> None:
    points = axes.scatter(g_r, r_z, s=5, c=z_source, cmap="viridis", linewidths=0, plotnonfinite=True)
    axes.set(xlabel="g - r [mag]", ylabel="r - z [mag]", title="Colours of the sources")
    if np.isfinite(z_source).any():
        figure_of(axes).colorbar(points, ax=axes, label="$z$ of the source")


def _absent(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _weighted(values: FloatArray, weight: FloatArray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])


def _values(table: pa.Table, name: str) -> FloatArray:
    column = table[name].cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
