"""Planted faults: each takes sound rows and returns rows with one thing wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from gate_world import changed, keep, kinds, quantised, values

from darkhaloscope import tabular
from darkhaloscope.stamps.quantise import image_steps
from darkhaloscope.streams import uniform


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
