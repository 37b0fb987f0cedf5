"""P2: is the arc where the lens puts it, and as sharp as the seeing leaves it.

Arcs are held against lenstronomy's image of the same row: mean radius about the
deflector, centroid, and sharpness. An impulse through the renderer that the
experiment names shows whether the PSF itself moves light. How bright the arc is
is P1's question: none of these measures feels a factor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.physics.arcs import Arcs, pixel_axes, sigma_of
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.renderers import Renderer
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.statistics.intervals import normal_quantile
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

P2 = "P2"

RATIO_SPAN = (0.85, 1.15)
"""What the histograms of ratios cover; what lies beyond is in the outermost bins."""

IMPULSE_FWHM_ARCSEC = (0.9, 1.35, 2.0)
_IMPULSE_PX = ((0.0, 0.0), (0.31, -0.42), (-0.5, 0.17))
_IMPULSE_TEMPLATE = 32
_IMPULSE_SCALE_ARCSEC = 0.03
_IMPULSE_WIDTH = 3.0
"""A blob of 0.2 arcsec, round and far below any seeing: rays meet it, and its centroid is known."""

_NOISE_SIGMAS = 3.0
_CENTROID_PX = 0.03
"""To this two renderers agree on a centroid; arcs of less photon noise count no more than others."""

_BOOTSTRAP = 300
_BINS = 40
_SECTORS = 24
_STACK_EDGES_ARCSEC = (1.2, 1.8)


def measure_position(
    arcs: Arcs, renderer: Renderer, *, pixel_scale_arcsec: float, seed: int, limits: Thresholds
) -> Measured:
    """Compare where the light is with where the oracle has it (P2).

    Parameters
    ----------
    arcs : Arcs
        Arcs and their oracle images.
    renderer : Renderer
        The experiment's own, for the impulse.
    pixel_scale_arcsec : float
        Of the stamps.
    seed : int
        Of the bootstrap.
    limits : Thresholds
        Row limits.

    Returns
    -------
    dict
        ``rows``; ``unlit`` (arcs without light); by band ``radius`` and ``sharpness``
        (medians of stamp over oracle), ``shift_px`` (weighted mean of the centroid minus
        the oracle's, x and y) with simultaneous intervals; ``off``, rows off by more
        than the row limits beyond their photon noise, by measure; ``rayleigh``;
        ``impulse``; histograms and mean images for the figure.
    """
    size = arcs.light.shape[-1]
    x, y = pixel_axes(size, arcs.centre_px)
    flux, expected = arcs.light.sum(axis=(2, 3)), arcs.oracle.sum(axis=(2, 3))
    lit = (flux > 0.0).all(axis=1) & (expected > 0.0).all(axis=1)
    measured: Measured = {
        "rows": int(lit.sum()),
        "unlit": int((~lit).sum()),
        "impulse": measure_impulse(renderer, size, pixel_scale_arcsec),
    }
    if not lit.any():
        return measured
    light, oracle, variance = arcs.light[lit], arcs.oracle[lit], arcs.variance[lit]
    x, y, flux, expected = x[lit], y[lit], flux[lit], expected[lit]
    errors = _errors(light, oracle, variance, x, y, flux, expected)
    allowed = {name: limits.value(P2, f"max_row_{name}") for name in ("radius", "shift_px", "sharpness")}
    measured["off"] = {
        name: int((value > allowed[name] + _NOISE_SIGMAS * sigma).any(axis=1).sum())
        for name, (value, sigma) in errors["magnitudes"].items()
    }
    picks = generator(seed, "arc_position", str(len(light))).integers(0, len(light), (_BOOTSTRAP, len(light)))
    coverage = simultaneous(len(BANDS) * 4)
    for name, statistic in (("radius", np.median), ("sharpness", np.median)):
        ratio = 1.0 + errors[name]
        measured[name] = {
            band: _interval(statistic, ratio[:, b], picks, coverage).to_dict() for b, band in enumerate(BANDS)
        }
        measured.setdefault("histogram", {})[name] = {
            band: np.histogram(np.clip(ratio[:, b], *RATIO_SPAN), _BINS, RATIO_SPAN)[0].tolist()
            for b, band in enumerate(BANDS)
        }
    measured["shift_px"] = {}
    for axis in ("x", "y"):
        weight = 1.0 / (errors[f"sigma_{axis}"] ** 2 + _CENTROID_PX**2)
        for b, band in enumerate(BANDS):
            shift = _interval(
                _weighted, np.stack([errors[f"d{axis}"][:, b], weight[:, b]], axis=1), picks, coverage
            )
            measured["shift_px"][f"{band} {axis}"] = shift.to_dict()
    r = BANDS.index("r")
    azimuth = np.arctan2(errors["y"][:, r], errors["x"][:, r])
    measured["rayleigh"] = {"p": rayleigh_p(azimuth), "rows": len(azimuth)}
    measured["azimuth"] = np.histogram(azimuth, _SECTORS, (-np.pi, np.pi))[0].tolist()
    measured["stacks"] = _stacks(light[:, r], oracle[:, r], arcs.column("theta_e_arcsec")[lit])
    return measured


def judge_position(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when arcs lie elsewhere, are less or more sharp, or prefer a direction (P2)."""
    n, least = measured["rows"], limits.get(P2, "min_rows")
    if n < least.value:
        return failed(least, f"{n} arcs with light to compare; {least.value:g} needed", measured, n=n)
    limit = limits.get(P2, "max_impulse_px")
    worst = max(measured["impulse"], key=lambda entry: entry["off_px"])
    if not worst["off_px"] <= limit.value:
        reason = (
            f"the renderer moves an impulse by {worst['off_px']:.2f} px"
            f" (stamp of {worst['size_px']} px, seeing {worst['fwhm_arcsec']:g} arcsec)"
        )
        return failed(limit, reason, measured, value=worst["off_px"], n=len(measured["impulse"]))
    limit = limits.get(P2, "max_shift_px")
    for name, raw in measured["shift_px"].items():
        shift = Interval(**raw)
        if shift.magnitude().above(limit.value):
            band, axis = name.split()
            reason = f"arcs are shifted by {shift.value:+.2f} px along {axis} in {band}, off lenstronomy's"
            return failed(limit, reason, measured).measured(shift)
    for name, told in (
        ("radius", "mean radius about the deflector"),
        ("sharpness", "sharpness"),
    ):
        limit = limits.get(P2, f"max_{name}_error")
        for band, raw in measured[name].items():
            ratio = Interval(**raw)
            if ratio.below(1.0 - limit.value) or ratio.above(1.0 + limit.value):
                reason = f"{told} of the arcs in {band} is {ratio.value:.3f} of lenstronomy's in the median"
                return failed(limit, reason, measured).measured(ratio)
    share = limits.get(P2, "max_row_share")
    name, k = max(measured["off"].items(), key=lambda item: item[1])
    off = clopper_pearson(k, n)
    if off.above(share.value):
        words = {
            "radius": "too wide or too narrow",
            "shift_px": "in another place",
            "sharpness": "of another sharpness",
        }
        return failed(share, f"{k} of {n} arcs are {words[name]} than lenstronomy's", measured).measured(off)
    floor = limits.get(P2, "min_rayleigh_p")
    p = measured["rayleigh"]["p"]
    if not p >= floor.value:
        reason = f"arcs prefer a direction about their deflector: Rayleigh p = {p:.1e} over {n} arcs"
        return failed(floor, reason, measured, value=p, n=n)
    ratio = max((Interval(**raw) for raw in measured["radius"].values()), key=lambda i: abs(i.value - 1.0))
    reason = (
        f"radius {ratio.value:.4f} of lenstronomy's over {n} arcs, impulse within {worst['off_px']:.3f} px,"
        f" no preferred direction (p = {p:.2f})"
    )
    return passed(limits.get(P2, "max_radius_error"), reason, measured).measured(ratio)


def measure_impulse(renderer: Renderer, size_px: int, pixel_scale_arcsec: float) -> list[Measured]:
    """Send a point of light through a renderer, on stamps of odd and of even side.

    Parameters
    ----------
    renderer : Renderer
        As the experiment uses it.
    size_px : int
        Side of the stamps; one more is tried as well.
    pixel_scale_arcsec : float
        Of the stamps.

    Returns
    -------
    list of dict
        ``size_px``, ``fwhm_arcsec``, ``x_px``, ``y_px`` (centroid minus place) and
        ``off_px``, its length, for each seeing and place.
    """
    axis = np.arange(_IMPULSE_TEMPLATE) - (_IMPULSE_TEMPLATE - 1) / 2.0
    blob = np.exp(-0.5 * (axis[None, :] ** 2 + axis[:, None] ** 2) / _IMPULSE_WIDTH**2)
    places = np.array(_IMPULSE_PX)
    n = len(places)
    found: list[Measured] = []
    for size in (size_px, size_px + 1):
        image = renderer.unlensed(
            np.repeat((blob / blob.sum())[None].astype(np.float32), n, axis=0),
            template_scale_arcsec=_IMPULSE_SCALE_ARCSEC,
            size_px=size,
            pixel_scale_arcsec=pixel_scale_arcsec,
            x_arcsec=places[:, 0] * pixel_scale_arcsec,
            y_arcsec=places[:, 1] * pixel_scale_arcsec,
            rotation_rad=np.zeros(n),
            flip=np.zeros(n, dtype=bool),
            psf_fwhm_arcsec=np.tile(IMPULSE_FWHM_ARCSEC, (n, 1)),
            flux_nmgy=np.ones((n, len(IMPULSE_FWHM_ARCSEC))),
        ).image.astype(np.float64)
        x, y = pixel_axes(size, places)
        total = image.sum(axis=(2, 3))
        off = np.stack([(image * x).sum(axis=(2, 3)), (image * y).sum(axis=(2, 3))]) / total
        for i in range(n):
            for b, fwhm in enumerate(IMPULSE_FWHM_ARCSEC):
                dx, dy = (float(value) for value in off[:, i, b])
                found.append(
                    {
                        "size_px": size,
                        "fwhm_arcsec": fwhm,
                        "x_px": dx,
                        "y_px": dy,
                        "off_px": float(np.hypot(dx, dy)),
                    }
                )
    return found


def rayleigh_p(angle_rad: FloatArray) -> float:
    """Return the probability of directions as concentrated as these, if none is preferred.

    Rayleigh's test with the approximation of Zar (1999), Biostatistical Analysis, eq. 27.4.
    """
    n = len(angle_rad)
    resultant = float(np.hypot(np.cos(angle_rad).sum(), np.sin(angle_rad).sum()))
    return float(np.exp(np.sqrt(1.0 + 4.0 * n + 4.0 * (n**2 - resultant**2)) - (1.0 + 2.0 * n)))


def _errors(
    light: FloatArray,
    oracle: FloatArray,
    variance: FloatArray,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    expected: FloatArray,
) -> dict[str, Any]:
    """Return errors per row and band, and their magnitudes beside the noise of each."""

    def mean(weight: FloatArray, image: FloatArray, total: FloatArray) -> FloatArray:
        return np.asarray((weight * image).sum(axis=(2, 3)) / total)

    def spread(weight: FloatArray) -> FloatArray:
        return sigma_of(weight / expected[:, :, None, None], variance)

    found: dict[str, Any] = {}
    r = np.hypot(x, y)
    radius = mean(r, oracle, expected)
    found["radius"] = mean(r, light, flux) / radius - 1.0
    for name, axis in (("x", x), ("y", y)):
        centroid = mean(axis, oracle, expected)
        found[name] = mean(axis, light, flux)
        found[f"d{name}"] = found[name] - centroid
        found[f"sigma_{name}"] = spread(axis - centroid[:, :, None, None])
    # amplitude of the oracle's image in the light, over the ratio of the fluxes
    norm = (oracle**2).sum(axis=(2, 3))
    found["sharpness"] = (light * oracle).sum(axis=(2, 3)) / norm * (expected / flux) - 1.0
    excess = oracle / norm[:, :, None, None] * expected[:, :, None, None] - 1.0
    found["magnitudes"] = {
        "radius": (np.abs(found["radius"]), spread(r - radius[:, :, None, None]) / radius),
        "shift_px": (np.hypot(found["dx"], found["dy"]), np.hypot(found["sigma_x"], found["sigma_y"])),
        "sharpness": (np.abs(found["sharpness"]), spread(excess)),
    }
    return found


def _interval(statistic: Any, values: FloatArray, picks: NDArray[Any], coverage: float) -> Interval:
    """Return a statistic of rows with a normal interval of bootstrap width."""
    value = float(statistic(values))
    half = normal_quantile(coverage) * float(np.std([statistic(values[pick]) for pick in picks]))
    return Interval(value, value - half, value + half, len(values))


def _weighted(values: FloatArray) -> float:
    """Return the mean of the first column weighted with the second."""
    return float(np.average(values[:, 0], weights=values[:, 1]))


def _stacks(light: FloatArray, oracle: FloatArray, theta_e_arcsec: FloatArray) -> list[Measured]:
    """Return mean images, each arc scaled to unit flux, in bins of the Einstein radius."""
    size = light.shape[-1]
    inner = slice(size // 4, size - size // 4)
    bins = np.searchsorted(_STACK_EDGES_ARCSEC, theta_e_arcsec)
    stacks = []
    for i in range(len(_STACK_EDGES_ARCSEC) + 1):
        chosen = np.flatnonzero(bins == i)
        if not chosen.size:
            continue
        images = {}
        for name, of in (("stamps", light), ("oracle", oracle)):
            scaled = of[chosen] / oracle[chosen].sum(axis=(1, 2), keepdims=True)
            images[name] = np.round(1e4 * scaled.mean(axis=0)[inner, inner], 3).tolist()
        stacks.append(
            {
                "theta_e_arcsec": round(float(np.mean(theta_e_arcsec[chosen])), 3),
                "rows": int(chosen.size),
                **images,
            }
        )
    return stacks
