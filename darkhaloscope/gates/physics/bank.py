"""P4: is the source bank galaxies, or noise.

Everything is measured again on the stored templates and held against the
catalogue's numbers; what the builder says of its own work is not asked. The
verdict lies beside the bank it judges. An experiment may hold the stored
measurement against limits of its own.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darkhaloscope.config import Gates
from darkhaloscope.gates import figures
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.registry import COSMOS_BANK
from darkhaloscope.gates.result import GateReport, GateResult, Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.hashing import hash_json, sha256_bytes
from darkhaloscope.sources.bankfile import TEMPLATE_PX, SourceBank
from darkhaloscope.sources.morphology import half_light_radius_px
from darkhaloscope.sources.selection import repeated_positions
from darkhaloscope.sources.template import centroid_px
from darkhaloscope.statistics import Interval, clopper_pearson, mean_interval
from darkhaloscope.streams import generator, uniform

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

P4 = "P4"

_MEASURES = ("off_source", "negative", "squared_log_hlr_ratio", "roughness")
_HISTOGRAM_SPAN = {"off_source": (0.0, 0.6), "roughness": (0.0, 1.2)}

_BLOCK = 256
_BINS = 60
_SHOWN = 400
_GROWTH_PX = np.arange(0.0, TEMPLATE_PX / 2.0 + 1.0)

_SMOOTHING_PX = 1.5
_DETECTION_SIGMA = 3.0
_RIM_PX = 6
"""Detection on the template: smoothing, threshold in the frame's own scatter, and how far around a
detection light may be the galaxy's. The frame is what lies beyond the largest circle of the box."""

_NOISE_CORRELATION_PX = 1.2
"""Width of the Gaussian that correlates the noise of a template: drizzling and the common resolution."""

_HLR_TOLERANCE = 1.05
"""A radius measured again may leave the filter by this factor."""


def run_bank_gates(
    bank_path: str | Path, *, artefact_hash: str, figures_dir: str | Path | None = None
) -> GateReport:
    """Run every gate of a source bank.

    Parameters
    ----------
    bank_path : path
        The bank file.
    artefact_hash : str
        Content hash of that file.
    figures_dir : path, optional
        Where the figure goes.

    Raises
    ------
    DataError
        If the bank cannot be read.
    """
    started = time.perf_counter()
    with SourceBank.open(bank_path) as bank:
        measured = measure_bank(bank)
    verdict = judge_bank(measured, Thresholds())
    if figures_dir is not None and measured["galaxies"]:
        limits = {
            "off_source": Thresholds().value(P4, "max_off_source_flux"),
            "roughness": Thresholds().value(P4, "max_roughness"),
        }
        name = figures.draw_bank(Path(figures_dir) / "P4.png", measured, limits)
        verdict = replace(verdict, figure=name)
    result = GateResult.bind(P4, verdict, artefact_hash=artefact_hash, seconds=time.perf_counter() - started)
    return GateReport("bank", hash_json([]), COSMOS_BANK, artefact_hash, (result,))


def judged_for(report: GateReport, gates: Gates, today: date) -> GateReport:
    """Return a bank's report as an experiment must read it: its limits, its waivers.

    Parameters
    ----------
    report : GateReport
        Of :func:`run_bank_gates`; its stored measurement is judged again.
    gates : config.Gates
        The experiment's overrides and waivers.
    today : datetime.date
        Date against which waivers expire.
    """
    limits = Thresholds.of(gates)
    results = tuple(
        GateResult.bind(
            P4,
            replace(judge_bank(result.values, limits), figure=result.figure),
            artefact_hash=result.artefact_hash,
            seconds=result.seconds,
        )
        for result in report
    )
    return replace(report, results=results).with_waivers(gates, today)


def measure_bank(bank: SourceBank) -> Measured:
    """Measure every template of a bank.

    Returns
    -------
    dict
        ``galaxies``; intervals of the means of ``off_source`` (share of a
        template's light outside a detection made on it alone), ``negative``
        (share of negative light), ``squared_log_hlr_ratio`` (log10 of measured
        over catalogued half-light radius) and ``roughness`` (small-scale
        structure over that of the template's own pixels shuffled into noise);
        their histograms; the mean growth curve; radii of a sample; counts of
        templates that cannot be measured, without a negative pixel, outside
        the radius filter, below the S/N limit, and of duplicates by pixels and
        by position.
    """
    n, limits = len(bank), bank.metadata["limits"]
    each: dict[str, Any] = {name: [] for name in ("hlr_px", "off_source", "negative", "roughness")}
    growth = np.zeros(len(_GROWTH_PX))
    digests: dict[str, str] = {}
    twins: list[list[str]] = []
    frame = _radius_px((TEMPLATE_PX, TEMPLATE_PX)) > TEMPLATE_PX / 2.0 - 4.0
    for start in range(0, n, _BLOCK):
        index = np.arange(start, min(start + _BLOCK, n))
        for name, template in zip(
            bank.ids[index].tolist(), bank.templates(index).astype(np.float64), strict=True
        ):
            _measure_template(each, template, name, frame)
            growth += _growth(template)
            digest = sha256_bytes(template.tobytes())
            if digest in digests:
                twins.append([digests[digest], name])
            digests.setdefault(digest, name)
    hlr, catalogued = bank.pixel_scale_arcsec * np.array(each["hlr_px"]), bank.columns["hlr_catalogue_arcsec"]
    each["squared_log_hlr_ratio"] = np.square(np.log10(hlr / catalogued))
    known = np.all([np.isfinite(each[name]) for name in _MEASURES], axis=0)
    low, high = limits["hlr_arcsec"]
    inside = (hlr >= low / _HLR_TOLERANCE) & (hlr <= high * _HLR_TOLERANCE)
    near = repeated_positions(bank.columns["ra_deg"], bank.columns["dec_deg"], limits["duplicate_arcsec"])
    drawn = np.argsort(uniform(0, "gate_p4_shown", bank.ids.tolist()), kind="stable")
    shown = [row for row in drawn.tolist() if known[row]][:_SHOWN]
    return {
        "galaxies": n,
        "unmeasurable": int((~known).sum()),
        **{
            name: mean_interval(np.array(each[name])[known]).to_dict() if known.sum() >= 2 else None
            for name in _MEASURES
        },
        "histograms": {
            name: np.histogram(np.clip(np.array(each[name])[known], *span), _BINS, span)[0].tolist()
            for name, span in _HISTOGRAM_SPAN.items()
        },
        "edges": {
            name: np.round(np.linspace(*span, _BINS + 1), 4).tolist()
            for name, span in _HISTOGRAM_SPAN.items()
        },
        "radii_arcsec": [[round(float(catalogued[row]), 4), round(float(hlr[row]), 4)] for row in shown],
        "growth": [round(float(value), 5) for value in growth / max(1, n)],
        "without_negative_pixels": int((np.array(each["negative"]) == 0.0).sum()),
        "hlr_limits_arcsec": [low, high],
        "outside_filter": int((~inside).sum()),
        "min_snr": float(limits["min_snr"]),
        "below_snr": int((~(bank.snr >= limits["min_snr"])).sum()),
        "duplicate_pixels": twins,
        "duplicate_positions": [[str(bank.ids[a]), str(bank.ids[b])] for a, b in near],
    }


def judge_bank(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when templates hold light that is no galaxy's, or are not the galaxies catalogued."""
    n, least = int(measured["galaxies"]), limits.get(P4, "min_galaxies")
    if n < least.value:
        return failed(least, f"{n} templates; {least.value:g} needed", measured, n=n)
    if measured["unmeasurable"]:
        reason = f"{measured['unmeasurable']} of {n} templates have no positive light to measure"
        return failed(None, reason, measured, value=measured["unmeasurable"], n=n)
    off, negative, rough = (Interval(**measured[name]) for name in ("off_source", "negative", "roughness"))
    squared = Interval(**measured["squared_log_hlr_ratio"])
    value, lower, upper = (math.sqrt(max(v, 0.0)) for v in (squared.value, squared.lower, squared.upper))
    spread = Interval(value, lower, upper, n)
    clipped = clopper_pearson(measured["without_negative_pixels"], n)
    checks = (
        ("max_off_source_flux", off, f"{off.value:.1%} of the light lies outside the galaxies"),
        (
            "max_clipped_share",
            clipped,
            f"{clipped.value:.0%} of the templates have no negative pixel: noise was clipped at zero",
        ),
        ("max_negative_flux", negative, f"{negative.value:.1%} of the light is negative: noise"),
        (
            "max_hlr_log_ratio",
            spread,
            f"half-light radii are off the catalogue's by {spread.value:.3f} dex (r.m.s.)",
        ),
        ("max_roughness", rough, f"small-scale structure is {rough.value:.2f} of that of pure noise"),
    )
    for name, interval, told in checks:
        limit = limits.get(P4, name)
        if interval.above(limit.value):
            return failed(limit, told, measured).measured(interval)
    low, high = measured["hlr_limits_arcsec"]
    bad = {
        f"a radius outside the filter of {low:g} to {high:g} arcsec": measured["outside_filter"],
        f"a S/N below the limit of {measured['min_snr']:g}": measured["below_snr"],
        "the pixels of another": len(measured["duplicate_pixels"]),
        "the position of another": len(measured["duplicate_positions"]),
    }
    limit = limits.get(P4, "max_bad_templates")
    for told, count in bad.items():
        if count > limit.value:
            return failed(limit, f"{count} of {n} templates have {told}", measured, value=count, n=n)
    reason = (
        f"{n} galaxies: {off.value:.1%} of the light outside them, radii within {spread.value:.3f} dex "
        f"of the catalogue's, {negative.value:.1%} negative light, structure {rough.value:.2f} of noise's"
    )
    return passed(limits.get(P4, "max_off_source_flux"), reason, measured).measured(off)


def _measure_template(each: dict[str, Any], template: FloatArray, name: str, frame: BoolArray) -> None:
    """Add one template's numbers."""
    total = float(np.abs(template).sum())
    if not (template.sum() > 0.0 and np.isfinite(total)):
        for values in each.values():
            values.append(float("nan"))
        return
    each["hlr_px"].append(half_light_radius_px(template, centroid_px(template, template != 0.0)))
    each["off_source"].append(float(np.abs(template[~_own_light(template, frame)]).sum()) / total)
    each["negative"].append(float(-template[template < 0.0].sum()) / total)
    each["roughness"].append(_roughness(template) / _roughness(_shuffled(template, name)))


def _own_light(template: FloatArray, frame: BoolArray) -> BoolArray:
    """Return the pixels of the object nearest to the centre, found on the template alone, and a rim."""
    smooth = ndimage.gaussian_filter(template, _SMOOTHING_PX)
    level = float(np.median(smooth[frame]))
    scatter = 1.4826 * float(np.median(np.abs(smooth[frame] - level)))
    labels, count = ndimage.label(smooth > level + _DETECTION_SIGMA * scatter, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros(template.shape, dtype=bool)
    nearest = int(np.argmin(np.where(labels > 0, _radius_px(template.shape), np.inf)))
    own = labels == labels.flat[nearest]
    return np.asarray(ndimage.distance_transform_edt(~own) <= _RIM_PX)


def _roughness(image: FloatArray) -> float:
    """Return sum |I - I smoothed by one pixel| / sum |I|."""
    total = float(np.abs(image).sum())
    return float(np.abs(image - ndimage.gaussian_filter(image, 1.0)).sum()) / total if total else float("nan")


def _shuffled(template: FloatArray, name: str) -> FloatArray:
    """Return noise with a template's support and histogram, as correlated as a template's noise is."""
    support = template != 0.0
    values = template[support]
    noise = np.zeros_like(template)
    noise[support] = generator(0, "gate_p4_shuffle", name).permutation(values - values.mean())
    smooth = ndimage.gaussian_filter(noise, _NOISE_CORRELATION_PX)
    return np.where(support, smooth, 0.0)


def _growth(template: FloatArray) -> FloatArray:
    """Return the share of light inside circles about the centre of the box."""
    radius = _radius_px(template.shape).ravel()
    counted = np.bincount(
        np.minimum(np.ceil(radius), len(_GROWTH_PX) - 1).astype(np.int64),
        weights=template.ravel(),
        minlength=len(_GROWTH_PX),
    )
    return np.asarray(np.cumsum(counted), dtype=np.float64)


def _radius_px(shape: tuple[int, ...]) -> FloatArray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(x - (shape[1] - 1) / 2.0, y - (shape[0] - 1) / 2.0), dtype=np.float64)
