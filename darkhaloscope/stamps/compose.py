"""Rows of the manifest become stamps: the light of each row on the pixels of its host.

One function for every use: injection of a work unit, one row made again, the
selection function. All that is random was drawn in the manifest, but for photon
noise, whose generator is keyed by the task id. The stamp of a row depends on
that row, its host, its source and, for matched light, its twin; never on the
rows beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.config import Experiment
from darkhaloscope.lensing.exposure import Measures, put_light
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.schema import BANDS, STAMPS, per_band
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.hostpixels import HostStamps
from darkhaloscope.stamps.light import Light, added_light
from darkhaloscope.survey.release import get_release

FloatArray = NDArray[np.float64]


def make_stamps(
    rows: pa.Table,
    *,
    hosts: HostStamps,
    sources: SourceLibrary,
    experiment: Experiment,
    twins: pa.Table | None = None,
) -> pa.Table:
    """Make the stamp of every row.

    Parameters
    ----------
    rows : pyarrow.Table
        MANIFEST, n rows.
    hosts : HostStamps
        Stamps of the hosts of ``rows`` and ``twins``.
    sources : SourceLibrary
        Templates of their sources.
    experiment : Experiment
        Seed, ``noise`` and ``survey`` sections.
    twins : pyarrow.Table, optional
        MANIFEST rows of positives whose light ``matched_light`` rows carry and
        that are not among ``rows``.

    Returns
    -------
    pyarrow.Table
        STAMPS, n rows in the same order. A row whose host cannot carry a stamp
        has that reason as its status and no pixels, whatever its class.

    Raises
    ------
    ContractError
        If the twin of a ``matched_light`` row is given nowhere.
    """
    size = hosts.image.shape[-1]
    geometry = StampGeometry(size, get_release(experiment.survey.release).pixel_scale_arcsec)
    # -1 is the blank row of a host that is not there.
    host = np.array([hosts.row_of.get(name, -1) for name in rows["host_id"].to_pylist()], dtype=np.intp)
    status = np.array(["host_missing" if h < 0 else hosts.status[h] for h in host], dtype=object)
    light = added_light(rows, twins, status, hosts, sources, geometry, experiment)
    return _table(rows, host, status, light, hosts, experiment)


def _table(
    rows: pa.Table,
    host: NDArray[np.intp],
    status: NDArray[Any],
    lights: list[Light],
    hosts: HostStamps,
    experiment: Experiment,
) -> pa.Table:
    """Put light on hosts and measure what was added."""
    n, present = rows.num_rows, host >= 0
    image, invvar = hosts.image[host], hosts.invvar[host]
    results: dict[str, FloatArray] = {name: np.full(n, np.nan) for name in _RESULTS}
    results["sampling_weight"][:] = 1.0
    magnitudes = {
        name: rows[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in per_band("src_mag_{b}")
    }
    ids = np.asarray(rows["task_id"].to_pylist(), dtype=object)
    photon_noise = experiment.noise.arc_shot_noise
    for light in lights:
        results["sampling_weight"][light.rows] = light.weight
        for applied in magnitudes.values():
            applied[light.rows] -= 2.5 * np.log10(light.flux_scale)
        added = np.flatnonzero(status[light.rows] == "ok")
        lit = light.rows[added]
        measures = put_light(
            image,
            invvar,
            lit,
            light_nmgy=light.image if len(added) == len(light.rows) else light.image[added],
            good=hosts.good,
            hosts=host[lit],
            sky_nmgy=hosts.sky_nmgy,
            keys=streams.keys(experiment.seed, "photon_noise", ids[lit]) if photon_noise else None,
        )
        results["magnification"][lit] = light.magnification[added]
        _record(results, lit, measures)
    ok = status == "ok"
    good_share = (hosts.good_px / float(image.shape[-1] ** 2))[host]
    fractions = np.where(present[:, None], 1.0 - good_share, np.nan)
    bandset = _BANDSETS[(good_share > 0.0) @ (1 << np.arange(len(BANDS)))]
    offset = hosts.offset_px[host]
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    columns |= {
        "x_offset_px": _nullable(offset[:, 0]),
        "y_offset_px": _nullable(offset[:, 1]),
        "status": status,
        **{name: _nullable(fractions[:, b]) for b, name in enumerate(per_band("bad_pixel_frac_{b}"))},
        "nan_pixels": np.where(present, hosts.nan_px[host], 0),
        "bandset": bandset,
        **{name: _nullable(np.where(ok, values, np.nan)) for name, values in results.items()},
        **{name: _nullable(values) for name, values in magnitudes.items()},
        "image": _pixels_or_null("image", image, ok),
        "invvar": _pixels_or_null("invvar", invvar, ok),
        "maskbits": _pixels_or_null("maskbits", hosts.maskbits[host], ok),
    }
    return STAMPS.table(columns, size=image.shape[-1])


_BANDSETS = np.array(
    ["".join(name for b, name in enumerate(BANDS) if bits >> b & 1) for bits in range(1 << len(BANDS))],
    dtype=object,
)
"""Names of the bands of every set of bands, band b being bit b."""

_RESULTS = (
    "magnification",
    *per_band("arc_flux_{b}_nmgy"),
    *per_band("arc_snr_matched_{b}"),
    *per_band("arc_snr_footprint_{b}"),
    "arc_snr_stamp_r",
    "arc_snr_max_r",
    "sampling_weight",
)


def _record(results: dict[str, FloatArray], rows: NDArray[np.intp], measures: Measures) -> None:
    """Fill in flux and signal-to-noise of the light added to rows."""
    for band, name in enumerate(BANDS):
        results[f"arc_flux_{name}_nmgy"][rows] = measures.flux_nmgy[:, band]
        results[f"arc_snr_matched_{name}"][rows] = measures.matched[:, band]
        results[f"arc_snr_footprint_{name}"][rows] = measures.footprint[:, band]
    r = BANDS.index("r")
    results["arc_snr_stamp_r"][rows] = measures.stamp[:, r]
    results["arc_snr_max_r"][rows] = measures.brightest_pixel[:, r]


def _nullable(values: FloatArray) -> pa.Array:
    """Return a column in which NaN is null."""
    return pa.array(values, mask=np.isnan(values))


def _pixels_or_null(name: str, values: NDArray[Any], ok: NDArray[np.bool_]) -> pa.Array:
    """Return a pixel column that is null where there is no stamp."""
    column = next(c for c in STAMPS.pixel_columns() if c.name == name)
    kind = column.tensor_type(values.shape[-1])
    values[~ok] = 0
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=kind.value_type)
    storage = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])), mask=pa.array(~ok))
    return pa.ExtensionArray.from_storage(kind, storage)
