"""Numbers a simple eye would take from stamps: apertures, core statistics, outer region.

One pass over the pixel sample makes every number that the quality, physics and
shortcut gates use, in both views: ``raw`` (the stamp) and ``model`` (after the
experiment's PreprocessSpec). Classifiers and verdicts are elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.inputs import Input, MissingInputError, absent_columns
from darkhaloscope.gates.population import POSITIVE, Population, floats
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import BANDS, STAMPS, Role
from darkhaloscope.tabular import pixels

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

SMALL_APERTURE_PX = 4.0
CORE_PX = 10.0
"""Radius of the predecessor's core, 2.62 arcsec."""
BRIGHTNESS_PX = 8.0
OUTER_PX = 16.0
PROBE_PX = 40
"""Side of what the convolutional probe sees: arcs of theta_E <= 2.5 arcsec and their wings."""

CORE_STATISTICS = ("mean", "sd", "median", "max", "min", "q25", "q75")

_TABLE_COLUMNS = [column.name for column in STAMPS if column.role is not Role.PIXELS]
_SQUARE_PX = 1.0
_NO_CLIP = 1e9


_DEPTH_STEP_MAG = 0.01
_SNR = "arc_snr_footprint_r"


class SampleReader(Protocol):
    """The part of ``stamps.shards.ShardSet`` that reads a sample with pixels."""

    def sample(self, n_hosts_per_class: int, *, seed: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return columns of the rows of up to so many hosts per class, chosen by id hash."""
        ...

    def iter_batches(
        self,
        split: str | None = None,
        columns: Sequence[str] | None = None,
        tasks: pa.Array | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows in storage order, all or those of the given tasks."""
        ...


@dataclass(frozen=True)
class Features:
    """What one view shows of n stamps.

    Parameters
    ----------
    apertures : ndarray, shape (n, 2, 3)
        Flux within 4 and 10 px, per band.
    core : ndarray, shape (n, 21)
        Seven statistics of r < 10 px, per band.
    brightness_r : ndarray, shape (n,)
        Mean of the r band within 8 px.
    """

    apertures: FloatArray
    core: FloatArray
    brightness_r: FloatArray


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The fixed sample of stamps behind the pixel gates, and its features.

    Columns that the shards lack are absent from ``table``; ``invvar_median`` is
    absent where they keep no inverse variance.

    Parameters
    ----------
    table : pyarrow.Table
        All columns but the pixels, n rows.
    population : Population
        Classes, splits and galaxies.
    raw, model : Features
        Features in either view.
    normalisation : dict of str to ndarray, each shape (n,)
        ``median_b``, ``sigma_b`` of r > 16 px in nMgy/px and ``clip_b``, the
        share of that region the model view clips.
    total_nmgy : ndarray, shape (n, 3)
        Sum of the stamp per band.
    invvar_median : ndarray, shape (n, 3)
        Median of the pixels with data. Unit: 1/nMgy^2.
    probe_raw, probe_model : ndarray of float16, shape (m, 3, 40, 40)
        Centres of normalised stamps for the convolutional probe, without and
        with the experiment's centre treatment; one object where there is none.
    probe_rows : ndarray of int, shape (m,)
        Their rows.
    empty_planes : dict of str to int
        Planes that are all zero: ``image_g`` ... ``invvar_z``.
    not_finite : int
        Stamps left out because a pixel is not finite.
    unusable : int
        Stamps left out because a band has no scatter.
    """

    table: pa.Table
    population: Population
    raw: Features
    model: Features
    normalisation: dict[str, FloatArray]
    total_nmgy: FloatArray
    invvar_median: Input[FloatArray] = Input("invvar: no inverse variance is stored with the stamps")
    probe_raw: NDArray[np.float16]
    probe_model: NDArray[np.float16]
    probe_rows: NDArray[np.int64]
    empty_planes: dict[str, int]
    not_finite: int
    unusable: int

    def column(self, name: str) -> FloatArray:
        """Return a numeric column, NaN where null."""
        return floats(self.table[name])


def measure_sample(
    reader: SampleReader, *, hosts_per_class: int, spec: PreprocessSpec, seed: int, probe_min_snr: float
) -> Sample:
    """Read the fixed sample in one pass and take its features; memory is one batch of pixels.

    Parameters
    ----------
    reader : SampleReader
        The shard set.
    hosts_per_class : int
        Hosts per class.
    spec : PreprocessSpec
        The model view.
    seed : int
        Key of the sample.
    probe_min_snr : float
        Footprint S/N in r above which a positive is kept for the probe.

    Raises
    ------
    DataError
        If no usable stamp is left.
    """
    chosen = reader.sample(hosts_per_class, seed=seed, columns=["task_id"])["task_id"].combine_chunks()
    parts: list[_Part] = []
    tables: list[pa.Table] = []
    absent = absent_columns(reader)
    bare_columns = [name for name in _TABLE_COLUMNS if name not in absent]
    planes = [name for name in ("image", "invvar") if name not in absent]
    empty: dict[str, int] = {f"{plane}_{band}": 0 for plane in planes for band in BANDS}
    not_finite = unusable = 0
    for batch in reader.iter_batches(columns=[*bare_columns, *planes], tasks=chosen):
        rows = pa.Table.from_batches([batch])
        if rows.num_rows == 0:
            continue
        read = {name: pixels(rows, name) for name in planes}
        _count_empty(empty, read)
        image = read["image"]
        finite = np.logical_and.reduce([np.isfinite(p).all(axis=(1, 2, 3)) for p in read.values()])
        usable = finite & spec.valid_rows(image)
        not_finite += int((~finite).sum())
        unusable += int((finite & ~usable).sum())
        if not usable.any():
            continue
        bare = rows.select(bare_columns).filter(pa.array(usable))
        invvar = read["invvar"][usable] if "invvar" in read else None
        parts.append(_features(image[usable], invvar, spec, _probe_rows(bare, probe_min_snr)))
        tables.append(bare)
    if not tables:
        raise DataError(
            describe(
                "No usable stamp in the sample",
                expected="stamps with finite pixels and scatter in every band",
                got=f"{not_finite} not finite, {unusable} without scatter",
            )
        )
    return _joined(tables, parts, empty, not_finite, unusable)


@dataclass(frozen=True)
class _Part:
    raw: Features
    model: Features
    normalisation: dict[str, FloatArray]
    total_nmgy: FloatArray
    invvar_median: FloatArray | None
    probe_raw: NDArray[np.float16]
    probe_model: NDArray[np.float16] | None
    probe_rows: NDArray[np.int64]


def view_features(linear: NDArray[Any], seen: NDArray[Any]) -> Features:
    """Take apertures, core statistics and brightness from images of one view.

    Parameters
    ----------
    linear : ndarray, shape (n, 3, size, size)
        The view before clipping: apertures and brightness ask how much light
        there is, and a clip would let them feel how concentrated it is.
    seen : ndarray, shape (n, 3, size, size)
        The view as it is: core statistics may ask anything.
    """
    n, _, size, _ = linear.shape
    flat = linear.reshape(n, len(BANDS), size * size)
    small, core = _disc(size, SMALL_APERTURE_PX), _disc(size, CORE_PX)
    apertures = np.stack([flat[:, :, disc].sum(axis=2, dtype=np.float64) for disc in (small, core)], axis=1)
    inner = seen.reshape(n, len(BANDS), size * size)[:, :, core]
    quartiles = np.percentile(inner, [50.0, 25.0, 75.0], axis=2)
    statistics = np.stack(
        [
            inner.mean(axis=2, dtype=np.float64),
            inner.std(axis=2, dtype=np.float64),
            quartiles[0],
            inner.max(axis=2),
            inner.min(axis=2),
            quartiles[1],
            quartiles[2],
        ],
        axis=2,
    )
    return Features(apertures, np.asarray(statistics.reshape(n, -1), dtype=np.float64), brightness_of(linear))


def brightness_of(images: NDArray[Any]) -> FloatArray:
    """Return the mean r band within 8 px of each image, shape (n,)."""
    n, _, size, _ = images.shape
    plane = images[:, BANDS.index("r")].reshape(n, size * size)
    return np.asarray(plane[:, _disc(size, BRIGHTNESS_PX)].mean(axis=1, dtype=np.float64))


def aperture_table(features: Features) -> FloatArray:
    """Return fluxes, asinh fluxes and colours of the apertures as columns, shape (n, 16).

    The asinh is softened at a twentieth of the median flux, so that a band with
    no light gives a number (Lupton, Gunn & Szalay 1999, AJ 118, 1406).
    """
    flux = features.apertures
    scale = np.median(np.abs(flux), axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    magnitude = np.arcsinh(flux / (0.1 * scale))
    colours = magnitude[:, :, :-1] - magnitude[:, :, 1:]
    n = len(flux)
    return np.concatenate(
        [(flux / scale).reshape(n, -1), magnitude.reshape(n, -1), colours.reshape(n, -1)], 1
    )


def _features(
    image: Float32Array, invvar: Float32Array | None, spec: PreprocessSpec, keep: NDArray[np.int64]
) -> _Part:
    # the clip is the spec's last step; without it apertures stay linear in flux
    linear = replace(spec, clip=_NO_CLIP).images(image)
    model = np.clip(linear, -spec.clip, spec.clip)
    outer = replace(spec, normalisation="outer_mad", metadata_columns=(), metadata_mean=(), metadata_scale=())
    median, sigma = outer.statistics(image)
    size = model.shape[-1]
    clipped = np.abs(model.reshape(len(model), len(BANDS), -1)[:, :, _ring(size, OUTER_PX)]) >= spec.clip
    share = clipped.mean(axis=2)
    normalisation = {
        **{f"median_{band}": median[:, b].astype(np.float64) for b, band in enumerate(BANDS)},
        **{f"sigma_{band}": sigma[:, b].astype(np.float64) for b, band in enumerate(BANDS)},
        **{f"clip_{band}": share[:, b] for b, band in enumerate(BANDS)},
    }
    untreated = None
    if spec.centre != "none" and keep.size:
        untreated = replace(spec, centre="none").images(image[keep])
    return _Part(
        raw=view_features(image, image),
        model=view_features(linear, model),
        normalisation=normalisation,
        total_nmgy=image.sum(axis=(2, 3), dtype=np.float64),
        invvar_median=None if invvar is None else _medians_with_data(invvar),
        probe_raw=_centre(model[keep] if untreated is None else untreated),
        probe_model=None if untreated is None else _centre(model[keep]),
        probe_rows=keep,
    )


def _medians_with_data(invvar: Float32Array) -> FloatArray:
    with_data = np.where(invvar > 0.0, invvar, np.nan).reshape(len(invvar), len(BANDS), -1)
    has_data = np.isfinite(with_data).any(axis=2)
    medians = np.zeros(has_data.shape)
    medians[has_data] = np.nanmedian(with_data[has_data], axis=1)
    return medians


def _probe_rows(table: pa.Table, min_snr: float) -> NDArray[np.int64]:
    """Return the rows the probe is shown: visible arcs, and matched light."""
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    if _SNR not in table.column_names:
        if (kind == "matched_light").any():
            raise MissingInputError(f"{_SNR}: which arcs are visible")
        return np.empty(0, dtype=np.int64)
    visible = (kind == POSITIVE) & (floats(table[_SNR]) > min_snr)
    return np.flatnonzero(visible | (kind == "matched_light"))


def _joined(
    tables: list[pa.Table], parts: list[_Part], empty: dict[str, int], not_finite: int, unusable: int
) -> Sample:
    table = pa.concat_tables(tables)
    starts = np.cumsum([0, *[t.num_rows for t in tables[:-1]]])
    probe_raw = np.concatenate([part.probe_raw for part in parts])
    depths = [part.invvar_median for part in parts if part.invvar_median is not None]
    treated = [part.probe_model for part in parts if part.probe_model is not None]
    return Sample(
        table=table,
        population=Population.of(table),
        raw=_stacked(part.raw for part in parts),
        model=_stacked(part.model for part in parts),
        normalisation={
            name: np.concatenate([part.normalisation[name] for part in parts])
            for name in parts[0].normalisation
        },
        total_nmgy=np.concatenate([part.total_nmgy for part in parts]),
        invvar_median=np.concatenate(depths) if len(depths) == len(parts) else None,
        probe_raw=probe_raw,
        probe_model=np.concatenate(treated) if treated else probe_raw,
        probe_rows=np.concatenate(
            [part.probe_rows + start for part, start in zip(parts, starts, strict=True)]
        ),
        empty_planes=empty,
        not_finite=not_finite,
        unusable=unusable,
    )


def _stacked(features: Iterable[Features]) -> Features:
    every = list(features)
    return Features(
        np.concatenate([f.apertures for f in every]),
        np.concatenate([f.core for f in every]),
        np.concatenate([f.brightness_r for f in every]),
    )


def _count_empty(empty: dict[str, int], planes: Mapping[str, Float32Array]) -> None:
    for name, stamps in planes.items():
        zero = np.logical_not(np.any(stamps, axis=(2, 3)))
        for b, band in enumerate(BANDS):
            empty[f"{name}_{band}"] += int(zero[:, b].sum())


def _centre(normalised: Float32Array) -> NDArray[np.float16]:
    size = normalised.shape[-1]
    start = max(0, (size - PROBE_PX) // 2)
    window = slice(start, start + min(size, PROBE_PX))
    return np.ascontiguousarray(normalised[:, :, window, window], dtype=np.float16)


@lru_cache(maxsize=16)
def _disc(size: int, radius_px: float) -> NDArray[np.intp]:
    return np.flatnonzero(StampGeometry(size, _SQUARE_PX).radius_px().ravel() < radius_px)


@lru_cache(maxsize=16)
def _ring(size: int, radius_px: float) -> NDArray[np.intp]:
    return np.flatnonzero(StampGeometry(size, _SQUARE_PX).radius_px().ravel() > radius_px)


def sample_columns(sample: Sample) -> Mapping[str, FloatArray]:
    """Return the pixel statistics that Q1 compares between the classes.

    The median inverse variance is given as a depth in steps of 0.01 mag. All
    stamps of a brick share one depth, so without a step the wings of an arc,
    whose photon noise shifts the median by 1e-4, would look like another sky.
    """
    invvar = np.maximum(sample.invvar_median, np.finfo(np.float32).tiny)  # a dead plane is Q2's to name
    depth_mag = np.round(1.25 * np.log10(invvar) / _DEPTH_STEP_MAG) * _DEPTH_STEP_MAG
    return {f"invvar_median_{band}": depth_mag[:, b] for b, band in enumerate(BANDS)}
