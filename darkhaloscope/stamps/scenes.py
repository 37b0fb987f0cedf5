"""Manifest rows as scenes: what the renderers are given, and which rows they cannot be given.

A row with a value that no renderer takes has a status that names the field; its
neighbours are made as if it were not there. Rendering itself is in ``light``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.scene import TEMPLATE_SUM_TOLERANCE, Scenes, unlensed_scene
from darkhaloscope.schema import per_band
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.hostpixels import HostStamps

FloatArray = NDArray[np.float64]
Images = NDArray[np.float32]

LENS_COLUMNS = (
    "theta_e_arcsec",
    "lens_q",
    "lens_phi_rad",
    "gamma1",
    "gamma2",
    "src_x_arcsec",
    "src_y_arcsec",
    "src_rotation_rad",
)
"""Manifest columns that the renderers take under their own names."""

BRIGHTEST_MAG = 5.0
"""No source is brighter in any band; another unit was meant. Invisibly faint ones are legal."""

MAX_REACH_STAMPS = 4.0
"""Light that reaches farther from the deflector than this many stamp sides has another unit."""

_COLUMN_OF: Mapping[str, str] = MappingProxyType(
    {"psf_fwhm_arcsec": "psf_fwhm", "flux_nmgy": "src_mag", "gamma1": "shear", "gamma2": "shear"}
)


def galaxy_arcsec(
    rows: pa.Table, hosts: HostStamps, geometry: StampGeometry
) -> tuple[FloatArray, FloatArray]:
    """Return the host galaxies' places (x, y) relative to their stamps' centres, shape (n,) each."""
    at = [hosts.row_of[name] for name in rows["host_id"].to_pylist()]
    offset = hosts.offset_px[at].reshape(-1, 2) * geometry.pixel_scale_arcsec
    return offset[:, 0], offset[:, 1]


def templates_of(rows: pa.Table, sources: SourceLibrary) -> Images:
    """Return the source template of every row, shape (n, t, t)."""
    index = [sources.index_of(name) for name in rows["source_id"].to_pylist()]
    return sources.templates(np.asarray(index, dtype=np.int64))


def by_band(rows: pa.Table, template: str) -> FloatArray:
    """Return the columns of a quantity, shape (n, bands)."""
    return np.stack([rows[name].to_numpy() for name in per_band(template)], axis=1)


def flipped(rows: pa.Table) -> NDArray[np.bool_]:
    """Return whether each template is mirrored, shape (n,)."""
    return np.asarray(rows["src_flip"].to_pylist(), dtype=bool)


def source_flux_nmgy(rows: pa.Table) -> FloatArray:
    """Return the unlensed flux of every source, shape (n, bands); not finite for impossible magnitudes."""
    mag = by_band(rows, "src_mag_{b}")
    possible = np.isfinite(mag) & (mag >= BRIGHTEST_MAG)
    return np.asarray(10.0 ** (0.4 * (22.5 - np.where(possible, mag, np.nan))))


def lens_scene(rows: pa.Table, hosts: HostStamps, geometry: StampGeometry) -> dict[str, Any]:
    """Return deflector and source of every row, as ``Scenes`` takes them, without PSF and flux."""
    x, y = galaxy_arcsec(rows, hosts, geometry)
    return {
        "lens_x_arcsec": x + rows["lens_x_arcsec"].to_numpy(),
        "lens_y_arcsec": y + rows["lens_y_arcsec"].to_numpy(),
        "src_flip": flipped(rows),
        **{name: rows[name].to_numpy() for name in LENS_COLUMNS},
    }


def lensed_faults(
    rows: pa.Table,
    templates: Images,
    template_scale_arcsec: float,
    hosts: HostStamps,
    geometry: StampGeometry,
) -> NDArray[np.object_]:
    """Return why the lensed source of each row cannot be rendered.

    Parameters
    ----------
    rows : pyarrow.Table
        MANIFEST, n positives whose hosts have stamps.
    templates : ndarray of float32, shape (n, t, t)
        Of their sources.
    template_scale_arcsec : float
        Side of a template pixel.
    hosts : HostStamps
        For the place of the galaxy.
    geometry : StampGeometry
        Of the stamps.

    Returns
    -------
    ndarray of object, shape (n,)
        ``""`` or a status: ``bad_<column>``, ``bad_template``, ``image_too_large``.
    """
    scenes = Scenes.unchecked(
        rows.num_rows,
        **lens_scene(rows, hosts, geometry),
        psf_fwhm_arcsec=by_band(rows, "psf_fwhm_{b}_arcsec"),
        flux_nmgy=source_flux_nmgy(rows),
    )
    faults = _named(scenes.faults())
    with np.errstate(invalid="ignore", divide="ignore"):  # rows that are refused already
        # A deflector without mass makes no lens, though it can be rendered.
        _mark(faults, scenes.theta_e_arcsec <= 0.0, "bad_theta_e_arcsec")
        half_diagonal = templates.shape[-1] / np.sqrt(2.0) * template_scale_arcsec
        reach = scenes.reach_arcsec(half_diagonal)
        limit = MAX_REACH_STAMPS * geometry.size_px * geometry.pixel_scale_arcsec
        _mark(faults, ~(reach <= limit), "image_too_large")
    return _with_orientation(faults, rows, templates)


def unlensed_faults(
    rows: pa.Table,
    templates: Images,
    template_scale_arcsec: float,  # noqa: ARG001  # called in the place of ``lensed_faults``
    hosts: HostStamps,
    geometry: StampGeometry,
) -> NDArray[np.object_]:
    """Return why the bare source of each row cannot be rendered; as :func:`lensed_faults`."""
    x, y = galaxy_arcsec(rows, hosts, geometry)
    fwhm = by_band(rows, "psf_fwhm_{b}_arcsec")
    scenes = Scenes.unchecked(
        rows.num_rows,
        **unlensed_scene(x, y, rows["src_rotation_rad"].to_numpy(), flipped(rows)),
        psf_fwhm_arcsec=fwhm,
        flux_nmgy=np.ones_like(fwhm),
    )
    faults = _named(scenes.faults())
    share = rows["light_quantile"].to_numpy()
    _mark(faults, ~((share > 0.0) & (share < 1.0)), "bad_light_quantile")
    _mark(faults, ~np.isfinite(rows["light_azimuth_rad"].to_numpy()), "bad_light_azimuth_rad")
    return _with_orientation(faults, rows, templates)


def _named(fields: NDArray[np.object_]) -> NDArray[np.object_]:
    """Turn names of scene fields into statuses."""
    return np.array([f"bad_{_COLUMN_OF.get(name, name)}" if name else "" for name in fields], dtype=object)


def _with_orientation(faults: NDArray[np.object_], rows: pa.Table, templates: Images) -> NDArray[np.object_]:
    """Add what a missing mirror flag and a template that is no share of a flux spoil."""
    _mark(faults, pc.is_null(rows["src_flip"]).to_numpy(), "bad_src_flip")
    with np.errstate(invalid="ignore"):
        sums = templates.sum(axis=(1, 2), dtype=np.float64)
    _mark(faults, ~(np.abs(sums - 1.0) <= TEMPLATE_SUM_TOLERANCE), "bad_template")
    return faults


def _mark(faults: NDArray[np.object_], bad: NDArray[np.bool_], status: str) -> None:
    """Give a status to rows that have none yet."""
    faults[bad & (faults == "")] = status
