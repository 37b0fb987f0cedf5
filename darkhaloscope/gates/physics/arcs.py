"""A sample of arcs in pixels: the stamp, its host, and what lenstronomy makes of the same row.

One oracle image per row serves every gate that holds the arcs against an
independent renderer. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.population import POSITIVE, floats
from darkhaloscope.gates.quality.storage import archived_images
from darkhaloscope.lensing.deviates import NEIGHBOUR_CORRELATION
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.noise import effective_gain, light_variance
from darkhaloscope.lensing.reference import oracle_images_nmgy
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.hostpixels import HostStamps, locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for
from darkhaloscope.stamps.scenes import LENS_COLUMNS
from darkhaloscope.streams import uniform
from darkhaloscope.survey.release import get_release
from darkhaloscope.tabular import pixels

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_SUPERSAMPLING = 3
_MARGIN_PX = 10
"""lenstronomy at 9 rays per pixel and 10 px of margin: S/N and flux to 0.2 %, 15 ms per row."""

_PIXELS = ["image", "invvar", "maskbits"]


class TaskReader(Protocol):
    """The part of ``stamps.shards.ShardSet`` that reads named tasks."""

    def load(self, task_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of the given tasks in that order."""
        ...


@dataclass(frozen=True)
class Arcs:
    """Arcs of n positives.

    Parameters
    ----------
    rows : ndarray of int, shape (n,)
        Their rows in the sample they were chosen from.
    table : pyarrow.Table
        The columns of that sample.
    light : ndarray, shape (n, 3, size, size)
        Stamp minus host, photon noise included. Unit: nMgy/px.
    invvar : ndarray of float32, shape (n, 3, size, size)
        Of the stamp. Unit: 1/nMgy^2.
    good : ndarray of bool, shape (n, 3, size, size)
        Pixels with data and without a bad mask bit.
    oracle : ndarray, shape (n, 3, size, size)
        Noiseless light by lenstronomy. Unit: nMgy/px.
    variance : ndarray, shape (n, 3, size, size)
        Photon variance of the light, by the oracle; 0 where the light carries none. Unit: nMgy^2.
    centre_px : ndarray, shape (n, 2)
        Deflector minus stamp centre, x and y.
    hosts : HostStamps
        Their hosts.
    """

    rows: NDArray[np.intp]
    table: pa.Table
    light: FloatArray
    invvar: NDArray[np.float32]
    good: BoolArray
    oracle: FloatArray
    variance: FloatArray
    centre_px: FloatArray
    hosts: HostStamps

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> FloatArray:
        """Return a numeric column, NaN where null."""
        return floats(self.table[name])


def read_arcs(
    table: pa.Table,
    shards: TaskReader,
    stamp_paths: Sequence[str | Path],
    hosts_paths: Sequence[str | Path],
    sources: SourceLibrary,
    *,
    experiment: Experiment,
    size_px: int,
    n_rows: int,
) -> Arcs:
    """Read positives chosen by id hash, and render them with the oracle.

    Parameters
    ----------
    table : pyarrow.Table
        The pixel sample's columns.
    shards : TaskReader
        The shards; a quantised set is read from the archive, as it was made.
    stamp_paths, hosts_paths : sequence of path
        The archive, and the host cutouts of all tiles.
    sources : SourceLibrary
        Templates for the oracle.
    experiment : Experiment
        Release, noise, form of storage and seed.
    size_px : int
        Side of the stamps.
    n_rows : int
        Positives wanted; those without a usable host are left out.
    """
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    positives = np.flatnonzero(kind == POSITIVE)
    ids = np.asarray(table["task_id"].to_pylist(), dtype=object)
    draw = uniform(experiment.seed, "oracle_sample", ids[positives].tolist())
    chosen = np.sort(positives[np.argsort(draw, kind="stable")[:n_rows]])
    names = table["host_id"].take(pa.array(chosen)).to_pylist()
    hosts = load_hosts_for(experiment, locate_hosts(hosts_paths, names), size_px=size_px)
    chosen = chosen[[name in hosts.row_of and hosts.status[hosts.row_of[name]] == "ok" for name in names]]
    rows = table.take(pa.array(chosen))
    at = np.array([hosts.row_of[name] for name in rows["host_id"].to_pylist()], dtype=np.intp)
    stored = read_as_made(shards, stamp_paths, rows["task_id"], experiment, size_px)
    scale = get_release(experiment.survey.release).pixel_scale_arcsec
    lens = np.stack([floats(rows["lens_x_arcsec"]), floats(rows["lens_y_arcsec"])], axis=1)
    centre_px = hosts.offset_px[at] + lens / scale
    oracle = _oracle(rows, sources, experiment, size_px, centre_px * scale)
    variance = np.zeros_like(oracle)
    if experiment.noise.arc_shot_noise:
        gain = effective_gain(hosts.sky_nmgy[at][:, :, None, None], hosts.invvar[at])
        variance = np.where(stored.invvar < hosts.invvar[at], light_variance(oracle, gain), 0.0)
    return Arcs(
        rows=chosen,
        table=rows,
        light=stored.image.astype(np.float64) - hosts.image[at],
        invvar=stored.invvar,
        good=stored.good,
        oracle=oracle,
        variance=variance,
        centre_px=centre_px,
        hosts=hosts,
    )


@dataclass(frozen=True)
class Pixels:
    """Pixels of n stamps, as they were made.

    Parameters
    ----------
    image, invvar : ndarray of float32, shape (n, 3, size, size)
        nMgy/px and 1/nMgy^2.
    good : ndarray of bool, shape (n, 3, size, size)
        Pixels with data and without a bad mask bit.
    """

    image: NDArray[np.float32]
    invvar: NDArray[np.float32]
    good: BoolArray


def read_as_made(
    shards: TaskReader,
    stamp_paths: Sequence[str | Path],
    task_ids: pa.ChunkedArray,
    experiment: Experiment,
    size_px: int,
) -> Pixels:
    """Return the pixels of named tasks before any rounding for storage."""
    ids = task_ids.to_pylist()
    if not ids:
        empty = np.empty((0, len(BANDS), size_px, size_px), dtype=np.float32)
        return Pixels(empty, empty, np.empty(empty.shape, dtype=bool))
    counted = experiment.storage.form == "quantised"
    stored = shards.load(ids, _PIXELS[1:] if counted else _PIXELS)
    image = archived_images(stamp_paths, task_ids) if counted else pixels(stored, "image")
    invvar, flags = pixels(stored, "invvar"), pixels(stored, "maskbits")
    release = get_release(experiment.survey.release)
    bits = np.array([release.pixel_mask(band) for band in BANDS], dtype=np.int32)
    good = (invvar > 0.0) & ((flags[:, None] & bits[None, :, None, None]) == 0)
    return Pixels(image, invvar, good)


def noise_inflation(correlation: float) -> float:
    """Return the variance of a sum over correlated noise relative to independent pixels.

    Neighbours are joined along each axis by weights (a, 1, a) with
    2 a / (1 + 2 a^2) = correlation; a sum over many pixels then has
    (1 + 2 a)^2 / (1 + 2 a^2) times the variance, once per axis.
    """
    a = (1.0 - np.sqrt(1.0 - 2.0 * correlation**2)) / (2.0 * correlation)
    return float(((1.0 + 2.0 * a) ** 2 / (1.0 + 2.0 * a * a)) ** 2)


NOISE_INFLATION = noise_inflation(NEIGHBOUR_CORRELATION)
"""Variance of a sum of photon noise over many pixels, relative to that of independent ones."""


def sigma_of(weights: FloatArray, variance: FloatArray) -> FloatArray:
    """Return the standard deviation of sum(weights x light) over the last two axes."""
    return np.asarray(np.sqrt(NOISE_INFLATION * (weights**2 * variance).sum(axis=(-2, -1))))


def pixel_axes(size_px: int, centre_px: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x and y of every pixel relative to points, each of shape (n, 1, size, size)."""
    axis = np.arange(size_px) - StampGeometry(size_px, 1.0).centre_px
    shape = (len(centre_px), 1, size_px, size_px)
    x = np.broadcast_to(axis[None, None, None, :] - centre_px[:, 0, None, None, None], shape)
    y = np.broadcast_to(axis[None, None, :, None] - centre_px[:, 1, None, None, None], shape)
    return x, y


def _oracle(
    rows: pa.Table, sources: SourceLibrary, experiment: Experiment, size_px: int, centre_arcsec: FloatArray
) -> FloatArray:
    if rows.num_rows == 0:
        return np.empty((0, len(BANDS), size_px, size_px))
    index = np.array([sources.index_of(name) for name in rows["source_id"].to_pylist()], dtype=np.int64)
    magnitudes = np.stack([floats(rows[name]) for name in per_band("src_mag_{b}")], axis=1)
    return oracle_images_nmgy(
        sources.templates(index),
        supersampling=_SUPERSAMPLING,
        margin_px=_MARGIN_PX,
        template_scale_arcsec=sources.pixel_scale_arcsec,
        size_px=size_px,
        pixel_scale_arcsec=get_release(experiment.survey.release).pixel_scale_arcsec,
        lens_x_arcsec=centre_arcsec[:, 0],
        lens_y_arcsec=centre_arcsec[:, 1],
        src_flip=np.asarray(rows["src_flip"].to_pylist(), dtype=bool),
        psf_fwhm_arcsec=np.stack([floats(rows[name]) for name in per_band("psf_fwhm_{b}_arcsec")], axis=1),
        flux_nmgy=10.0 ** (0.4 * (22.5 - magnitudes)),
        **{name: floats(rows[name]) for name in LENS_COLUMNS},
    )
