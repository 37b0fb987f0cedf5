"""A1: every real object that will be scored points at its own survey galaxy.

The gate reads the stored stamps alone and holds every ``ok`` row, lens or
look-alike, against the survey again; it does not trust the builder's statuses.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.artifacts import atomic_path
from darkhaloscope.evaluation.anchor_stamps import pixel_status
from darkhaloscope.evaluation.photometry import aperture_flux_nmgy
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.registry import ANCHOR_STAMPS
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.hashing import hash_json
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import clopper_pearson
from darkhaloscope.survey.release import DR10_SOUTH, Release

A1 = "A1"

_NOT_AN_ANCHOR = ("quasar", "cluster", "group")
_NAMED = 20


def run_anchor_gates(
    anchor_stamps: pa.Table,
    *,
    artefact_hash: str,
    release: Release = DR10_SOUTH,
    figures_dir: str | Path | None = None,
) -> GateReport:
    """Measure and judge A1.

    Parameters
    ----------
    anchor_stamps : pyarrow.Table
        Schema ``ANCHOR_STAMPS``.
    artefact_hash : str
        Content hash of the stamps.
    release : Release
        Declared release.
    figures_dir : path, optional
        Where ``A1.png`` (aperture against catalogue magnitude) is drawn; no
        figure without it.
    """
    started = time.perf_counter()
    measured = measure_pointing(anchor_stamps, release)
    verdict = judge_pointing(measured, Thresholds())
    if figures_dir is not None and measured["magnitudes"]:
        verdict = _with_figure(verdict, measured, Path(figures_dir))
    result = GateResult.bind(A1, verdict, artefact_hash=artefact_hash, seconds=time.perf_counter() - started)
    return GateReport("anchors", hash_json([release.name]), ANCHOR_STAMPS, artefact_hash, (result,))


def measure_pointing(anchor_stamps: pa.Table, release: Release) -> Measured:
    """Hold every row that would be scored against the survey.

    Returns
    -------
    dict
        ``scored`` and ``refused`` rows, ``faults`` (anchor id to what is wrong,
        ``separation`` in arcsec for all), ``median_separation_arcsec``,
        ``magnitudes`` (catalogue and aperture, r) and ``statuses``.
    """
    rows = anchor_stamps.filter(pc.equal(anchor_stamps["status"], "ok"))
    ids = rows["anchor_id"].to_pylist()
    separation = np.array(
        [np.nan if v is None else v for v in rows["separation_arcsec"].to_pylist()], dtype=np.float64
    )
    faults: dict[str, str] = {}
    magnitudes: list[list[float]] = []
    covered = release.covers(rows["ra"].to_numpy(), rows["dec"].to_numpy())
    plain = rows.drop_columns(["image", "invvar", "maskbits"]).to_pylist()
    planes = {name: tabular.pixels(rows, name) for name in ("image", "invvar", "maskbits")}
    for index, row in enumerate(plain):
        fault = _fault(row, covered[index], release, {name: p[index] for name, p in planes.items()})
        if fault:
            faults[ids[index]] = f"{row['name']}: {fault}"
        if row["host_mag_r"] is not None and row["x_offset_px"] is not None:
            flux = _aperture_r(planes["image"][index], row)
            if flux > 0.0:
                magnitudes.append([float(row["host_mag_r"]), float(22.5 - 2.5 * np.log10(flux))])
    statuses = anchor_stamps["status"].to_pylist()
    return {
        "scored": len(ids),
        "refused": len(statuses) - len(ids),
        "lenses": sum(row["kind"] == "lens" for row in plain),
        "faults": faults,
        "separations_arcsec": {key: _number(value) for key, value in zip(ids, separation, strict=True)},
        "median_separation_arcsec": _number(np.median(separation)) if len(ids) else None,
        "magnitudes": magnitudes,
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
    }


def judge_pointing(measured: Measured, thresholds: Thresholds) -> Verdict:
    """Fail if any object to be scored is not pointed, or if there is none."""
    limit = thresholds.get(A1, "max_unpointed")
    radius = thresholds.get(A1, "max_separation_arcsec").value
    n = int(measured["scored"])
    if n == 0:
        return Verdict(
            GateStatus.FAIL,
            f"no object can be scored; {measured['refused']} rows were refused: {measured['statuses']}",
            threshold=limit.value,
            threshold_source=limit.source,
            values=measured,
        )
    bad = dict(measured["faults"])
    for key, separation in measured["separations_arcsec"].items():
        if separation is None or separation > radius:
            told = "no matched source" if separation is None else f"{separation:.2f} arcsec from its source"
            bad.setdefault(key, told)
    named = "; ".join(f"{key} {fault}" for key, fault in sorted(bad.items())[:_NAMED])
    reason = (
        f"{len(bad)} of {n} objects are not pointed: {named}"
        if bad
        else f"all {n} scored objects lie on their galaxy (median {measured['median_separation_arcsec']:.2f} "
        f"arcsec, plausible magnitude, unmasked); {measured['refused']} rows were refused"
    )
    verdict = Verdict(
        GateStatus.FAIL if len(bad) > limit.value else GateStatus.PASS,
        reason,
        threshold=limit.value,
        threshold_source=limit.source,
        values={**measured, "unpointed": sorted(bad)},
    )
    return verdict.measured(clopper_pearson(len(bad), n))


def _fault(row: dict[str, Any], covered: bool, release: Release, planes: dict[str, NDArray[Any]]) -> str:
    """Return what is wrong with a row that would be scored, or an empty text."""
    if not row["host_id"]:
        return "no matched survey source"
    number = row["host_id"].partition("-")[0]
    if number not in {str(known) for known in release.release_numbers}:
        return f"source {row['host_id']} is not of {release.name} (releases {release.release_numbers})"
    if not covered:
        return f"outside {release.name}"
    if row["object_class"] in _NOT_AN_ANCHOR:
        return f"is a {row['object_class']}"
    if row["host_mag_r"] is None or row["x_offset_px"] is None or row["y_offset_px"] is None:
        return "no catalogue magnitude or offset"
    status = pixel_status(
        planes["image"],
        planes["invvar"],
        planes["maskbits"],
        x_offset_px=row["x_offset_px"],
        y_offset_px=row["y_offset_px"],
        flux_r_nmgy=10.0 ** (0.4 * (22.5 - row["host_mag_r"])),
        release=release,
    )
    if status == "magnitude_implausible":
        flux = _aperture_r(planes["image"], row)
        return f"catalogue r = {row['host_mag_r']:.2f}, aperture flux {flux:.4g} nMgy"
    return "" if status == "ok" else status


def _aperture_r(image: NDArray[Any], row: dict[str, Any]) -> float:
    return aperture_flux_nmgy(
        image[BANDS.index("r")], x_offset_px=row["x_offset_px"], y_offset_px=row["y_offset_px"]
    )


def _with_figure(verdict: Verdict, measured: Measured, directory: Path) -> Verdict:
    from matplotlib.figure import Figure

    catalogue, aperture = np.array(measured["magnitudes"]).T
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    span = [min(catalogue.min(), aperture.min()) - 0.3, max(catalogue.max(), aperture.max()) + 0.3]
    axes.plot(span, span, color="#6b7785", linewidth=0.8)
    axes.plot(catalogue, aperture, "o", color="#2f6f9f", markersize=4, alpha=0.8)
    axes.set(xlabel="catalogue r [mag]", ylabel="aperture r < 8 px [mag]", xlim=span, ylim=span)
    with atomic_path(directory / "A1.png") as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    return replace(verdict, figure="A1.png")


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
