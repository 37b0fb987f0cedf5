"""The light that a row adds to its host: arcs, and the same light unlensed.

Positives get their lensed source. A matched-light control gets the source of
its twin without the lens: as much light in every band as the twin's arc has,
placed where a share of the arc's light lies. Hosts are not changed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.render import Annuli
from darkhaloscope.lensing.renderers import Renderer, open_renderer
from darkhaloscope.schema import BANDS
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.chosen_flux import choose_flux
from darkhaloscope.stamps.hostpixels import HostStamps
from darkhaloscope.stamps.kinds import MATCHED_LIGHT, POSITIVE
from darkhaloscope.stamps.scenes import (
    by_band,
    flipped,
    galaxy_arcsec,
    lens_scene,
    lensed_faults,
    source_flux_nmgy,
    templates_of,
    unlensed_faults,
)

FloatArray = NDArray[np.float64]
Images = NDArray[np.float32]

MAX_LIGHT_RADIUS = 0.8
"""Matched light is put within this share of half the stamp's side, so that it stays on the stamp."""

MIN_SHARE_ON_STAMP = 0.5
"""Light of which less than this share falls on the stamp counts as off the stamp: it shows no whole arc."""

_RADIAL_BIN_PX = 0.25


@dataclass(frozen=True)
class Light:
    """Noiseless added light of k rows.

    Parameters
    ----------
    rows : ndarray of int, shape (k,)
        Rows of the manifest table.
    image : ndarray of float32, shape (k, bands, size, size)
        nMgy/px.
    magnification : ndarray, shape (k,)
        NaN for unlensed light.
    flux_scale : ndarray, shape (k,)
        Applied flux over that of the manifest row, alike in all bands.
    weight : ndarray, shape (k,)
        Sampling weight; that of the twin for matched light.
    status : list of str, length k
        ``ok``, or why the light cannot be added.
    in_annuli : ndarray, shape (k, annuli), or None
        Light before the PSF in annuli about the galaxy, if it was asked for.
    """

    rows: NDArray[np.intp]
    image: Images
    magnification: FloatArray
    flux_scale: FloatArray
    weight: FloatArray
    status: list[str]
    in_annuli: FloatArray | None = None


def added_light(
    rows: pa.Table,
    twins: pa.Table | None,
    status: NDArray[Any],
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
    experiment: Experiment,
) -> list[Light]:
    """Render the light of positives and of matched-light rows.

    Parameters
    ----------
    rows : pyarrow.Table
        MANIFEST, n rows.
    twins : pyarrow.Table or None
        Positives that ``rows`` refers to and does not hold.
    status : ndarray of object, shape (n,)
        ``ok`` where the host can carry a stamp; changed in place for rows that
        get no light.
    hosts : HostStamps
        For the place of the galaxy on its stamp.
    sources : SourceLibrary
        Templates.
    geometry : StampGeometry
        Of the stamps.
    experiment : Experiment
        How the flux is chosen of rows that aim at an S/N.

    Returns
    -------
    list of Light
        That of positives and, if there are any, that of matched-light rows.

    Raises
    ------
    ContractError
        If the twin of a matched-light row is given nowhere.
    """
    kind = np.asarray(rows["control_kind"].to_pylist(), dtype=object)
    located = bool((kind == MATCHED_LIGHT).any())
    positive = _without(lensed_faults, rows, kind == POSITIVE, status, hosts, sources, geometry)
    arcs = _arcs(positive, hosts, sources, geometry, experiment, located=located)
    status[positive.rows] = arcs.status

    if not located:
        return [arcs]
    matched = _without(unlensed_faults, rows, kind == MATCHED_LIGHT, status, hosts, sources, geometry)
    twin_of = _twins_of(rows, matched, arcs, twins, hosts, sources, geometry, experiment)
    status[matched.rows[~twin_of.usable]] = "twin_lost"
    light = _matched_light(matched.of(twin_of.usable), twin_of, hosts, sources, geometry, experiment)
    status[light.rows] = light.status
    return [arcs, light]


class _Chosen(NamedTuple):
    """Rows of a table that can be rendered.

    Attributes
    ----------
    rows : ndarray of int, shape (k,)
        Which rows of the table they are.
    table : pyarrow.Table
        These rows.
    templates : ndarray of float32, shape (k, t, t)
        Of their sources.
    """

    rows: NDArray[np.intp]
    table: pa.Table
    templates: Images

    def of(self, kept: NDArray[np.bool_]) -> _Chosen:
        """Return some of them."""
        if kept.all():
            return self
        return _Chosen(self.rows[kept], self.table.filter(pa.array(kept)), self.templates[kept])


def _without(
    faults: Callable[[pa.Table, Images, float, HostStamps, StampGeometry], NDArray[np.object_]],
    rows: pa.Table,
    asked: NDArray[np.bool_],
    status: NDArray[Any],
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
) -> _Chosen:
    """Return the asked rows that can be rendered, after writing the status of those that cannot."""
    chosen = np.flatnonzero(asked & (status == "ok"))
    wanted = rows.take(pa.array(chosen))
    templates = templates_of(wanted, sources)
    found = faults(wanted, templates, sources.pixel_scale_arcsec, hosts, geometry)
    status[chosen[found != ""]] = found[found != ""]
    return _Chosen(np.asarray(chosen, dtype=np.intp), wanted, templates).of(found == "")


class _Twins(NamedTuple):
    """Twins of m matched-light rows.

    Attributes
    ----------
    flux_nmgy : ndarray, shape (u, bands)
        Flux of the arcs of usable twins on their stamps, in the order of the m.
    weight : ndarray, shape (u,)
        Their sampling weights.
    in_annuli : ndarray, shape (u, annuli)
        Light of their arcs before the PSF, in annuli about their galaxies.
    usable : ndarray of bool, shape (m,)
        Whether the twin has a stamp.
    """

    flux_nmgy: FloatArray
    weight: FloatArray
    in_annuli: FloatArray
    usable: NDArray[np.bool_]


def _twins_of(
    rows: pa.Table,
    matched: _Chosen,
    arcs: Light,
    twins: pa.Table | None,
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
    experiment: Experiment,
) -> _Twins:
    """Find the twin of every matched-light row."""
    known = _fluxes(rows, arcs)
    positives = set(rows["task_id"].filter(pc.equal(rows["control_kind"], POSITIVE)).to_pylist())
    if twins is not None and twins.num_rows:
        names = twins["task_id"].to_pylist()
        at = [hosts.row_of.get(name) for name in twins["host_id"].to_pylist()]
        status = np.array(["host_missing" if h is None else hosts.status[h] for h in at], dtype=object)
        absent = np.array([name not in positives for name in names], dtype=bool)
        new = _without(lensed_faults, twins, absent, status, hosts, sources, geometry)
        known |= _fluxes(twins, _arcs(new, hosts, sources, geometry, experiment, located=True))
        positives |= set(names)
    names = matched.table["twin_task_id"].to_pylist()
    for name in names:
        if name not in positives:
            raise ContractError(describe("Matched light without its twin", field="twin_task_id", row=name))
    usable = np.array([name in known for name in names], dtype=bool)
    found = [known[name] for name in names if name in known]
    assert arcs.in_annuli is not None
    return _Twins(
        flux_nmgy=np.array([flux for flux, _, _ in found]).reshape(-1, len(BANDS)),
        weight=np.array([weight for _, weight, _ in found], dtype=np.float64),
        in_annuli=np.array([light for _, _, light in found]).reshape(len(found), arcs.in_annuli.shape[1]),
        usable=usable,
    )


def _fluxes(table: pa.Table, arcs: Light) -> dict[str, tuple[FloatArray, float, FloatArray]]:
    """Return flux per band, weight and light in annuli of every arc that could be added, by task id."""
    assert arcs.in_annuli is not None
    ids = table["task_id"].take(pa.array(arcs.rows)).to_pylist()
    flux = arcs.image.sum(axis=(-2, -1), dtype=np.float64)
    return {
        name: (flux[i], float(arcs.weight[i]), arcs.in_annuli[i])
        for i, (name, status) in enumerate(zip(ids, arcs.status, strict=True))
        if status == "ok"
    }


def _status(image: Images, total_nmgy: FloatArray) -> NDArray[Any]:
    """Judge rendered light against its flux before PSF and stamp edges, shape (k, bands)."""
    flux_nmgy = image.sum(axis=(-2, -1), dtype=np.float64)
    finite = np.isfinite(flux_nmgy).all(axis=1)  # one bad pixel is enough
    on_stamp = (flux_nmgy > MIN_SHARE_ON_STAMP * total_nmgy).all(axis=1)
    return np.where(finite, np.where(on_stamp, "ok", "light_off_stamp"), "light_non_finite").astype(object)


def _arcs(
    chosen: _Chosen,
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
    experiment: Experiment,
    *,
    located: bool,
) -> Light:
    """Render the lensed sources of the chosen rows, at the flux of the row or of its target S/N."""
    rows = chosen.table
    flux = source_flux_nmgy(rows)
    rendered = _renderer(experiment).lensed(
        chosen.templates,
        template_scale_arcsec=sources.pixel_scale_arcsec,
        size_px=geometry.size_px,
        pixel_scale_arcsec=geometry.pixel_scale_arcsec,
        psf_fwhm_arcsec=by_band(rows, "psf_fwhm_{b}_arcsec"),
        flux_nmgy=flux,
        annuli=_annuli(rows, hosts, geometry) if located else None,
        **lens_scene(rows, hosts, geometry),
    )
    status = _status(rendered.image, flux * rendered.magnification[:, None])
    choice = choose_flux(rows, rendered.image, hosts=hosts, sources=sources, experiment=experiment)
    status[(status == "ok") & ~choice.reached] = "snr_unreachable"
    image = rendered.image
    if (choice.scale != 1.0).any():
        image = image * choice.scale.astype(np.float32)[:, None, None, None]
    return Light(
        chosen.rows,
        image,
        rendered.magnification,
        choice.scale,
        choice.weight,
        status.tolist(),
        rendered.in_annuli,
    )


def _annuli(rows: pa.Table, hosts: HostStamps, geometry: StampGeometry) -> Annuli:
    """Return annuli about the host galaxies that cover any stamp."""
    x, y = galaxy_arcsec(rows, hosts, geometry)
    # A galaxy lies within half a pixel of the centre of its stamp, along x and along y.
    reach_px = (geometry.size_px + 1.0) / math.sqrt(2.0)
    return Annuli(
        np.stack([x, y], axis=1),
        _RADIAL_BIN_PX * geometry.pixel_scale_arcsec,
        math.ceil(reach_px / _RADIAL_BIN_PX),
    )


def _matched_light(
    chosen: _Chosen,
    twins: _Twins,
    hosts: HostStamps,
    sources: SourceLibrary,
    geometry: StampGeometry,
    experiment: Experiment,
) -> Light:
    """Render the sources of the chosen rows unlensed, each with the flux of its twin's arc."""
    rows, flux_nmgy = chosen.table, twins.flux_nmgy
    radius = light_radii_px(twins.in_annuli, rows["light_quantile"].to_numpy())
    # What spreads the matched light and not the arc, its own size, is taken out in quadrature, so
    # the second moment of the light about the galaxy is the arc's.
    size_px = sources.pixel_scale_arcsec / geometry.pixel_scale_arcsec
    spread_px2 = _second_moments_px2(chosen.templates) * size_px**2
    radius = np.sqrt(np.maximum(radius**2 - spread_px2, 0.0))
    radius = np.minimum(radius, MAX_LIGHT_RADIUS * geometry.size_px / 2.0) * geometry.pixel_scale_arcsec
    azimuth = rows["light_azimuth_rad"].to_numpy()
    x, y = galaxy_arcsec(rows, hosts, geometry)
    renderer = _renderer(experiment)
    rendered = renderer.unlensed(
        chosen.templates,
        template_scale_arcsec=sources.pixel_scale_arcsec,
        size_px=geometry.size_px,
        pixel_scale_arcsec=geometry.pixel_scale_arcsec,
        x_arcsec=x + radius * np.cos(azimuth),
        y_arcsec=y + radius * np.sin(azimuth),
        rotation_rad=rows["src_rotation_rad"].to_numpy(),
        flip=flipped(rows),
        psf_fwhm_arcsec=by_band(rows, "psf_fwhm_{b}_arcsec"),
        flux_nmgy=flux_nmgy,
    ).image
    # What the wings carry beyond the edge is put back: the twin's flux is that on its stamp, too.
    on_stamp = rendered.sum(axis=(-2, -1), dtype=np.float64)
    scale = np.divide(flux_nmgy, on_stamp, out=np.zeros_like(flux_nmgy), where=on_stamp > 0.0)
    image = rendered * scale.astype(np.float32)[:, :, None, None]
    nothing = np.full(rows.num_rows, np.nan)
    return Light(
        chosen.rows, image, nothing, np.ones(rows.num_rows), twins.weight, _status(image, flux_nmgy).tolist()
    )


def _second_moments_px2(templates: Images) -> FloatArray:
    """Return the mean squared distance of the light from the middle of each template."""
    squared = StampGeometry(templates.shape[-1], 1.0).radius_px().ravel() ** 2
    light = np.maximum(templates, 0.0).reshape(len(templates), squared.size)
    # einsum and not a matrix product: the sum of a row must not depend on the rows beside it.
    return np.asarray(np.einsum("ni,i->n", light, squared) / light.sum(axis=1, dtype=np.float64))


def light_radii_px(in_annuli: FloatArray, quantile: Any) -> FloatArray:
    """Return the radius that holds a given share of light.

    Parameters
    ----------
    in_annuli : ndarray, shape (n, annuli)
        Light of each annulus, from the middle outwards, any unit.
    quantile : array_like, shape (n,)
        Shares of the light, in (0, 1).

    Returns
    -------
    ndarray, shape (n,)
        Unit: px. Within annuli of a quarter of a pixel the share grows linearly.
    """
    share = np.concatenate([np.zeros((len(in_annuli), 1)), np.cumsum(in_annuli, axis=1)], axis=1)
    edges_px = np.arange(share.shape[1]) * _RADIAL_BIN_PX
    return np.array(
        [np.interp(q * s[-1], s, edges_px) for q, s in zip(np.asarray(quantile), share, strict=True)]
    )


def _renderer(experiment: Experiment) -> Renderer:
    return open_renderer(experiment.renderer.engine, experiment.renderer.quality)
