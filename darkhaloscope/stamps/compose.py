"""Rows of the manifest become stamps: the light of each row on the pixels of its host.

One function for every use: injection of a work unit, one row made again, the
selection function. All that is random was drawn in the manifest, but for photon
noise, whose generator is keyed by the task id. The stamp of a row depends on
that row, its host, its source and, for matched light, its twin; never on the
rows beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.config import Experiment
from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing import noise, snr
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.render import render_lensed, render_unlensed
from darkhaloscope.schema import BANDS, STAMPS, per_band
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.hostpixels import HostStamps
from darkhaloscope.stamps.kinds import MATCHED_LIGHT, POSITIVE
from darkhaloscope.survey.release import get_release

FloatArray = NDArray[np.float64]

MAX_LIGHT_RADIUS = 0.8
"""Matched light is put within this share of half the stamp's side, so that it stays on the stamp."""

MIN_SHARE_ON_STAMP = 0.01
"""Light of which less than this share falls on the stamp counts as off the stamp: those are PSF wings."""

_LENS_COLUMNS = (
    "theta_e_arcsec",
    "lens_q",
    "lens_phi_rad",
    "gamma1",
    "gamma2",
    "src_x_arcsec",
    "src_y_arcsec",
    "src_rotation_rad",
)


@dataclass(frozen=True)
class _Light:
    """Noiseless added light of the rows that have any.

    Parameters
    ----------
    rows : ndarray of int, shape (k,)
        Rows of the manifest table.
    image : ndarray of float32, shape (k, bands, size, size)
        nMgy/px.
    magnification : ndarray, shape (k,)
        NaN for unlensed light.
    status : list of str, length k
        ``ok``, or why the light cannot be added.
    """

    rows: NDArray[np.intp]
    image: NDArray[np.float32]
    magnification: FloatArray
    status: list[str]


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
    light = _added_light(rows, twins, status, hosts, sources, geometry)
    return _table(rows, host, status, light, hosts, experiment)


def _added_light(
    rows: pa.Table,
    twins: pa.Table | None,
    status: NDArray[Any],
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
) -> list[_Light]:
    """Return the light of positives and of matched-light rows; mark rows that get none in ``status``."""
    kind = np.asarray(rows["control_kind"].to_pylist(), dtype=object)
    positive = np.flatnonzero((kind == POSITIVE) & (status == "ok"))
    arcs = _arcs(rows, positive, hosts, sources, geometry)
    status[positive] = arcs.status

    matched = np.flatnonzero((kind == MATCHED_LIGHT) & (status == "ok"))
    of_twin = _Twins(rows, arcs, twins, hosts, sources, geometry)
    found = [of_twin.arc(name) for name in rows["twin_task_id"].take(pa.array(matched)).to_pylist()]
    status[[row for row, arc in zip(matched, found, strict=True) if arc is None]] = "twin_lost"
    keep = [i for i, arc in enumerate(found) if arc is not None]
    light = _matched_light(rows, matched[keep], [found[i] for i in keep], hosts, sources, geometry)
    status[light.rows] = light.status
    return [arcs, light]


class _Twins:
    """Arcs of positives by task id: those of the table, and those rendered in passing."""

    def __init__(
        self,
        rows: pa.Table,
        arcs: _Light,
        twins: pa.Table | None,
        hosts: HostStamps,
        sources: SourceLibrary,
        geometry: StampGeometry,
    ) -> None:
        self._hosts = hosts
        self._arc: dict[str, tuple[NDArray[np.float32], str] | None] = {}
        self._fill(rows, arcs)
        if twins is not None and twins.num_rows:
            usable = [
                i
                for i, name in enumerate(twins["host_id"].to_pylist())
                if name in hosts.row_of and hosts.status[hosts.row_of[name]] == "ok"
            ]
            self._fill(twins, _arcs(twins, np.asarray(usable, np.intp), hosts, sources, geometry))

    def _fill(self, table: pa.Table, arcs: _Light) -> None:
        kinds = table["control_kind"].to_pylist()
        ids, host_ids = table["task_id"].to_pylist(), table["host_id"].to_pylist()
        for i, kind in enumerate(kinds):
            if kind == POSITIVE:
                self._arc.setdefault(ids[i], None)
        for row, image, status in zip(arcs.rows, arcs.image, arcs.status, strict=True):
            if status == "ok":
                self._arc[ids[row]] = (image, host_ids[row])

    def arc(self, task_id: str) -> tuple[NDArray[np.float32], FloatArray] | None:
        """Return (arc, offset of its host in px), or None if the positive has no stamp."""
        if task_id not in self._arc:
            raise ContractError(describe("Matched light without its twin", field="twin_task_id", row=task_id))
        known = self._arc[task_id]
        if known is None:
            return None
        image, host_id = known
        return image, self._hosts.offset_px[self._hosts.row_of[host_id]]


def _light(
    rows: NDArray[np.intp], image: NDArray[np.float32], magnification: FloatArray, total_nmgy: FloatArray
) -> _Light:
    """Judge rendered light against its flux before PSF and stamp edges, shape (k, bands)."""
    finite = np.isfinite(image).all(axis=(1, 2, 3))
    on_stamp = (image.sum(axis=(-2, -1), dtype=np.float64) > MIN_SHARE_ON_STAMP * total_nmgy).all(axis=1)
    status = np.where(finite, np.where(on_stamp, "ok", "light_off_stamp"), "light_non_finite")
    return _Light(rows, image, magnification, status.tolist())


def _arcs(
    table: pa.Table,
    chosen: NDArray[np.intp],
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
) -> _Light:
    """Render the lensed sources of the chosen rows."""
    rows = table.take(pa.array(chosen))
    values = {name: rows[name].to_numpy() for name in _LENS_COLUMNS}
    x, y = _galaxy_arcsec(rows, hosts, geometry)
    flux = 10.0 ** (0.4 * (22.5 - _by_band(rows, "src_mag_{b}")))
    rendered = render_lensed(
        _templates(rows, sources),
        template_scale_arcsec=sources.pixel_scale_arcsec,
        size_px=geometry.size_px,
        pixel_scale_arcsec=geometry.pixel_scale_arcsec,
        lens_x_arcsec=x + rows["lens_x_arcsec"].to_numpy(),
        lens_y_arcsec=y + rows["lens_y_arcsec"].to_numpy(),
        src_flip=np.asarray(rows["src_flip"].to_pylist(), dtype=bool),
        psf_fwhm_arcsec=_by_band(rows, "psf_fwhm_{b}_arcsec"),
        flux_nmgy=flux,
        **values,
    )
    total = flux * rendered.magnification[:, None]
    return _light(chosen, rendered.image, rendered.magnification, total)


def _matched_light(
    table: pa.Table,
    chosen: NDArray[np.intp],
    twins: list[Any],
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
) -> _Light:
    """Render the sources of the chosen rows unlensed, each with the added flux of its twin's arc."""
    rows = table.take(pa.array(chosen))
    x, y = _galaxy_arcsec(rows, hosts, geometry)
    quantile = rows["light_quantile"].to_numpy()
    azimuth = rows["light_azimuth_rad"].to_numpy()
    radius = np.array(
        [light_radius_px(arc, offset, q) for (arc, offset), q in zip(twins, quantile, strict=True)]
    )
    radius = np.minimum(radius, MAX_LIGHT_RADIUS * geometry.size_px / 2.0) * geometry.pixel_scale_arcsec
    flux = np.array([arc.sum(axis=(-2, -1), dtype=np.float64) for arc, _ in twins]).reshape(-1, len(BANDS))
    rendered = render_unlensed(
        _templates(rows, sources),
        template_scale_arcsec=sources.pixel_scale_arcsec,
        size_px=geometry.size_px,
        pixel_scale_arcsec=geometry.pixel_scale_arcsec,
        x_arcsec=x + radius * np.cos(azimuth),
        y_arcsec=y + radius * np.sin(azimuth),
        rotation_rad=rows["src_rotation_rad"].to_numpy(),
        flip=np.asarray(rows["src_flip"].to_pylist(), dtype=bool),
        psf_fwhm_arcsec=_by_band(rows, "psf_fwhm_{b}_arcsec"),
        flux_nmgy=flux,
    ).image
    # What the wings carry beyond the edge is put back: the twin's flux is that on its stamp, too.
    on_stamp = rendered.sum(axis=(-2, -1), dtype=np.float64)
    scale = np.divide(flux, on_stamp, out=np.zeros_like(flux), where=on_stamp > 0.0)
    image = rendered * scale.astype(np.float32)[:, :, None, None]
    return _light(chosen, image, np.full(len(chosen), np.nan), flux)


def light_radius_px(arc: NDArray[np.float32], offset_px: Any, quantile: float) -> float:
    """Return the radius about the galaxy that holds a given share of an arc's r-band light.

    Parameters
    ----------
    arc : ndarray, shape (bands, size, size)
        Noiseless light. Unit: nMgy/px.
    offset_px : (x, y)
        Galaxy minus stamp centre.
    quantile : float
        Share of the light, in (0, 1).

    Returns
    -------
    float
        Unit: px. Between pixel radii the share grows linearly.
    """
    size = arc.shape[-1]
    radius = StampGeometry(size, 1.0).radius_px(float(offset_px[0]), float(offset_px[1])).ravel()
    light = np.maximum(arc[BANDS.index("r")].astype(np.float64).ravel(), 0.0)
    order = np.argsort(radius, kind="stable")
    share = np.cumsum(light[order])
    return float(np.interp(quantile * share[-1], share, radius[order]))


def _galaxy_arcsec(
    rows: pa.Table, hosts: HostStamps, geometry: StampGeometry
) -> tuple[FloatArray, FloatArray]:
    """Return the host galaxy's place relative to the stamp centre."""
    at = [hosts.row_of[name] for name in rows["host_id"].to_pylist()]
    offset = hosts.offset_px[at].reshape(-1, 2) * geometry.pixel_scale_arcsec
    return offset[:, 0], offset[:, 1]


def _templates(rows: pa.Table, sources: SourceLibrary) -> NDArray[np.float32]:
    index = [sources.index_of(name) for name in rows["source_id"].to_pylist()]
    return sources.templates(np.asarray(index, dtype=np.int64))


def _by_band(rows: pa.Table, template: str) -> FloatArray:
    return np.stack([rows[name].to_numpy() for name in per_band(template)], axis=1)


def _table(
    rows: pa.Table,
    host: NDArray[np.intp],
    status: NDArray[Any],
    lights: list[_Light],
    hosts: HostStamps,
    experiment: Experiment,
) -> pa.Table:
    """Put light on hosts and measure what was added."""
    n, present = rows.num_rows, host >= 0
    image, invvar = hosts.image[host], hosts.invvar[host]
    results: dict[str, FloatArray] = {name: np.full(n, np.nan) for name in _RESULTS}
    ids = rows["task_id"].to_pylist()
    for light in lights:
        for row, added, magnification in zip(light.rows, light.image, light.magnification, strict=True):
            if status[row] != "ok":
                continue
            at = host[row]
            if experiment.noise.arc_shot_noise:
                noisy = noise.add_photon_noise(
                    added,
                    sky_nmgy=hosts.sky_nmgy[at][:, None, None],
                    invvar=hosts.invvar[at],
                    rng=streams.generator(experiment.seed, "photon_noise", ids[row]),
                )
                image[row] += noisy.light
                invvar[row] = noisy.invvar
            else:
                image[row] += added
            results["magnification"][row] = magnification
            _measure(results, row, added, invvar[row], hosts.good[at])
    ok = status == "ok"
    fractions = np.where(present[:, None], 1.0 - hosts.good[host].mean(axis=(-2, -1)), np.nan)
    valid = np.asarray(hosts.good[host].any(axis=(-2, -1)), dtype=bool)
    bandset = [
        "".join(b for b, is_valid in zip(BANDS, row, strict=True) if is_valid) for row in valid.tolist()
    ]
    finite = np.isfinite(image).all(axis=1) & np.isfinite(invvar).all(axis=1)
    offset = hosts.offset_px[host]
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    columns |= {
        "x_offset_px": _nullable(offset[:, 0]),
        "y_offset_px": _nullable(offset[:, 1]),
        "status": status,
        **{name: _nullable(fractions[:, b]) for b, name in enumerate(per_band("bad_pixel_frac_{b}"))},
        "nan_pixels": np.where(present, (~finite).sum(axis=(-2, -1)), 0),
        "bandset": bandset,
        **{name: _nullable(np.where(ok, values, np.nan)) for name, values in results.items()},
        "image": _pixels_or_null("image", image, ok),
        "invvar": _pixels_or_null("invvar", invvar, ok),
        "maskbits": _pixels_or_null("maskbits", hosts.maskbits[host], ok),
    }
    return STAMPS.table(columns, size=image.shape[-1])


_RESULTS = (
    "magnification",
    *per_band("arc_flux_{b}_nmgy"),
    *per_band("arc_snr_matched_{b}"),
    *per_band("arc_snr_footprint_{b}"),
    "arc_snr_stamp_r",
    "arc_snr_max_r",
)


def _measure(
    results: dict[str, FloatArray],
    row: int,
    added: NDArray[np.float32],
    invvar: NDArray[np.float32],
    good: NDArray[np.bool_],
) -> None:
    """Fill in flux and signal-to-noise of the added light of one row."""
    light = added.astype(np.float64)
    flux = light.sum(axis=(-2, -1))
    matched, footprint = snr.matched(light, invvar, good), snr.footprint(light, invvar, good)
    for band, name in enumerate(BANDS):
        results[f"arc_flux_{name}_nmgy"][row] = flux[band]
        results[f"arc_snr_matched_{name}"][row] = matched[band]
        results[f"arc_snr_footprint_{name}"][row] = footprint[band]
    r = BANDS.index("r")
    results["arc_snr_stamp_r"][row] = snr.stamp(light[r], invvar[r], good[r])
    results["arc_snr_max_r"][row] = snr.brightest_pixel(light[r], invvar[r], good[r])


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
