"""Q8: does the quantised form of the shards say what the lossless archive says.

Stamps of a fixed sample are read from the shards, as any consumer reads them,
and from the archive. Only their difference is judged here; what the stamps show
is the business of the other gates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Storage
from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.judging import Measured, failed, not_applicable, passed, simultaneous
from darkhaloscope.gates.population import COMPARED_KINDS, POSITIVE, Population
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.gates.views import CORE_PX, SMALL_APERTURE_PX
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, cohen_d, mean_interval, mean_ratio_interval
from darkhaloscope.statistics.robust import median_and_sigma
from darkhaloscope.tabular import pixels, read_row_groups, read_table

FloatArray = NDArray[np.float64]

APERTURES_PX = (SMALL_APERTURE_PX, CORE_PX)

_MAX_HOSTS = 500
"""Galaxies per class: the MAD of that many is known to a thirtieth of its limit."""

_FLOAT32_HALF_ULP = 2.0**-24
_ROUNDING = 1.001


class SampleReader(Protocol):
    """The part of ``stamps.shards.ShardSet`` that reads a sample with pixels."""

    def sample(self, n_hosts_per_class: int, *, seed: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return columns of the rows of up to so many hosts per class, chosen by id hash."""
        ...


def measure_storage(
    shards: SampleReader,
    population: Population,
    stamp_paths: Sequence[str | Path],
    storage: Storage,
    *,
    hosts_per_class: int,
    seed: int,
    limits: Thresholds,
) -> Measured:
    """Compare stamps of the shards with the archive, pixel by pixel (Q8).

    Parameters
    ----------
    shards : SampleReader
        The shard set.
    population : Population
        All its rows.
    stamp_paths : sequence of path
        Parts of ``injected_stamps``.
    storage : Storage
        Form of the shards.
    hosts_per_class, seed : int
        The sample; never more than 500 galaxies per class.
    limits : Thresholds
        Names the largest error of a pixel.

    Returns
    -------
    dict
        ``form`` and ``rows`` alone if the shards are lossless or empty. Otherwise also the
        sample's ``galaxies`` and ``stamps``, ``beyond`` (stamps with a pixel further off than the limit),
        ``rms_error_sigma`` by band, ``photometry`` (relative bias of aperture
        fluxes), ``mad`` (r.m.s. relative shift of the MAD) and ``effects``
        (Cohen's d of each error between positives and each control kind).

    Raises
    ------
    DataError
        If a sampled task is not in the archive, or the errors of both classes
        are constant.
    """
    if storage.form == "float32" or population.rows == 0:
        return {"form": storage.form, "rows": population.rows}
    sample = shards.sample(
        min(hosts_per_class, _MAX_HOSTS),
        seed=seed,
        columns=["task_id", "host_id", "control_kind", "split", "image"],
    )
    errors = _errors(sample, stamp_paths, storage, limits.value("Q8", "max_pixel_error_sigma"))
    sampled = Population.of(sample)
    return {
        "form": storage.form,
        "steps_per_sigma": storage.steps_per_sigma,
        "rows": population.rows,
        "stamps": sample.num_rows,
        "galaxies": sampled.galaxies(),
        "beyond": int(errors["beyond"].sum()),
        "rms_error_sigma": dict(zip(BANDS, errors["rms"].mean(axis=0).tolist(), strict=True)),
        "photometry": _photometry(errors, sampled),
        "mad": _mad(errors, sampled),
        "effects": _effects(errors, sampled),
    }


def archived_sums(stamp_paths: Sequence[str | Path], task_ids: pa.ChunkedArray) -> FloatArray:
    """Return the sum of each stamp as the archive holds it, per band.

    Parameters
    ----------
    stamp_paths : sequence of path
        Parts of ``injected_stamps``.
    task_ids : pyarrow.ChunkedArray
        n tasks.

    Returns
    -------
    ndarray, shape (n, 3)
        Unit: nMgy.

    Raises
    ------
    DataError
        If a task is not in the archive.
    """
    sums = np.empty((len(task_ids), len(BANDS)))
    for at, images in _archived_images(stamp_paths, task_ids):
        sums[at] = images.sum(axis=(2, 3), dtype=np.float64)
    return sums


def archived_images(stamp_paths: Sequence[str | Path], task_ids: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return the images of tasks as the archive holds them, shape (n, 3, size, size), n > 0.

    Raises
    ------
    DataError
        If a task is not in the archive.
    """
    images: NDArray[np.float32] | None = None
    for at, part in _archived_images(stamp_paths, task_ids):
        if images is None:
            images = np.empty((len(task_ids), *part.shape[1:]), dtype=np.float32)
        images[at] = part
    assert images is not None
    return images


def judge_storage(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when quantisation clips, biases photometry or noise, or treats the classes differently (Q8)."""
    if measured["rows"] == 0:
        return failed(None, "no rows", measured)
    if measured["form"] == "float32":
        return not_applicable("the shards keep every bit", measured)
    n = measured["galaxies"]
    least = limits.get("Q8", "min_galaxies")
    if n < least.value:
        return failed(least, f"{n} galaxies; {least.value:g} needed", measured, n=n)
    limit = limits.get("Q8", "max_pixel_error_sigma")
    if measured["beyond"]:
        reason = (
            f"{measured['beyond']} of {measured['stamps']} stamps have a pixel off by more than half a step"
            f" of sigma/32: clipped, another step, or another dither"
        )
        return failed(limit, reason, measured, value=measured["beyond"], n=n)
    kinds: set[str] = {effect["kind"] for effect in measured["effects"]}
    if not kinds:
        return failed(None, "one class only: the classes cannot be compared", measured, n=n)
    for name, what, key in (
        ("max_photometry_bias", "aperture flux", "photometry"),
        ("max_mad_shift", "MAD", "mad"),
        ("max_abs_d", "error", "effects"),
    ):
        limit = limits.get("Q8", name)
        worst = max(measured[key], key=lambda entry: entry["lower"])
        if worst["lower"] > limit.value:
            interval = _interval(worst)
            return failed(limit, f"{what}: {worst['where']} is {interval}", measured).measured(interval)
    flux, mad, effect = (
        max(measured[key], key=lambda entry: entry["value"]) for key in ("photometry", "mad", "effects")
    )
    reason = (
        f"MAD of {mad['where']} moves by {mad['value']:.2%} r.m.s., flux of {flux['where']} by"
        f" {flux['value']:.4%}; classes differ most in {effect['where']}: d = {effect['value']:.3f}"
    )
    return passed(limits.get("Q8", "max_mad_shift"), reason, measured).measured(_interval(mad))


def _interval(entry: Measured) -> Interval:
    return Interval(entry["value"], entry["lower"], entry["upper"], entry["n"])


def _errors(
    sample: pa.Table, stamp_paths: Sequence[str | Path], storage: Storage, limit_sigma: float
) -> dict[str, FloatArray]:
    """Return the errors of every sampled row; memory is the sample and one row group of the archive."""
    stored = pixels(sample, "image")
    n, bands = stored.shape[:2]
    errors = {
        "beyond": np.zeros(n),
        "rms": np.empty((n, bands)),
        "mad": np.empty((n, bands)),
        "lattice": np.empty((n, bands)),
        "flux": np.empty((n, bands, len(APERTURES_PX))),
        "flux_error": np.empty((n, bands, len(APERTURES_PX))),
        "sigma": np.empty((n, bands)),
    }
    for at, archived in _archived_images(stamp_paths, sample["task_id"]):
        _add_errors(errors, at, stored[at], archived, storage, limit_sigma)
    return errors


def _archived_images(
    stamp_paths: Sequence[str | Path], task_ids: pa.ChunkedArray
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Yield places in ``task_ids`` and their images; row groups that hold none of them are not read."""
    wanted = task_ids.combine_chunks()
    found = np.zeros(len(wanted), dtype=bool)
    for path in stamp_paths:
        ids = read_table(path, ["task_id"])["task_id"]
        rows = np.flatnonzero(pc.is_in(ids, value_set=wanted).to_numpy(zero_copy_only=False))
        for group, inside in read_row_groups(path, rows, ["task_id", "image"]):
            table = group.take(inside)
            at = pc.index_in(table["task_id"], value_set=wanted).to_numpy()
            found[at] = True
            yield at, pixels(table, "image")
    if not found.all():
        missing = wanted[int(np.flatnonzero(~found)[0])].as_py()
        raise DataError(describe("Task of the shards is not in the archive", field="task_id", row=missing))


def _add_errors(
    errors: dict[str, FloatArray],
    at: NDArray[np.intp],
    stored: NDArray[np.float32],
    archived: NDArray[np.float32],
    storage: Storage,
    limit_sigma: float,
) -> None:
    n, bands, size, _ = stored.shape
    region = outer_pixels(size)
    _, sigma = median_and_sigma(archived, region)
    _, sigma_stored = median_and_sigma(stored, region)
    step = (sigma / np.float32(storage.steps_per_sigma)).astype(np.float64)
    difference = (stored.astype(np.float64) - archived).reshape(n, bands, -1)
    allowed = limit_sigma * sigma[..., None] * _ROUNDING + _FLOAT32_HALF_ULP * np.abs(stored).reshape(
        n, bands, -1
    )
    errors["beyond"][at] = (np.abs(difference) > allowed).any(axis=(1, 2))
    errors["sigma"][at] = sigma
    errors["rms"][at] = np.sqrt((difference**2).mean(axis=2)) / sigma
    errors["mad"][at] = sigma_stored / sigma - 1.0
    # 1 for multiples of the step, 0 for pixels that have left its lattice
    phase = 2.0 * np.pi * stored.reshape(n, bands, -1) / step[..., None]
    errors["lattice"][at] = np.cos(phase).mean(axis=2)
    radius_px = StampGeometry(size, 1.0).radius_px().ravel()
    for i, aperture in enumerate(APERTURES_PX):
        inside = radius_px < aperture
        errors["flux"][at, :, i] = archived.reshape(n, bands, -1)[..., inside].sum(axis=2, dtype=np.float64)
        errors["flux_error"][at, :, i] = difference[..., inside].sum(axis=2)


def _photometry(errors: dict[str, FloatArray], population: Population) -> list[Measured]:
    """Return the relative bias of aperture fluxes, mean error over mean flux, by band."""
    confidence = simultaneous(len(BANDS) * len(APERTURES_PX))
    measured = []
    for b, band in enumerate(BANDS):
        for i, aperture in enumerate(APERTURES_PX):
            bias = mean_ratio_interval(
                errors["flux_error"][:, b, i],
                errors["flux"][:, b, i],
                population.host,
                population.host,
                confidence,
            )
            measured.append({"where": f"{band} within {aperture:g} px", **bias.magnitude().to_dict()})
    return measured


def _mad(errors: dict[str, FloatArray], population: Population) -> list[Measured]:
    """Return the r.m.s. relative shift of the MAD by band."""
    measured = []
    for b, band in enumerate(BANDS):
        square = mean_interval(errors["mad"][:, b] ** 2, population.host, simultaneous(len(BANDS)))
        value, lower, upper = (math.sqrt(max(0.0, v)) for v in (square.value, square.lower, square.upper))
        measured.append({"where": band, **Interval(value, lower, upper, square.n).to_dict()})
    return measured


def _effects(errors: dict[str, FloatArray], population: Population) -> list[Measured]:
    """Return how much each error differs between positives and each control kind."""
    each = {
        "r.m.s. error": errors["rms"],
        "trace of the lattice": errors["lattice"],
        "shift of the MAD": errors["mad"],
        "aperture flux error": errors["flux_error"][..., -1] / errors["sigma"],
    }
    kinds = population.present(COMPARED_KINDS)
    confidence = simultaneous(len(each) * len(BANDS) * max(1, len(kinds)))
    lens = population.where(POSITIVE)
    measured = []
    for kind in kinds if lens.any() else []:
        control = population.where(kind)
        for what, values in each.items():
            for b, band in enumerate(BANDS):
                d = cohen_d(
                    values[lens, b],
                    values[control, b],
                    population.host[lens],
                    population.host[control],
                    confidence,
                ).magnitude()
                measured.append(
                    {"where": f"{what} in {band}, positives and {kind}", "kind": kind, **d.to_dict()}
                )
    return measured
