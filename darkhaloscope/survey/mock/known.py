"""The known objects of the mock: lenses, look-alikes, and rows a check must refuse.

Which object lies where, what it looks like, and what the survey's catalogue
says of it. The order of objects and the slots they take do not depend on how
bricks are shared among processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.survey.mock import morphology
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, MockBrick
from darkhaloscope.survey.mock.lenses import LENS_STAMP_PX, LensModel, draw_lens, lensed_components
from darkhaloscope.survey.mock.population import (
    SOURCE_DTYPE,
    Sources,
    draw_shapes,
    index_ids,
    nmgy,
)
from darkhaloscope.survey.mock.profiles import OVERSAMPLING

FloatArray = NDArray[np.float64]

LOOKALIKES = ("ring", "spiral", "merger", "edge-on")
IMAGING, SPECTROSCOPIC = "imaging", "spectroscopic"

LENS_R_QUANTILES_MAG = {
    IMAGING: ((0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0), (17.4, 17.9, 18.62, 19.62, 20.34, 20.91, 21.3)),
    SPECTROSCOPIC: ((0.0, 0.5, 1.0), (17.0, 18.3, 19.5)),
}
"""Quantiles of a deflector's r magnitude.

Imaging: 1,615 lenses found in Legacy Surveys images (Stein et al. 2022, ApJ
932, 107), with the brightest and faintest hundredth cut. Parents of
spectroscopic searches are brighter than r = 19.5.
"""

LENS_COLOUR_R_MAG = (17.0, 18.5, 19.5, 20.5, 21.5)
LENS_G_R_MAG = ((1.58, 1.71, 1.63, 1.55, 1.70), 0.18)
LENS_R_Z_MAG = ((0.86, 0.97, 1.19, 1.35, 1.69), 0.15)
"""Median colours of the same lenses at these r magnitudes, and the scatter of uncontaminated ones."""

ARC_SNR_R = {IMAGING: (12.0, 90.0), SPECTROSCOPIC: (3.0, 20.0)}
"""Range of the footprint S/N of the arc in r, drawn uniformly in the logarithm."""

FOOTPRINT_FRACTION = 0.1
"""The footprint of an arc is where it exceeds this share of its peak."""

_OVERSAMPLED = 2


@dataclass(frozen=True)
class KnownObject:
    """One known object.

    Parameters
    ----------
    identity : str
        For example ``"lens-007"``; the key of its draws.
    kind : str
        ``lens``, a look-alike class, ``quasar`` or ``cluster``.
    brickid : int
        Brick.
    slot : int
        Place in the brick.
    discovery : str
        How a survey would have found it.
    """

    identity: str
    kind: str
    brickid: int
    slot: int
    discovery: str


@dataclass
class Drawn:
    """Light added to a stack beside the profiles, and what is known of it.

    Parameters
    ----------
    cells_nmgy : ndarray, shape (3, 2 size, 2 size)
        Flux per half-pixel cell in g, r, z, before the PSF.
    snr_r : float or None
        Footprint S/N in r that the light shall have; None keeps its flux.
    truth : dict
        Parameters.
    """

    cells_nmgy: FloatArray
    snr_r: float | None = None
    truth: dict[str, Any] = field(default_factory=dict)


def plan_objects(config: MockSkyConfig, bricks: list[MockBrick]) -> list[KnownObject]:
    """Spread the known objects over the complete bricks, each class over all of them."""
    usable = [brick.brickid for brick in bricks if brick.kind == "ok"]
    wanted = [
        (f"lens-{i:03d}", "lens", SPECTROSCOPIC if i % 3 == 2 else IMAGING) for i in range(config.n_lenses)
    ]
    for kind in LOOKALIKES:
        wanted += [(f"{kind}-{i:03d}", kind, IMAGING) for i in range(config.n_lookalikes)]
    if config.n_lenses:
        wanted += [("quasar-000", "quasar", IMAGING), ("cluster-000", "cluster", IMAGING)]
    taken = dict.fromkeys(usable, 0)
    objects = []
    for i, (identity, kind, discovery) in enumerate(wanted):
        brickid = usable[i % len(usable)]
        objects.append(KnownObject(identity, kind, brickid, taken[brickid], discovery))
        taken[brickid] += 1
    return objects


def catalogue_source(config: MockSkyConfig, known: KnownObject, place: FloatArray) -> Sources:
    """Return the galaxy at a known object as the survey's catalogue lists it, one row."""
    rng = streams.generator(config.seed, "mock/known", known.identity)
    row = np.zeros(1, dtype=SOURCE_DTYPE)
    row["ra"], row["dec"] = place
    row["kind"] = known.kind
    if known.kind in LOOKALIKES:
        z = float(np.clip(rng.normal(18.6, 0.6), 17.3, 19.9))
        gr, rz = rng.normal(0.95, 0.12), rng.normal(0.62, 0.06)
        row["type"] = {"ring": "SER", "spiral": "SER", "merger": "DEV", "edge-on": "EXP"}[known.kind]
        mag = np.array([z + rz + gr, z + rz, z])
        row["flux"], row["flux_w1"] = nmgy(mag), nmgy(np.array(z - rng.uniform(0.9, 1.2)))
        low, high = {"ring": (1.9, 3.4), "spiral": (2.2, 3.6), "merger": (0.8, 1.7), "edge-on": (1.8, 3.2)}[
            known.kind
        ]
        row["radius"] = rng.uniform(low, high)
        row["q"] = rng.uniform(0.10, 0.16) if known.kind == "edge-on" else rng.uniform(0.75, 1.0)
        row["angle"] = rng.uniform(0.0, np.pi)
        row["index_id"] = index_ids(np.array([1.0]))
        return row
    fixed = {"cluster": 18.4, "quasar": 20.4}
    r = fixed.get(known.kind) or float(np.interp(rng.uniform(), *LENS_R_QUANTILES_MAG[known.discovery]))
    gr, rz = (
        float(np.interp(r, LENS_COLOUR_R_MAG, median) + scatter * rng.standard_normal())
        for median, scatter in (LENS_G_R_MAG, LENS_R_Z_MAG)
    )
    z = r - max(rz, 0.6)
    kinds = np.array(["DEV" if rng.uniform() < 0.3 else "SER"])
    mag = np.array([[r + gr], [r], [z], [z - rng.uniform(0.9, 1.4)]])
    row["type"] = "PSF" if known.kind == "quasar" else kinds
    row["flux"], row["flux_w1"] = nmgy(mag[:3]).T, nmgy(mag[3])
    for name, values in draw_shapes(rng, kinds, mag[2]).items():
        row[name] = values
    return row


def drawn_light(config: MockSkyConfig, known: KnownObject, source: Sources) -> Drawn | None:
    """Return what is drawn at a known object beside its catalogue profile, or None.

    Look-alikes are drawn as a whole: their catalogue profile is not rendered.
    """
    rng = streams.generator(config.seed, "mock/known/light", known.identity)
    if known.kind == "lens":
        return _lens_light(config, known, source, rng)
    if known.kind == "quasar":
        return _quasar_light(rng)
    if known.kind in LOOKALIKES:
        return _lookalike_light(known.kind, source, rng)
    return None


def _lens_light(
    config: MockSkyConfig, known: KnownObject, source: Sources, rng: np.random.Generator
) -> Drawn:
    r_mag = float(22.5 - 2.5 * np.log10(source["flux"][0, 1]))
    model: LensModel = draw_lens(
        config.seed,
        known.identity,
        spectroscopic=known.discovery == SPECTROSCOPIC,
        light_q=float(source["q"][0]),
        light_angle_rad=float(source["angle"][0]),
        light_r_mag=r_mag,
    )
    cells, magnification = lensed_components(model, rng)
    colours = (rng.normal(0.3, 0.2), rng.normal(0.3, 0.18))
    weights = _component_weights(rng, colours, shares=(0.12, 0.6, 0.28))
    low, high = ARC_SNR_R[known.discovery]
    if known.discovery == IMAGING:
        # An image shows an arc only where it stands out of its galaxy's own light.
        low *= 10.0 ** (0.25 * max(0.0, 19.5 - r_mag))
    snr = float(low * (high / low) ** rng.uniform())
    return Drawn(
        np.einsum("cb,cyx->byx", weights, cells),
        snr,
        {**model.as_dict(), "magnification": float(weights[:, 1] @ magnification)},
    )


def _quasar_light(rng: np.random.Generator) -> Drawn:
    """Return four images of a blue point source on an ellipse of 0.9 arcsec."""
    size = LENS_STAMP_PX * OVERSAMPLING
    cells = np.zeros((3, size, size))
    scale = PIXEL_SCALE_ARCSEC / OVERSAMPLING
    for azimuth, share in zip(
        rng.uniform(0, 0.5) + np.arange(4) * np.pi / 2, (0.4, 0.3, 0.2, 0.1), strict=True
    ):
        column = round((size - 1) / 2 + 0.9 * np.cos(azimuth) / scale)
        row = round((size - 1) / 2 + 0.8 * np.sin(azimuth) / scale)
        cells[:, row, column] += share * nmgy(np.array([19.3, 19.0, 18.8]))
    return Drawn(cells)


def _lookalike_light(kind: str, source: Sources, rng: np.random.Generator) -> Drawn:
    makers: dict[str, Callable[..., FloatArray]] = {
        "ring": morphology.ring,
        "spiral": morphology.spiral,
        "merger": morphology.merger,
        "edge-on": morphology.edge_on,
    }
    side = LENS_STAMP_PX * OVERSAMPLING * _OVERSAMPLED
    x, y = morphology.grid(side, PIXEL_SCALE_ARCSEC / (OVERSAMPLING * _OVERSAMPLED))
    fine = makers[kind](
        rng,
        x,
        y,
        radius_arcsec=float(source["radius"][0]),
        q=float(source["q"][0]),
        angle_rad=float(source["angle"][0]),
    )
    n = side // _OVERSAMPLED
    cells = fine.reshape(len(fine), n, _OVERSAMPLED, n, _OVERSAMPLED).sum(axis=(2, 4))
    shares = {
        "ring": (0.42, 0.08, 0.5),
        "spiral": (0.2, 0.55, 0.25),
        "merger": (0.65, 0.25, 0.1),
        "edge-on": (0.2, 0.65, 0.15),
    }[kind]
    weights = _component_weights(rng, (0.7, 0.5), shares=shares)
    image = np.einsum("cb,cyx->byx", weights, cells)
    flux = source["flux"][0]
    return Drawn(
        image * (flux / image.sum(axis=(1, 2)))[:, None, None],
        None,
        {"radius_arcsec": float(source["radius"][0])},
    )


def _component_weights(
    rng: np.random.Generator, colours: tuple[float, float], *, shares: tuple[float, float, float]
) -> FloatArray:
    """Return the flux of core, disc and clumps in g, r, z for a total of 1 in r, shape (3, 3).

    The core is redder than the disc and the clumps are bluer, as stellar ages are.
    """
    spread = np.array([[0.45, 0.25], [0.0, 0.0], [-0.3, -0.25]]) + rng.normal(0.0, 0.05, (3, 2))
    gr, rz = colours[0] + spread[:, 0], colours[1] + spread[:, 1]
    share = np.asarray(shares) * np.exp(rng.normal(0.0, 0.15, 3))
    share /= share.sum()
    return np.column_stack([share * 10.0 ** (-0.4 * gr), share, share * 10.0 ** (0.4 * rz)])
