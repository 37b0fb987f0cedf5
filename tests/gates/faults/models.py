"""Models that are right, or wrong on purpose, for the behaviour gates.

The sound one knows the arc of every positive of the test world and says how
much of it a stamp holds; the others are it with one thing wrong, or read one
thing only. All are functions of stamps and rows, as a checkpoint's score is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gate_world
import numpy as np
import pyarrow as pa
from gate_world import GateWorld, kinds, spec_of, values
from gates.faults.cases import ModelCase
from numpy.typing import NDArray
from scipy.special import expit

from darkhaloscope import tabular
from darkhaloscope.gates.behaviour.runs import Model
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.statistics.robust import median_and_sigma
from darkhaloscope.streams import normal

FloatArray = NDArray[np.float64]
Logit = Callable[[NDArray[np.float32], pa.Table], FloatArray]

RADIUS = StampGeometry(gate_world.SIZE_PX, 1.0).radius_px()


def sound_model(good: GateWorld, folder: Path) -> ModelCase:
    """A model that measures the arc of each row, in units of that row's own noise."""
    return ModelCase(
        good,
        Model(
            score=sees_arcs(good.table),
            shards=good.shards,
            experiment=good.world.experiment,
            profile=gate_world.PROFILE,
            hosts_paths=good.world.paths("hosts"),
            folder=folder,
            preprocess=spec_of(good.world.experiment),
        ),
    )


@dataclass(frozen=True)
class ArcOf:
    """How much of its own arc each stamp holds: 1 as injected, 0 without.

    Parameters
    ----------
    template : dict of str to ndarray
        Arc by task id, less its azimuthal mean, so that neither a host nor a
        ring answers; empty inside the radius that holds a tenth of its light.
    response : dict of str to tuple of float
        What the bare host and the stamp as injected give, over their sky noise.
    turned : bool
        Whether all orientations and shifts by a pixel are tried.
    """

    template: dict[str, FloatArray]
    response: dict[str, tuple[float, float]]
    turned: bool = True

    def __call__(self, images: NDArray[np.float32], rows: pa.Table) -> FloatArray:
        found = np.zeros(len(images))
        for i, task in enumerate(rows["task_id"].to_pylist()):
            if task in self.template:
                without, with_arc = self.response[task]
                seen = self.answer(images[i], self.template[task])
                found[i] = (seen - without) / max(with_arc - without, 0.1 * with_arc)
        return found

    def answer(self, image: NDArray[np.float32], template: FloatArray) -> float:
        """Return the largest overlap of a stamp's r band with a template, over its noise."""
        _, sigma = median_and_sigma(image[None], outer_pixels(image.shape[-1]))
        views = self._views(image[1].astype(np.float64))
        return float(max((view * template).sum() for view in views) / sigma[0, 1])

    def _views(self, image: FloatArray) -> list[FloatArray]:
        if not self.turned:
            return [image]
        faces = [np.rot90(side, k) for side in (image, image[:, ::-1]) for k in range(4)]
        return [_centred(face) for face in faces]


def _centred(image: FloatArray) -> FloatArray:
    """Return the image moved by whole pixels so that its galaxy is in the middle."""
    light = np.where(RADIUS < 6.0, np.maximum(image - np.median(image), 0.0), 0.0)
    axis = np.arange(len(image)) - (len(image) - 1) / 2
    y, x = (float((light * side).sum() / light.sum()) for side in (axis[:, None], axis[None, :]))
    return np.roll(image, (-round(y), -round(x)), axis=(0, 1))


def arcs_of(table: pa.Table, *, turned: bool = True) -> ArcOf:
    """Take the arcs of a table from its positives and the paired controls of the same hosts."""
    image, of, host, task = (
        tabular.pixels(table, "image"),
        kinds(table),
        values(table, "host_id"),
        values(table, "task_id"),
    )
    bare = {h: image[i] for i, h in enumerate(host) if of[i] == "paired"}
    arcs = ArcOf({}, {}, turned)
    ring = np.floor(RADIUS).astype(int)
    for row in np.flatnonzero(of == "positive"):
        control = bare[host[row]]
        arc = (image[row, 1] - control[1]).astype(np.float64)
        light = np.bincount(ring.ravel(), weights=np.maximum(arc, 0.0).ravel())
        begins = int((np.cumsum(light) <= 0.1 * light.sum()).sum())
        mean = np.bincount(ring.ravel(), weights=arc.ravel()) / np.bincount(ring.ravel())
        lumpy = np.where(ring >= begins, arc - mean[ring], 0.0)
        arcs.template[task[row]] = lumpy
        arcs.response[task[row]] = (arcs.answer(control, lumpy), arcs.answer(image[row], lumpy))
    return arcs


def galaxy_logit(rows: pa.Table) -> FloatArray:
    """What a model thinks of a galaxy before it looks for an arc: low, and different for each."""
    return -4.5 + 0.8 * normal(1, "galaxy_logit", rows["task_id"].to_pylist())


def sees_arcs(table: pa.Table, *, turned: bool = True) -> Callable[..., FloatArray]:
    """The sound model."""
    arc = arcs_of(table, turned=turned)

    def score(images: NDArray[np.float32], rows: pa.Table) -> FloatArray:
        # less than a fifth of an arc is within what noise and a shift make of none
        return expit(galaxy_logit(rows) + 10.0 * np.clip(arc(images, rows) - 0.2, 0.0, 3.0))

    return score


def over_noise(images: NDArray[np.float32]) -> FloatArray:
    """Stamps less their sky, over their noise."""
    median, sigma = median_and_sigma(images, outer_pixels(images.shape[-1]))
    return (images - median[:, :, None, None]) / sigma[:, :, None, None].astype(np.float64)


def core_light(images: NDArray[np.float32]) -> FloatArray:
    """Mean r band within 4 px, over the noise."""
    return over_noise(images)[:, 1][:, RADIUS < 4.0].mean(axis=1)


def levelled_core(images: NDArray[np.float32]) -> FloatArray:
    """Light within 2 px over that of 2 to 4 px: 1 for a flat centre, more for a galaxy."""
    seen = over_noise(images)[:, 1]
    return seen[:, RADIUS < 2.0].mean(axis=1) / seen[:, (RADIUS >= 2.0) & (RADIUS < 4.0)].mean(axis=1)


def ring_contrast(images: NDArray[np.float32]) -> FloatArray:
    """How far g at 15 px stands above its surroundings, over the noise of one pixel."""
    seen = over_noise(images)[:, 0]
    inside, beside = (RADIUS > 13.0) & (RADIUS < 17.0), (RADIUS > 22.0) & (RADIUS < 30.0)
    return seen[:, inside].mean(axis=1) - seen[:, beside].mean(axis=1)


def blue_light(images: NDArray[np.float32]) -> FloatArray:
    """g - r of the light within 8 px, in magnitudes."""
    g, r = (images[:, b][:, RADIUS < 8.0].sum(axis=1) for b in (0, 1))
    return -2.5 * np.log10(np.maximum(g, 1e-3) / np.maximum(r, 1e-3))
