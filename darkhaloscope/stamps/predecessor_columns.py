"""The predecessor's columns and what each is in ours: names, units, conventions, gaps.

One table, :data:`MAPPED`, and one list of what its format cannot say,
:data:`GAPS`. Files and pixels are read in ``predecessor``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

import healpy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.schema import STAMPS, per_band

STAMP, CONTROL_STAMP = "stamp_npz", "ctrl_stamp_npz"
OK, SPLIT = "cutout_ok", "region_split"
NSIDE = 32
"""Resolution of the cells that positions are put in: the files name regions, not cells."""

FloatArray: TypeAlias = NDArray[np.float64]
Make: TypeAlias = Callable[[pa.Table], pa.Array | FloatArray]


@dataclass(frozen=True)
class Mapped:
    """One of our columns made from columns of the predecessor.

    Parameters
    ----------
    ours : str
        Column of STAMPS.
    theirs : tuple of str
        Columns it is made from; all must be there.
    note : str
        Unit and convention of theirs, and what becomes of it.
    make : callable
        From a table of ``theirs`` (and ``is_control``) to the values.
    truth : bool
        Null for controls, which carry 0 there.
    plausible : (low, high) or None
        Range beyond which the column must be in another unit.
    """

    ours: str
    theirs: tuple[str, ...]
    note: str
    make: Make
    truth: bool = False
    plausible: tuple[float, float] | None = None


def _number(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _same(name: str) -> Make:
    return lambda table: table[name].combine_chunks()


def _float(name: str) -> Make:
    return lambda table: _number(table, name)


def is_control(table: pa.Table) -> NDArray[np.bool_]:
    """Return which rows are controls."""
    return np.asarray(_number(table, "is_control") != 0.0)


def _kind(table: pa.Table) -> pa.Array:
    control = is_control(table)
    mined = np.zeros(len(control), dtype=bool)
    if "control_kind" in table.column_names:
        mined = np.asarray(table["control_kind"].to_pylist(), dtype=object) == "hard_mined"
    kind = np.where(control, np.where(mined, "hard_negative", "unpaired"), "positive")
    return pa.array(kind, pa.string())


def _host(table: pa.Table) -> pa.Array:
    steps = [pa.array(np.round(_number(table, name) * 1e6).astype(np.int64)) for name in ("ra", "dec")]
    micro = [pc.cast(step, pa.string()) for step in steps]
    brick = pc.cast(table["brickname"], pa.string()).combine_chunks()
    return pc.binary_join_element_wise(brick, *micro, ":")


def _source(table: pa.Table) -> pa.Array:
    index = pc.cast(pc.cast(table["cosmos_index"], pa.int64()), pa.string()).combine_chunks()
    named = pc.binary_join_element_wise("cosmos", index, ":")
    return pc.if_else(pa.array(is_control(table)), pa.scalar(None, pa.string()), named)


def _cell(table: pa.Table) -> NDArray[np.int64]:
    if table.num_rows == 0:
        return np.empty(0, dtype=np.int64)
    cell = healpy.ang2pix(NSIDE, _number(table, "ra"), _number(table, "dec"), nest=True, lonlat=True)
    return np.asarray(cell, dtype=np.int64)


def _axis_ratio(table: pa.Table) -> FloatArray:
    e = _number(table, "lens_e")
    return np.asarray((1.0 - e) / (1.0 + e))


def _shear(component: Callable[[FloatArray], FloatArray]) -> Make:
    return lambda table: _number(table, "shear") * component(2.0 * _number(table, "shear_phi_rad"))


_SEEING_ARCSEC, _DEPTH_MAG = (0.3, 4.0), (15.0, 30.0)

MAPPED: tuple[Mapped, ...] = (
    Mapped("task_id", ("task_id",), "sha256 of the task", _same("task_id")),
    Mapped(
        "control_kind",
        ("is_control",),
        "0 is a positive; 1 is a control of another galaxy, or a hard negative where control_kind "
        "says hard_mined; a cutout in ctrl_stamp_npz is one more row, paired",
        _kind,
    ),
    Mapped("is_control", ("is_control",), "0 or 1", is_control),
    Mapped(
        "host_id",
        ("brickname", "ra", "dec"),
        "no object id is kept: the galaxy is its brick and its position in 1e-6 deg",
        _host,
    ),
    Mapped("source_id", ("cosmos_index", "is_control"), "index in the bank; null for controls", _source),
    Mapped("experiment", ("experiment_id",), "tier, stamp size, bands and grid", _same("experiment_id")),
    Mapped("split", (SPLIT,), "train, val or test, as a column or as a folder region_split=", _same(SPLIT)),
    Mapped("ra", ("ra",), "deg, ICRS", _float("ra")),
    Mapped("dec", ("dec",), "deg, ICRS", _float("dec")),
    Mapped("healpix", ("ra", "dec"), f"NESTED cell at nside {NSIDE}, from the position", _cell),
    Mapped(
        "theta_e_arcsec", ("theta_e_arcsec", "is_control"), "arcsec", _float("theta_e_arcsec"), truth=True
    ),
    Mapped(
        "lens_q",
        ("lens_e", "is_control"),
        "lens_e = (1 - q)/(1 + q), as its renderer used it; q = (1 - e)/(1 + e)",
        _axis_ratio,
        truth=True,
    ),
    Mapped(
        "lens_phi_rad",
        ("lens_phi_rad", "is_control"),
        "rad from +x towards +y of the pixel grid",
        _float("lens_phi_rad"),
        truth=True,
    ),
    Mapped(
        "gamma1",
        ("shear", "shear_phi_rad", "is_control"),
        "gamma cos 2 phi",
        _shear(np.cos),
        truth=True,
    ),
    Mapped(
        "gamma2",
        ("shear", "shear_phi_rad", "is_control"),
        "gamma sin 2 phi",
        _shear(np.sin),
        truth=True,
    ),
    Mapped(
        "src_x_arcsec",
        ("src_x_arcsec", "is_control"),
        "arcsec from the deflector",
        _float("src_x_arcsec"),
        truth=True,
    ),
    Mapped(
        "src_y_arcsec",
        ("src_y_arcsec", "is_control"),
        "arcsec from the deflector",
        _float("src_y_arcsec"),
        truth=True,
    ),
    Mapped(
        "psf_fwhm_g_arcsec",
        ("psf_fwhm_used_g",),
        "arcsec, the FWHM of the kernel; null for controls, which is a fault of the data",
        _float("psf_fwhm_used_g"),
        plausible=_SEEING_ARCSEC,
    ),
    Mapped(
        "psf_fwhm_r_arcsec",
        ("psfsize_r",),
        "psfsize: FWHM in arcsec, one value per brick",
        _float("psfsize_r"),
        plausible=_SEEING_ARCSEC,
    ),
    Mapped(
        "psf_fwhm_z_arcsec",
        ("psf_fwhm_used_z",),
        "arcsec, the FWHM of the kernel; null for controls, which is a fault of the data",
        _float("psf_fwhm_used_z"),
        plausible=_SEEING_ARCSEC,
    ),
    Mapped(
        "psfdepth_r_mag",
        ("psfdepth_r",),
        "psfdepth: 5-sigma point-source depth in AB mag, one value per brick (not the inverse "
        "variance that sweeps call psfdepth)",
        _float("psfdepth_r"),
        plausible=_DEPTH_MAG,
    ),
    Mapped("ebv", ("ebv",), "mag, SFD98, one value per brick", _float("ebv")),
    Mapped("bad_pixel_frac_r", ("bad_pixel_frac",), "by the r mask alone", _float("bad_pixel_frac")),
    Mapped("bandset", ("bandset",), "grz", _same("bandset")),
    Mapped(
        "magnification", ("magnification",), "never filled by its runs", _float("magnification"), truth=True
    ),
    Mapped(
        "arc_snr_max_r",
        ("arc_snr", "is_control"),
        "arc_snr is the largest S/N of one pixel in r",
        _float("arc_snr"),
        truth=True,
    ),
    Mapped(
        "arc_snr_stamp_r",
        ("arc_snr_sum", "is_control"),
        "sum of the arc over the root of the summed variance of the whole stamp, in r",
        _float("arc_snr_sum"),
        truth=True,
    ),
)
"""Every column that has a counterpart. Angles and offsets are in the pixel frame, x right, y up."""

TABLE: dict[str, Mapped] = {column.ours: column for column in MAPPED}

GAPS: dict[str, str] = {
    "invvar": "no inverse variance is stored with the stamps",
    "maskbits": "no mask is stored with the stamps",
    **{f"arc_snr_footprint_{b}": "arc_snr is of one pixel, arc_snr_sum of the whole stamp" for b in "grz"},
    **{f"src_mag_{b}": "host magnitudes are dropped; src_gr and src_rz were never applied" for b in "grz"},
    **{f"arc_flux_{b}_nmgy": "host and arc are not kept apart" for b in "grz"},
    "src_rotation_rad": "src_phi_rad was never applied",
    "x_offset_px": "the sub-pixel position of the galaxy was ignored",
    "y_offset_px": "the sub-pixel position of the galaxy was ignored",
    "lens_x_arcsec": "the deflector sits at pixel 32, half a pixel off the centre, wherever the galaxy is",
    "lens_y_arcsec": "the deflector sits at pixel 32, half a pixel off the centre, wherever the galaxy is",
    **dict.fromkeys(per_band("host_mag_{b}"), "host magnitudes are dropped between manifest and stamps"),
}
"""What the format cannot say, and why, where there is more to say than that it has no such column."""

READ = frozenset(name for column in MAPPED for name in column.theirs) | {
    STAMP,
    CONTROL_STAMP,
    OK,
    "stamp_size",
    "control_kind",
}
"""Columns of the predecessor that are read at all."""


def absent(found: Collection[str]) -> dict[str, str]:
    """Return our columns that cannot be made from those found, with what is missing."""
    missing: dict[str, str] = {}
    for column in STAMPS:
        mapped = TABLE.get(column.name)
        if mapped is None:
            if column.name not in {"image", "status"}:
                told = GAPS.get(column.name, "the format has no such column")
                missing[column.name] = f"column {column.name}: {told}"
            continue
        lacking = [name for name in mapped.theirs if name not in found]
        if lacking:
            missing[column.name] = f"column {', '.join(lacking)}, for {column.name} ({mapped.note})"
    if STAMP not in found:
        missing["image"] = f"column {STAMP}, for image"
    return missing


def translate(table: pa.Table, ours: str, kind: pa.DataType) -> pa.Array:
    """Return one of our columns from a table of theirs.

    Parameters
    ----------
    table : pyarrow.Table
        Columns named in :data:`TABLE`.
    ours : str
        Column of STAMPS.
    kind : pyarrow.DataType
        Its type.

    Raises
    ------
    DataError
        If the values lie where no such quantity lies: another unit.
    """
    mapped = TABLE[ours]
    made = mapped.make(table)
    if isinstance(made, np.ndarray):
        made = pa.array(made, from_pandas=True)
    if isinstance(made, pa.ChunkedArray):
        made = made.combine_chunks()
    if mapped.plausible is not None:
        _require_unit(mapped, made)
    if mapped.truth and "is_control" in table.column_names:
        made = pc.if_else(pa.array(is_control(table)), pa.scalar(None, made.type), made)
    return made.cast(kind)


def _require_unit(mapped: Mapped, values: pa.Array) -> None:
    assert mapped.plausible is not None
    low, high = mapped.plausible
    ends = pc.min_max(values).as_py()
    if ends["min"] is not None and (ends["min"] < low or ends["max"] > high):
        raise DataError(
            describe(
                "Values of another unit",
                field=mapped.theirs[0],
                expected=f"{low:g} to {high:g} ({mapped.note})",
                got=f"{ends['min']:.4g} to {ends['max']:.4g}",
            )
        )
