"""B4: does a ring that is no lens, or light without an arc's shape, fool the model.

The predecessor's model called any galaxy a lens (p = 1.0) to which a faint wide
ring of radius 15 px was added. A ring at the radius of the experiment's own
lenses is another matter: light around a galaxy at theta_E is what an Einstein
ring is, and a good finder should say so. The response is therefore measured at
every radius, and judged where no lens of the experiment puts its light: more
than half a PSF beyond the largest Einstein radius. The other judged light is an
arc whose Fourier phases are those of noise: the flux, the colour and the power
spectrum of the arc, and nothing of its shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.behaviour.scored import FloatArray, Images, Score
from darkhaloscope.gates.behaviour.trial import DETECTED, Trial, starved
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.statistics.robust import median_and_sigma
from darkhaloscope.streams import generator

RADII_PX = (5.0, 10.0, 15.0, 20.0)
AMPLITUDES_SIGMA = {"arc": (1.0, 2.0, 5.0), "host": (5.0,)}
"""Height of the ring in r over the sky noise of one pixel, by colour; the predecessor's 0.01 nMgy is 2."""

RING_WIDTH = 20.0
"""Twice the variance of the ring's profile. Unit: px^2."""


def measure_rings(
    trial: Trial, score: Score, *, pixel_scale_arcsec: float, seed: int, panel: int
) -> Measured:
    """Score bare hosts with rings of several radii, heights and colours, and with shuffled arcs (B4).

    Parameters
    ----------
    trial : Trial
        Positives and their hosts; the hosts are the controls.
    score : callable
        The model.
    pixel_scale_arcsec : float
        Side of a pixel.
    seed : int
        Key of the shuffled phases.
    panel : int
        Hosts.

    Returns
    -------
    dict
        ``cells``: radius, height, colour, ``judged``, ``mean_p`` and the
        ``share`` above 0.5; ``shuffled`` likewise.
    """
    few = trial.where(np.arange(trial.rows.num_rows) < panel)
    measured: Measured = {"galaxies": int(np.unique(few.galaxies).size), "cells": []}
    if few.rows.num_rows < 2:
        return measured
    theta_e, fwhm = (floats(trial.rows[name]).max() for name in ("theta_e_arcsec", "psf_fwhm_r_arcsec"))
    reach_px = (theta_e + 0.5 * fwhm) / pixel_scale_arcsec
    judged = [bool(radius > reach_px) for radius in RADII_PX]
    colours = ring_colours(few)
    heights = [(name, sigmas) for name, several in AMPLITUDES_SIGMA.items() for sigmas in several]
    confidence = simultaneous(1 + sum(judged) * len(heights))
    for radius, counts in zip(RADII_PX, judged, strict=True):
        for name, sigmas in heights:
            p = score(with_ring(few.bare, few, radius, sigmas, colours[name]), few.rows)
            cell = {"radius_px": radius, "sigmas": sigmas, "colour": name, "judged": counts}
            measured["cells"].append({**cell, **_answer(p, few, confidence)})
    shuffled = few.bare + shuffled_arcs(few.image - few.bare, few.rows["task_id"].to_pylist(), seed)
    measured["shuffled"] = _answer(score(shuffled, few.rows), few, confidence)
    measured["bare"] = _answer(score(few.bare, few.rows), few, confidence)
    measured["lens_reach_px"] = float(reach_px)
    measured["examples"] = _examples(few, shuffled, colours["arc"])
    return measured


def judge_rings(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when hosts with light that no lens makes are called lenses (B4)."""
    short = starved(measured, limits)
    if short is not None:
        return short
    limit = limits.get("B4", "max_share")
    asked = [
        (Interval(**measured["shuffled"]["share"]), "arcs of shuffled phases"),
        *(
            (
                Interval(**cell["share"]),
                f"rings of {cell['radius_px']:g} px and {cell['sigmas']:g} sigma, {cell['colour']} coloured",
            )
            for cell in measured["cells"]
            if cell["judged"]
        ),
    ]
    if len(asked) == 1:
        reason = f"no ring lies beyond the lenses, which reach {measured['lens_reach_px']:.1f} px"
        return failed(limit, reason, measured, n=measured["galaxies"])
    share, what = max(asked, key=lambda item: (item[0].lower, item[0].value))
    reason = f"share {share} of hosts with {what} scores above 0.5"
    return (failed if share.above(limit.value) else passed)(limit, reason, measured).measured(share)


def ring_colours(trial: Trial) -> dict[str, FloatArray]:
    """Return fluxes over r of the median arc, shape (bands,), and of each host, shape (n, bands)."""
    arc = np.stack([floats(trial.rows[name]) for name in per_band("arc_flux_{b}_nmgy")], axis=1)
    magnitude = np.stack([floats(trial.rows[name]) for name in per_band("host_mag_{b}")], axis=1)
    r = BANDS.index("r")
    return {
        "arc": np.median(arc / np.maximum(arc[:, r : r + 1], 1e-30), axis=0),
        "host": np.power(10.0, -0.4 * (magnitude - magnitude[:, r : r + 1])),
    }


def with_ring(images: Images, trial: Trial, radius_px: float, sigmas: float, colour: FloatArray) -> Images:
    """Return stamps with exp(-(rho - radius)^2 / 20) around each host.

    Parameters
    ----------
    images : ndarray, shape (n, bands, size, size)
        Stamps. Unit: nMgy/px.
    trial : Trial
        Where the hosts are.
    radius_px : float
        Radius of the crest.
    sigmas : float
        Height in r over the sky noise of the stamp.
    colour : ndarray, shape (bands,) or (n, bands)
        Height of each band over r.
    """
    size = images.shape[-1]
    _, sigma = median_and_sigma(images, outer_pixels(size))
    geometry = StampGeometry(size, 1.0)
    x, y = floats(trial.rows["x_offset_px"]), floats(trial.rows["y_offset_px"])
    rho = np.stack([geometry.radius_px(*centre) for centre in zip(x, y, strict=True)])
    ring = np.exp(-((rho - radius_px) ** 2) / RING_WIDTH)
    height = sigmas * sigma[:, BANDS.index("r"), None] * np.broadcast_to(colour, sigma.shape)
    return np.asarray(images + height[:, :, None, None] * ring[:, None], dtype=np.float32)


def shuffled_arcs(arcs: Images, task_ids: list[str], seed: int) -> Images:
    """Return images of the same flux and power spectrum with the phases of white noise.

    All bands take the same phases, so the colour of every mode stays.
    """
    size = arcs.shape[-1]
    out = np.empty_like(arcs)
    for i, task in enumerate(task_ids):
        noise = generator(seed, "phase_shuffle", task).standard_normal((size, size))
        phase = np.angle(np.fft.rfft2(noise))
        modes = np.fft.rfft2(arcs[i].astype(np.float64))
        turned = np.abs(modes) * np.exp(1j * phase)
        turned[:, 0, 0] = modes[:, 0, 0]
        out[i] = np.fft.irfft2(turned, s=(size, size))
    return out


def _examples(few: Trial, shuffled: Images, colour: FloatArray) -> Measured:
    """Return the r band of the first host in four forms, over its sky noise, for the figure."""
    one = few.where(np.arange(few.rows.num_rows) < 1)
    shown = {
        "bare host": one.bare,
        "its arc": one.image,
        "2 sigma at 15 px": with_ring(one.bare, one, 15.0, 2.0, colour),
        "shuffled arc": shuffled[:1],
    }
    median, sigma = median_and_sigma(one.bare, outer_pixels(one.bare.shape[-1]))
    r = BANDS.index("r")
    return {
        name: np.round((image[0, r] - median[0, r]) / sigma[0, r], 2).tolist()
        for name, image in shown.items()
    }


def _answer(p: FloatArray, trial: Trial, confidence: float) -> Measured:
    hosts: NDArray[np.intp] = np.unique(trial.galaxies, return_index=True)[1]
    above = int((p[hosts] > DETECTED).sum())
    return {"mean_p": float(p.mean()), "share": clopper_pearson(above, hosts.size, confidence).to_dict()}
