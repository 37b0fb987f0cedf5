"""Planted faults: each takes sound rows and returns rows with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from gate_world import changed, keep, kinds, quantised, values
from numpy.typing import NDArray
from scipy import ndimage

from darkhaloscope import tabular
from darkhaloscope.sources.bankfile import SourceBank, write_bank
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.stamps.quantise import image_steps
from darkhaloscope.streams import digest_id, generator, uniform

BankContent = tuple[NDArray[np.float64], dict[str, NDArray[Any]], dict[str, Any]]
BankChange = Callable[[BankContent], BankContent]
"""Templates, columns and metadata of a source bank, and what is done to them."""


def sharper_seeing(table: pa.Table, shift_arcsec: float = -0.06) -> pa.Table:
    """Positives taken in better seeing than their controls (Q1)."""
    seeing = values(table, "psf_fwhm_r_arcsec")
    return changed(table, psf_fwhm_r_arcsec=seeing + shift_arcsec * (kinds(table) == "positive"))


def brighter_hosts(table: pa.Table) -> pa.Table:
    """Positives on the brighter half of the hosts only (Q1, S2, S3; L94)."""
    bright = values(table, "host_mag_r") < np.median(values(table, "host_mag_r"))
    return keep(table, bright | (kinds(table) != "positive"))


def constant_conditions(table: pa.Table) -> pa.Table:
    """A table whose seeing column was filled with one default (Q1; L108)."""
    return changed(table, psf_fwhm_r_arcsec=np.full(table.num_rows, 1.3))


def missing_band(table: pa.Table, rows: int = 3) -> pa.Table:
    """A few controls whose z band is empty (Q2)."""
    bandset = values(table, "bandset").astype(object)
    chosen = np.flatnonzero(kinds(table) == "unpaired")[:rows]
    bandset[chosen] = "gr"
    return changed(table, bandset=bandset)


def empty_plane(table: pa.Table) -> pa.Table:
    """A stamp without inverse variance in z that still calls itself complete (Q2)."""
    invvar = tabular.pixels(table, "invvar").copy()
    invvar[5, 2] = 0.0
    return changed(table, invvar=invvar)


def nan_pixel(table: pa.Table, *, counted: bool) -> pa.Table:
    """One NaN in one ok row, with or without the column that should say so (Q3)."""
    image = tabular.pixels(table, "image").copy()
    image[7, 1, 20, 20] = np.nan
    nan_pixels = values(table, "nan_pixels")
    nan_pixels[7] += counted
    return changed(table, image=image, nan_pixels=nan_pixels)


def lose_wide_psf(stamps: pa.Table, limit_arcsec: float = 1.354) -> pa.Table:
    """Positives in poor seeing end without pixels: the kernel was wider than the stamp (Q4; L28)."""
    status = values(stamps, "status").astype(object)
    wide = (values(stamps, "control_kind") == "positive") & (
        values(stamps, "psf_fwhm_r_arcsec") > limit_arcsec
    )
    status[wide] = "psf_kernel_too_large"
    at = stamps.column_names.index("status")
    return stamps.set_column(at, stamps.schema.field("status"), pa.array(status, pa.string()))


def without_controls(table: pa.Table, split: str) -> pa.Table:
    """A split of one class (Q5; L98)."""
    return keep(table, (values(table, "split") != split) | (kinds(table) == "positive"))


def half_the_positives(table: pa.Table) -> pa.Table:
    """Every second positive is gone, its controls are not (Q5)."""
    drawn = uniform(1, "fault", table["task_id"].to_pylist())
    return keep(table, (kinds(table) != "positive") | (drawn < 0.5))


def faint_arcs_missing(table: pa.Table, share: float = 0.8) -> pa.Table:
    """Most of the fainter half of the arcs were lost on the way: easy cases remain (Q7)."""
    drawn = uniform(1, "fault", table["task_id"].to_pylist())
    snr = values(table, "arc_snr_footprint_r").astype(float)
    faint = (kinds(table) == "positive") & (snr < np.nanmedian(snr[kinds(table) == "positive"]))
    return keep(table, ~(faint & (drawn < share)))


def relabelled_rows(table: pa.Table, share: float = 0.75) -> pa.Table:
    """Val rows called train by a hash of the row, not of the galaxy (L1, L2, L3; L84)."""
    split = values(table, "split").astype(object)
    drawn = uniform(1, "fault", table["task_id"].to_pylist())
    split[(split == "val") & (drawn < share)] = "train"
    return changed(table, split=split)


def moved_beside_test(table: pa.Table, distance_deg: float) -> pa.Table:
    """One train galaxy that lies beside a test galaxy (L1)."""
    split, ra, dec = (values(table, name) for name in ("split", "ra", "dec"))
    host = values(table, "host_id")
    train, test = np.flatnonzero(split == "train")[0], np.flatnonzero(split == "test")[0]
    moved = host == host[train]
    ra[moved], dec[moved] = ra[test], dec[test] + distance_deg
    return changed(table, ra=ra, dec=dec)


def ring_order(table: pa.Table) -> pa.Table:
    """Cells numbered in RING order under the NESTED name (L1; L88)."""
    import healpy

    return changed(table, healpix=healpy.nest2ring(32, values(table, "healpix")))


def shared_source(table: pa.Table) -> pa.Table:
    """One train source used in test as well (L3)."""
    source, split = values(table, "source_id").astype(object), values(table, "split")
    lit = np.array([s is not None for s in source])
    source[np.flatnonzero(lit & (split == "test"))[0]] = source[np.flatnonzero(lit & (split == "train"))[0]]
    return changed(table, source_id=source)


def scaled_light(table: pa.Table, factor: float, kind: str = "positive") -> pa.Table:
    """Added light too bright or too faint by a factor (P1; L21)."""
    image = tabular.pixels(table, "image").copy()
    host, of = values(table, "host_id"), kinds(table)
    bare = {h: i for i, h in enumerate(host) if of[i] == "paired"}
    for row in np.flatnonzero(of == kind):
        if host[row] in bare:
            control = image[bare[host[row]]]
            image[row] = control + np.float32(factor) * (image[row] - control)
    return changed(table, image=image)


def touched_controls(table: pa.Table) -> pa.Table:
    """Controls that went through another path: their pixels differ from the host's (P1)."""
    image = tabular.pixels(table, "image").copy()
    image[kinds(table) == "paired"] *= np.float32(1.001)
    return changed(table, image=image)


def sky_residual(table: pa.Table, sigma_nmgy: float = 0.004) -> pa.Table:
    """Positives whose sky was subtracted differently (S1)."""
    image = tabular.pixels(table, "image").copy()
    image[kinds(table) == "positive"] += np.float32(sigma_nmgy)
    return changed(table, image=image)


def one_colour(table: pa.Table) -> pa.Table:
    """Arcs bluer than the light their controls carry (S2; L35)."""
    image = tabular.pixels(table, "image").copy()
    host, of = values(table, "host_id"), kinds(table)
    bare = {h: i for i, h in enumerate(host) if of[i] == "paired"}
    for row in np.flatnonzero(of == "positive"):
        arc = image[row] - image[bare[host[row]]]
        image[row] += np.array([1.5, 0.0, -0.5], dtype=np.float32)[:, None, None] * arc
    return changed(table, image=image)


def same_colour(table: pa.Table, *, recorded: bool) -> pa.Table:
    """Arcs all in one colour, recorded as it is or as the sources have it (P3; L35)."""

    def blue(flux: NDArray[np.float64], _row: int) -> NDArray[np.float64]:
        return np.array([0.75, 1.0, 0.82]) * flux[1]

    changed_table = repainted(table, blue)
    if not recorded:
        return changed_table
    r = values(table, "src_mag_r").astype(float)
    g, z = (r - 2.5 * np.log10(share) for share in (0.75, 0.82))
    return changed(
        changed_table,
        **{f"src_mag_{b}": pa.array(m, mask=np.isnan(m)) for b, m in (("g", g), ("z", z))},
    )


def swapped_bands(table: pa.Table) -> pa.Table:
    """Arcs whose g and z images changed places (P3)."""
    return repainted(table, lambda flux, _row: flux[::-1])


def anothers_colours(table: pa.Table) -> pa.Table:
    """Arcs in the colours of the next row's source: recorded, drawn, and never applied (P3; L34)."""
    mags = {b: values(table, f"src_mag_{b}").astype(float) for b in "grz"}
    rows = np.flatnonzero(kinds(table) == "positive")
    next_row = dict(zip(rows.tolist(), np.roll(rows, 1).tolist(), strict=True))

    def other(flux: NDArray[np.float64], row: int) -> NDArray[np.float64]:
        relative = np.array([mags[b][next_row[row]] - mags["r"][next_row[row]] for b in "grz"])
        return flux[1] * 10.0 ** (-0.4 * relative)

    return repainted(table, other)


def repainted(table: pa.Table, paint: Callable[[NDArray[np.float64], int], NDArray[np.float64]]) -> pa.Table:
    """Arcs with other fluxes: every arc keeps its image and each band is scaled to ``paint(flux, row)``."""
    image = tabular.pixels(table, "image").copy()
    host, of = values(table, "host_id"), kinds(table)
    bare = {h: i for i, h in enumerate(host) if of[i] == "paired"}
    for row in np.flatnonzero(of == "positive"):
        control = image[bare[host[row]]]
        arc = (image[row] - control).astype(np.float64)
        flux = arc.sum(axis=(1, 2))
        scale = paint(flux, int(row)) / flux
        image[row] = control + (scale[:, None, None] * arc).astype(np.float32)
    return changed(table, image=image)


def light_in_the_core(table: pa.Table, factor: float = 2.0) -> pa.Table:
    """Brighter positives whose added light sits on the galaxy's centre: 'bright centre = lens' (S2p, S3)."""
    image = tabular.pixels(table, "image").copy()
    host, of = values(table, "host_id"), kinds(table)
    bare = {h: i for i, h in enumerate(host) if of[i] == "paired"}
    axis = np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    blob = np.exp(-0.5 * np.hypot(axis[:, None], axis[None, :]) ** 2 / 2.0**2)
    blob = (blob / blob.sum()).astype(np.float32)
    for row in np.flatnonzero(of == "positive"):
        control = image[bare[host[row]]]
        image[row] = (
            control + np.float32(factor) * (image[row] - control).sum(axis=(1, 2))[:, None, None] * blob
        )
    return changed(table, image=image)


def no_host_galaxies(table: pa.Table, kind: str) -> pa.Table:
    """A set without one class (L94, L98)."""
    return keep(table, kinds(table) != kind)


def undithered(table: pa.Table) -> pa.Table:
    """Plain rounding to sigma/32: the lattice stays in the pixels (Q8)."""
    image = tabular.pixels(table, "image")
    step = image_steps(image, 32.0)[..., None, None]
    return changed(table, image=np.rint(image / step) * step)


def coarse_steps(table: pa.Table) -> pa.Table:
    """Steps of sigma/4 (Q8)."""
    return quantised(table, 4.0)


def one_class_quantised(table: pa.Table, kind: str = "positive") -> pa.Table:
    """Positives are quantised, their controls keep every bit (Q8)."""
    image, counted = (tabular.pixels(t, "image") for t in (table, quantised(table)))
    return changed(table, image=np.where((kinds(table) == kind)[:, None, None, None], counted, image))


def clipped_counts(table: pa.Table, largest: int = 1023) -> pa.Table:
    """Bright pixels held at the largest count (Q8)."""
    image = tabular.pixels(table, "image")
    step = image_steps(image, 32.0)[..., None, None]
    counted = tabular.pixels(quantised(table), "image")
    return changed(table, image=np.clip(counted, -largest * step, largest * step))


def changed_bank(bank_path: Path, to: Path, change: Callable[[BankContent], BankContent]) -> Path:
    """Write a bank again with its templates or columns changed."""
    with SourceBank.open(bank_path) as bank:
        templates = bank.templates(range(len(bank))).astype(np.float64)
        templates, columns, metadata = change((templates, dict(bank.columns), dict(bank.metadata)))
    write_bank(
        to,
        templates=templates.astype(np.float32),
        order=np.arange(len(templates)),
        columns=columns,
        rejected=[],
        metadata=metadata,
    )
    return to


def predecessors_bank(catalog_dir: Path, *, zoom: float = 1.0, clip: bool = True) -> BankChange:
    """Stamps cut without mask or background, noise clipped at zero, unit sum (P4; L58, L60).

    ``zoom`` resamples as if the stamps had another pixel scale; without ``clip``
    the noise keeps its sign and only the mask is missing.
    """

    def change(content: BankContent) -> BankContent:
        templates, columns, metadata = content
        with RealGalaxyCatalog.open(catalog_dir) as catalog:
            row_of = {f"cosmos-{ident}": row for row, ident in enumerate(catalog.ident)}
            for row, name in enumerate(columns["source_id"].tolist()):
                stamp = catalog.stamp(row_of[name]).astype(np.float64)
                sigma = float(np.sqrt(catalog.noise_variance[row_of[name]]))
                box = _box(ndimage.zoom(stamp, zoom, order=1), templates.shape[-1], sigma, name)
                box = np.maximum(box, 0.0) if clip else box
                templates[row] = box / box.sum()
        return templates, columns, metadata

    return change


def noise_in_the_masks(content: BankContent) -> BankContent:
    """Templates of noise with the masks of galaxies (P4)."""
    templates, columns, metadata = content
    for row, name in enumerate(columns["source_id"].tolist()):
        noise = generator(1, "fault", name).standard_normal(templates[row].shape)
        noise = ndimage.gaussian_filter(noise, 1.2)
        noise = np.where(templates[row] != 0.0, noise / noise.std() + 0.15, 0.0)
        templates[row] = noise / noise.sum()
    return templates, columns, metadata


def repeated_template(content: BankContent) -> BankContent:
    """One galaxy under two names (P4; L65)."""
    templates, columns, metadata = content
    templates[1], columns["hlr_catalogue_arcsec"][1] = templates[0], columns["hlr_catalogue_arcsec"][0]
    return templates, columns, metadata


def repeated_place(content: BankContent) -> BankContent:
    """Two names at one position (P4; L65)."""
    _, columns, _ = content
    for name in ("ra_deg", "dec_deg"):
        columns[name][1] = columns[name][0]
    return content


def faint_source(content: BankContent) -> BankContent:
    """A source below the bank's own limit of S/N (P4; L60)."""
    content[1]["snr"][2] = 5.0
    return content


def filter_not_applied(content: BankContent) -> BankContent:
    """Radii larger than the filter says (P4; L59)."""
    limits = {**content[2]["limits"], "hlr_arcsec": [0.1, 0.2]}
    return content[0], content[1], {**content[2], "limits": limits}


def dark_template(content: BankContent) -> BankContent:
    """A template without light (P4)."""
    content[0][0] = 0.0
    return content


def _box(image: NDArray[np.float64], size: int, sigma: float, name: str) -> NDArray[np.float64]:
    """Cut the central square; sky noise where the image ends."""
    sky = sigma * generator(1, "fault_sky", name).standard_normal((size, size))
    y, x = (max(0, (length - size) // 2) for length in image.shape)
    cut = image[y : y + size, x : x + size]
    y, x = ((size - length) // 2 for length in cut.shape)
    sky[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    return sky


def one_row_per_selection(table: pa.Table, copies: int = 9) -> pa.Table:
    """Every tenth positive once more for each selection that it passes, as tasks of their own (Q6; L77)."""
    lens = np.flatnonzero(kinds(table) == "positive")[::10]
    more = table.take(pa.array(np.repeat(lens, copies - 1)))
    ids = [digest_id("copy", task, i) for i, task in enumerate(more["task_id"].to_pylist())]
    return pa.concat_tables([table, changed(more.combine_chunks(), task_id=ids)]).combine_chunks()


def second_ids(table: pa.Table, share: float) -> pa.Table:
    """Some galaxies are listed twice, 0.3 arcsec apart: two bricks, two ids (Q6)."""
    host = values(table, "host_id").astype(object)
    twice = uniform(1, "second_id", host) < share
    ids = values(table, "task_id").astype(object)
    again = table.filter(pa.array(twice)).combine_chunks()
    more = changed(
        again,
        task_id=[digest_id("second", task) for task in ids[twice]],
        host_id=[f"{name}-again" for name in host[twice]],
        dec=values(table, "dec")[twice] + 0.3 / 3600.0,
    )
    return pa.concat_tables([table, more]).combine_chunks()


def rounded_seeing(table: pa.Table, decimals: int = 2, kind: str = "positive") -> pa.Table:
    """The seeing of one class came through a table that rounds (L5)."""
    seeing = values(table, "psf_fwhm_r_arcsec")
    rounded = np.where(kinds(table) == kind, np.round(seeing, decimals), seeing)
    return changed(table, psf_fwhm_r_arcsec=rounded)


def null_in_controls(table: pa.Table, column: str = "ebv") -> pa.Table:
    """A condition that nobody looked up for controls (L5; L97)."""
    filled = values(table, column).astype(float)
    return changed(table, **{column: np.where(kinds(table) == "positive", filled, np.nan)})
