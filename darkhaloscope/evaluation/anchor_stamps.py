"""Stamps of known lenses and look-alikes, cut by the reader that cuts hosts.

Each catalogue row is pointed at a survey source, cut about that source, held
against its catalogued magnitude, and given its tier. A row that fails keeps its
reason and gets no pixels, so it can never be scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.evaluation.photometry import aperture_flux_nmgy
from darkhaloscope.evaluation.pointing import OK, Pointed, point_anchors
from darkhaloscope.evaluation.references import GROUND_IMAGING, Discovery
from darkhaloscope.evaluation.visibility import SUBTRACTION, arc_visibility
from darkhaloscope.schema import ANCHOR_STAMPS, BANDS
from darkhaloscope.survey.coadds import cut_positions
from darkhaloscope.survey.cutout import Cutout
from darkhaloscope.survey.photometry import magnitude
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root

TIER_A_MIN_SNR = 2.0
"""Arc S/N in r after deflector subtraction above which an imaging discovery is Tier A."""

FLUX_RATIO = (0.2, 3.0)
"""Aperture flux over catalogued flux, r < 8 px: a large galaxy has a fifth of its light there,
and arcs that the catalogue gives to other sources can add twice the galaxy's own."""

MAX_BAD_PIXEL_FRAC = 0.2
"""Largest share of bad pixels in any band."""

LOOKALIKE, LOOKALIKE_TRAIN = "lookalike", "lookalike_train"
"""Tiers of look-alikes: those in train cells grade only models that never saw them."""

_CENTRE_PX = 3


def cut_anchor_stamps(
    anchors: pa.Table,
    bricks: pa.Table,
    *,
    survey_root: Root,
    release: Release,
    size_px: int,
) -> pa.Table:
    """Point, cut and grade the visibility of every usable catalogue row.

    Parameters
    ----------
    anchors : pyarrow.Table
        Schema ``ANCHORS``; rows with use ``exclude`` are left out.
    bricks : pyarrow.Table
        Schema ``BRICKS``.
    survey_root : Root
        Survey root with sweeps and coadds.
    release : Release
        Declared release.
    size_px : int
        Side of the stamps: that of the stamps a model is trained on.

    Returns
    -------
    pyarrow.Table
        Schema ``ANCHOR_STAMPS``, in catalogue order.
    """
    used = anchors.filter(pc.not_equal(anchors["use"], "exclude"))
    pointed = point_anchors(used, survey_root=survey_root, release=release)
    matched = np.flatnonzero(pointed.status == OK)
    cut = cut_positions(
        survey_root,
        release,
        bricks.filter(pc.equal(bricks["status"], "ok")),
        pointed.columns["RA"][matched],
        pointed.columns["DEC"][matched],
        size_px,
    )
    cutouts: dict[int, Cutout] = dict(zip(matched.tolist(), cut, strict=True))
    rows = [_row(index, used, pointed, cutouts.get(index), release) for index in range(used.num_rows)]
    return ANCHOR_STAMPS.table(_columns(rows, size_px), size_px)


def summarise(stamps: pa.Table) -> dict[str, Any]:
    """Count stamps by tier and by status, and name the deflector subtraction."""
    ok = stamps.filter(pc.equal(stamps["status"], OK))
    return {
        "tiers": _counts(ok["tier"].to_pylist()),
        "classes": _counts(ok["object_class"].to_pylist()),
        "statuses": _counts(stamps["status"].to_pylist()),
        "subtraction": SUBTRACTION,
    }


def tier_of(kind: str, use: str, discovery: str, arc_snr_r: float | None) -> str:
    """Return the tier of a scored object.

    Tier A is a fair test of an imaging finder: discovered in ground-based images
    with an arc above the noise here. Tier B is every other known lens.
    """
    if kind == "lookalike":
        return LOOKALIKE_TRAIN if use == "hard_negative" else LOOKALIKE
    visible = arc_snr_r is not None and arc_snr_r > TIER_A_MIN_SNR
    return "A" if visible and Discovery(discovery) in GROUND_IMAGING else "B"


def pixel_status(
    image: NDArray[Any],
    invvar: NDArray[Any],
    maskbits: NDArray[Any],
    *,
    x_offset_px: float,
    y_offset_px: float,
    flux_r_nmgy: float,
    release: Release,
) -> str:
    """Judge whether pixels show an observed, unmasked galaxy of the catalogued brightness.

    Parameters
    ----------
    image, invvar : ndarray, shape (bands, size, size)
        nMgy/px and 1/nMgy^2.
    maskbits : ndarray, shape (size, size)
        DR10 MASKBITS.
    x_offset_px, y_offset_px : float
        Galaxy minus stamp centre.
    flux_r_nmgy : float
        Catalogued flux in r.
    release : Release
        Bad bits per band.

    Returns
    -------
    str
        ``ok``, ``non_finite``, ``zero_invvar_<b>``, ``masked_<b>``,
        ``bad_pixels_<b>`` or ``magnitude_implausible``.
    """
    if not (np.isfinite(image).all() and np.isfinite(invvar).all()):
        return "non_finite"
    middle = (image.shape[-1] - 1) / 2.0
    row, column = round(middle + y_offset_px), round(middle + x_offset_px)
    half = _CENTRE_PX // 2
    centre = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
    for index, band in enumerate(BANDS):
        masked = (maskbits & release.pixel_mask(band)) != 0
        if (invvar[index][centre] <= 0.0).any():
            return f"zero_invvar_{band}"
        if masked[centre].any():
            return f"masked_{band}"
        if float(((invvar[index] <= 0.0) | masked).mean()) > MAX_BAD_PIXEL_FRAC:
            return f"bad_pixels_{band}"
    flux = aperture_flux_nmgy(image[BANDS.index("r")], x_offset_px=x_offset_px, y_offset_px=y_offset_px)
    plausible = FLUX_RATIO[0] <= flux / flux_r_nmgy <= FLUX_RATIO[1]
    return OK if plausible else "magnitude_implausible"


def _row(
    index: int, anchors: pa.Table, pointed: Pointed, cutout: Cutout | None, release: Release
) -> dict[str, Any]:
    """Return the columns of one object; pixels under ``pixels`` where its status is ok."""
    anchor = anchors.slice(index, 1).to_pylist()[0]
    copied = ("anchor_id", "name", "kind", "object_class", "discovery", "ra", "dec")
    row: dict[str, Any] = {name: anchor[name] for name in copied}
    row |= {
        "host_id": str(pointed.host_id[index]),
        "separation_arcsec": _finite(pointed.separation_arcsec[index]),
        "tier": "",
        "status": str(pointed.status[index]),
    }
    if cutout is None:
        return row
    row |= _conditions(pointed.columns, index, cutout)
    row["status"] = cutout.status
    if cutout.status != OK:
        return row
    assert cutout.image is not None  # a cutout with status ok has all planes
    assert cutout.invvar is not None
    assert cutout.maskbits is not None
    image, invvar, maskbits = cutout.image, cutout.invvar, cutout.maskbits
    x, y = cutout.x_offset_px, cutout.y_offset_px
    row |= {"x_offset_px": x, "y_offset_px": y}
    row["status"] = pixel_status(
        image,
        invvar,
        maskbits,
        x_offset_px=x,
        y_offset_px=y,
        flux_r_nmgy=float(pointed.columns["FLUX_R"][index]),
        release=release,
    )
    if row["status"] != OK:
        return row
    band = BANDS.index("r")
    visibility = arc_visibility(
        image[band],
        invvar[band],
        x_offset_px=x,
        y_offset_px=y,
        psf_fwhm_arcsec=float(cutout.psf_fwhm_arcsec[band]),
        pixel_scale_arcsec=release.pixel_scale_arcsec,
    )
    row["arc_snr_r"] = None if visibility is None else visibility.snr
    row["tier"] = tier_of(row["kind"], anchor["use"], row["discovery"], row["arc_snr_r"])
    row["pixels"] = {"image": image, "invvar": invvar, "maskbits": maskbits}
    return row


def _conditions(columns: Mapping[str, NDArray[Any]], index: int, cutout: Cutout) -> dict[str, Any]:
    """Return the condition columns of a matched source, as hosts have them."""
    values: dict[str, Any] = {"ebv": _finite(columns["EBV"][index])}
    for plane, band in enumerate(BANDS):
        upper = band.upper()
        values[f"psf_fwhm_{band}_arcsec"] = _finite(cutout.psf_fwhm_arcsec[plane])
        values[f"psfdepth_{band}_mag"] = _finite(columns[f"PSFDEPTH_{upper}_MAG"][index])
        values[f"nexp_{band}"] = int(columns[f"NOBS_{upper}"][index])
        values[f"host_mag_{band}"] = _finite(magnitude([columns[f"FLUX_{upper}"][index]])[0])
    return values


def _columns(rows: list[dict[str, Any]], size: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for column in ANCHOR_STAMPS:
        if column.name not in {pixel.name for pixel in ANCHOR_STAMPS.pixel_columns()}:
            data[column.name] = pa.array([row.get(column.name) for row in rows], type=column.type)
    for pixel in ANCHOR_STAMPS.pixel_columns():
        tensor = pixel.tensor_type(size)
        values = np.zeros((len(rows), *tensor.shape), dtype=tensor.value_type.to_pandas_dtype())
        valid = np.zeros(len(rows), dtype=bool)
        for index, row in enumerate(rows):
            if "pixels" in row:
                values[index], valid[index] = row["pixels"][pixel.name], True
        flat = pa.array(values.reshape(-1), type=tensor.value_type)
        storage = pa.FixedSizeListArray.from_arrays(flat, math.prod(tensor.shape), mask=pa.array(~valid))
        data[pixel.name] = pa.ExtensionArray.from_storage(tensor, storage)
    return data


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _counts(values: list[str]) -> dict[str, int]:
    return {value: values.count(value) for value in sorted(set(values))}
