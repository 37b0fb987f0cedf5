"""The pixel sample: which stamps the pixel gates look at, and what is taken from them.

One pass makes every number that the quality, physics and shortcut gates use, in
both views: ``raw`` (the stamp) and ``model`` (after the experiment's
PreprocessSpec). What one view shows is in ``views``; classifiers and verdicts
are elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.inputs import Input, MissingInputError, absent_columns
from darkhaloscope.gates.population import POSITIVE, Population, floats
from darkhaloscope.gates.views import OUTER_PX, Features, beyond, view_features
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import BANDS, STAMPS, Role
from darkhaloscope.statistics.robust import median_and_sigma
from darkhaloscope.tabular import pixels

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

PROBE_PX = 40
"""Side of what the convolutional probe sees: arcs of theta_E <= 2.5 arcsec and their wings."""

MATCHED, PAIRED, UNPAIRED = "matched_light", "paired", "unpaired"

_TABLE_COLUMNS = [column.name for column in STAMPS if column.role is not Role.PIXELS]
_SNR, _TWIN, _PAIR = "arc_snr_footprint_r", "twin_task_id", "pair_id"
_NO_CLIP = 1e9
_DEPTH_STEP_MAG = 0.01
_THREADS = 2
"""Batches in work at once; numpy leaves the interpreter to others while it selects and sums."""


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
        Visible positives, the matched light of their twins, their paired and all unpaired controls.
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
    """Read the fixed sample in one pass and take its features; memory is a few batches of pixels.

    The sample is that of ``reader`` and, beside it, all matched light whose twin
    is in it, so that arcs can be compared in pairs with the light that stands for them.

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
        Footprint S/N in r above which a positive and its controls are kept for the probe.

    Raises
    ------
    DataError
        If no usable stamp is left.
    MissingInputError
        If there is matched light and a column that says which arcs are visible is absent.
    """
    absent = absent_columns(reader)
    columns = [name for name in _TABLE_COLUMNS if name not in absent]
    planes = [name for name in ("image", "invvar") if name not in absent]
    known = [name for name in ("task_id", "control_kind", _SNR, _PAIR, _TWIN) if name not in absent]
    choice = _Choice.of(reader.sample(hosts_per_class, seed=seed, columns=known), probe_min_snr)
    empty: dict[str, int] = {f"{plane}_{band}": 0 for plane in planes for band in BANDS}
    not_finite = unusable = 0
    parts: list[_Part] = []
    for part in _in_threads(reader, [*columns, *planes], choice, spec):
        for name, count in part.empty.items():
            empty[name] += count
        not_finite += part.not_finite
        unusable += part.unusable
        if part.table.num_rows:
            parts.append(part)
    if not parts:
        raise DataError(
            describe(
                "No usable stamp in the sample",
                expected="stamps with finite pixels and scatter in every band",
                got=f"{not_finite} not finite, {unusable} without scatter",
            )
        )
    return _joined(parts, empty, not_finite, unusable)


@dataclass(frozen=True)
class _Choice:
    """Which rows are in the sample, and which of them the probe is shown.

    Parameters
    ----------
    tasks : pyarrow.Array
        Tasks of the sample.
    positives, visible : pyarrow.Array
        Those that are positives, and those whose arc is visible.
    visible_pairs : pyarrow.Array
        ``pair_id`` of the visible ones.
    """

    tasks: pa.Array
    positives: pa.Array
    visible: pa.Array
    visible_pairs: pa.Array

    @classmethod
    def of(cls, chosen: pa.Table, min_snr: float) -> _Choice:
        kinds = chosen["control_kind"]
        positives = chosen.filter(pc.equal(kinds, POSITIVE))
        lacking = [name for name in (_SNR, _TWIN) if name not in chosen.column_names]
        if lacking and pc.any(pc.equal(kinds, MATCHED)).as_py():
            raise MissingInputError(f"{', '.join(lacking)}: which arcs are visible, and whose light is whose")
        visible = positives.slice(0, 0)
        if _SNR in chosen.column_names:
            visible = positives.filter(pa.array(floats(positives[_SNR]) > min_snr))
        pairs = visible[_PAIR] if _PAIR in chosen.column_names else visible["task_id"].slice(0, 0)
        return cls(
            *(_one(column) for column in (chosen["task_id"], positives["task_id"], visible["task_id"], pairs))
        )

    def rows(self, batch: pa.RecordBatch) -> pa.Table:
        """Return the rows of a batch that are in the sample."""
        own = pc.is_in(batch["task_id"], value_set=self.tasks)
        return pa.Table.from_batches([batch]).filter(pc.or_(own, _is_matched_to(batch, self.positives)))

    def probed(self, table: pa.Table) -> NDArray[np.intp]:
        """Return the rows the probe is shown: visible arcs, their twins' light and their controls.

        Unpaired controls belong to no arc, so all of them are shown.
        """
        shown = pc.is_in(table["task_id"], value_set=self.visible)
        shown = pc.or_(shown, _is_matched_to(table, self.visible))
        shown = pc.or_(shown, pc.equal(table["control_kind"], UNPAIRED))
        if _PAIR in table.column_names:
            pair = pc.is_in(table[_PAIR], value_set=self.visible_pairs)
            shown = pc.or_(shown, pc.and_(pc.equal(table["control_kind"], PAIRED), pair))
        return np.flatnonzero(shown.to_numpy())


def _is_matched_to(rows: pa.Table | pa.RecordBatch, positives: pa.Array) -> Any:
    """Say of every row whether it is matched light whose twin is among the given tasks."""
    matched = pc.equal(rows["control_kind"], MATCHED)
    if _TWIN not in rows.schema.names:
        return pc.and_(matched, False)
    return pc.and_(matched, pc.is_in(rows[_TWIN], value_set=positives))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


@dataclass(frozen=True)
class _Part:
    """What one batch gives; fields as in :class:`Sample`."""

    table: pa.Table
    empty: dict[str, int]
    not_finite: int
    unusable: int
    raw: Features
    model: Features
    normalisation: dict[str, FloatArray]
    total_nmgy: FloatArray
    invvar_median: FloatArray | None
    probe_raw: NDArray[np.float16]
    probe_model: NDArray[np.float16] | None
    probe_rows: NDArray[np.intp]


def _in_threads(
    reader: SampleReader, columns: Sequence[str], choice: _Choice, spec: PreprocessSpec
) -> Iterator[_Part]:
    """Yield the parts of all batches in storage order, a few in work while the next one is read."""
    work: deque[Future[_Part]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in reader.iter_batches(columns=columns):
            rows = choice.rows(batch)
            if rows.num_rows == 0:
                continue
            work.append(pool.submit(_part, rows, choice, spec))
            if len(work) > _THREADS:
                yield work.popleft().result()
        while work:
            yield work.popleft().result()


def _part(rows: pa.Table, choice: _Choice, spec: PreprocessSpec) -> _Part:
    planes = {name: pixels(rows, name) for name in ("image", "invvar") if name in rows.column_names}
    image, invvar = planes["image"], planes.get("invvar")
    finite = np.logical_and.reduce([np.isfinite(p).all(axis=(1, 2, 3)) for p in planes.values()])
    outer = replace(spec, normalisation="outer_mad")
    median, sigma = outer.statistics(image if finite.all() else image[finite])
    usable = finite.copy()
    # the statistics of the outer region are S1's; another region has its own scatter
    usable[finite] = (sigma > 0.0).all(axis=1) if spec == outer else spec.valid_rows(image[finite])
    median, sigma = median[usable[finite]], sigma[usable[finite]]
    if not usable.all():
        image, invvar = image[usable], None if invvar is None else invvar[usable]
    bare = rows.drop_columns(list(planes)).filter(pa.array(usable))
    # the clip is the spec's last step; without it apertures stay linear in flux
    linear = replace(spec, clip=_NO_CLIP).images(image)
    model = np.clip(linear, -spec.clip, spec.clip)
    probed = choice.probed(bare)
    untreated = None
    if spec.centre != "none":
        untreated = replace(spec, centre="none").images(image[probed])
    return _Part(
        table=bare,
        empty=_empty_planes(planes),
        not_finite=int((~finite).sum()),
        unusable=int((finite & ~usable).sum()),
        raw=view_features(image, image),
        model=view_features(linear, model),
        normalisation=_normalisation(median, sigma, model, spec.clip),
        total_nmgy=image.sum(axis=(2, 3), dtype=np.float64),
        invvar_median=None if invvar is None else _medians_with_data(invvar),
        probe_raw=_centre(model[probed] if untreated is None else untreated),
        probe_model=None if untreated is None else _centre(model[probed]),
        probe_rows=probed,
    )


def _normalisation(
    median: Float32Array, sigma: Float32Array, model: Float32Array, clip: float
) -> dict[str, FloatArray]:
    n, bands, side, _ = model.shape
    outside = model.reshape(n, bands, side * side)[:, :, beyond(side, OUTER_PX)]
    share = (np.abs(outside) >= clip).mean(axis=2)
    return {
        **{f"median_{band}": median[:, b].astype(np.float64) for b, band in enumerate(BANDS)},
        **{f"sigma_{band}": sigma[:, b].astype(np.float64) for b, band in enumerate(BANDS)},
        **{f"clip_{band}": share[:, b] for b, band in enumerate(BANDS)},
    }


def _medians_with_data(invvar: Float32Array) -> FloatArray:
    """Return the median inverse variance of the pixels with data, 0 where there are none."""
    n, bands, side, _ = invvar.shape
    medians = np.zeros((n, bands))
    whole = (invvar > 0.0).all(axis=(1, 2, 3))
    medians[whole] = median_and_sigma(np.ascontiguousarray(invvar[whole]), np.arange(side * side))[0]
    for row in np.flatnonzero(~whole):
        for b, plane in enumerate(invvar[row]):
            with_data = plane[plane > 0.0]
            medians[row, b] = np.median(with_data) if with_data.size else 0.0
    return medians


def _joined(parts: list[_Part], empty: dict[str, int], not_finite: int, unusable: int) -> Sample:
    table = pa.concat_tables([part.table for part in parts])
    starts = np.cumsum([0, *[part.table.num_rows for part in parts[:-1]]])
    probe_raw = np.concatenate([part.probe_raw for part in parts])
    depths = [part.invvar_median for part in parts if part.invvar_median is not None]
    treated = [part.probe_model for part in parts if part.probe_model is not None]
    return Sample(
        table=table,
        population=Population.of(table),
        raw=Features.joined(part.raw for part in parts),
        model=Features.joined(part.model for part in parts),
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


def _empty_planes(planes: Mapping[str, Float32Array]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, stamps in planes.items():
        zero = np.logical_not(np.any(stamps, axis=(2, 3)))
        counts |= {f"{name}_{band}": int(zero[:, b].sum()) for b, band in enumerate(BANDS)}
    return counts


def _centre(normalised: Float32Array) -> NDArray[np.float16]:
    size = normalised.shape[-1]
    start = max(0, (size - PROBE_PX) // 2)
    window = slice(start, start + min(size, PROBE_PX))
    return np.ascontiguousarray(normalised[:, :, window, window], dtype=np.float16)


def sample_columns(sample: Sample) -> Mapping[str, FloatArray]:
    """Return the pixel statistics that Q1 compares between the classes.

    The median inverse variance is given as a depth in steps of 0.01 mag. All
    stamps of a brick share one depth, so without a step the wings of an arc,
    whose photon noise shifts the median by 1e-4, would look like another sky.
    """
    invvar = np.maximum(sample.invvar_median, np.finfo(np.float32).tiny)  # a dead plane is Q2's to name
    depth_mag = np.round(1.25 * np.log10(invvar) / _DEPTH_STEP_MAG) * _DEPTH_STEP_MAG
    return {f"invvar_median_{band}": depth_mag[:, b] for b, band in enumerate(BANDS)}
