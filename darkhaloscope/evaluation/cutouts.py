"""Real cutouts that came without a catalogue: read, checked, and given to a model.

A cutout of the survey's viewer is an array (y, x, band) in nMgy/px with no
inverse variance and no PSF. Depth is measured from its own sky; seeing cannot
be, so it is assumed and the score is given over a range of it. A cutout that is
empty, of another survey or of another scale is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.hashing import sha256_file
from darkhaloscope.lensing.geometry import crop_stamp
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.survey.release import Release
from darkhaloscope.training.predict import LoadedModel

TYPICAL_SEEING_ARCSEC = {"g": 1.53, "r": 1.33, "z": 1.32}
"""Median PSF FWHM per band of DR10 injections of 180,000 bricks."""

SEEING_RANGE = (0.85, 1.0, 1.15)
"""Factors on the assumed seeing over which a score is given."""

SPLIT_LAYERS = ("ls-dr10", "ls-dr9", "ls-dr10-grz")
"""Viewer layers that serve another telescope's pixels north of the survey's limit."""

_SKY_CLIP = 3.0
_SKY_ITERATIONS = 5
_MAD_TO_SIGMA = 1.4826
_SIGMA_TO_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Cutouts:
    """Cutouts of real objects.

    Parameters
    ----------
    ids : tuple of str
        The file's own object id, or its name.
    files : tuple of str
        File names.
    sha256 : tuple of str
        Hash of each file.
    ra, dec : ndarray of float64, shape (n,)
        ICRS, degrees.
    images : ndarray of float32, shape (n, band, size, size)
        nMgy/px, y up (north), x right (west).
    sky_sigma_nmgy : ndarray of float64, shape (n, band)
        Standard deviation of the sky per pixel.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    ra: FloatArray
    dec: FloatArray
    images: NDArray[np.float32]
    sky_sigma_nmgy: FloatArray

    def conditions(self, pixel_scale_arcsec: float, seeing_factor: float = 1.0) -> pa.Table:
        """Return the condition columns that an image can be given, one row per cutout.

        Parameters
        ----------
        pixel_scale_arcsec : float
            Arcsec per pixel.
        seeing_factor : float
            Multiplies the typical seeing of each band.

        Returns
        -------
        pyarrow.Table
            ``psf_fwhm_{b}_arcsec`` (assumed) and ``psfdepth_{b}_mag``: the 5-sigma
            depth of a point source, 22.5 - 2.5 log10(5 sigma sqrt(4 pi s^2)), with
            s the Gaussian sigma of the PSF in pixels.
        """
        columns: dict[str, FloatArray] = {}
        for index, band in enumerate(BANDS):
            fwhm_arcsec = TYPICAL_SEEING_ARCSEC[band] * seeing_factor
            psf_sigma_px = fwhm_arcsec / pixel_scale_arcsec / _SIGMA_TO_FWHM
            noise = 5.0 * self.sky_sigma_nmgy[:, index] * np.sqrt(4.0 * np.pi) * psf_sigma_px
            columns[f"psf_fwhm_{band}_arcsec"] = np.full(len(self.ids), fwhm_arcsec)
            columns[f"psfdepth_{band}_mag"] = 22.5 - 2.5 * np.log10(noise)
        order = [*per_band("psf_fwhm_{b}_arcsec"), *per_band("psfdepth_{b}_mag")]
        return pa.table({name: columns[name] for name in order})


def read_cutouts(directory: str | Path, *, release: Release, size_px: int) -> Cutouts:
    """Read every ``*.npz`` cutout of a directory.

    Parameters
    ----------
    directory : path
        Files with ``cutout`` (y, x, band) in nMgy/px and ``meta_*`` scalars.
    release : Release
        Survey whose pixels these must be.
    size_px : int
        Side to which they are cropped about their centre.

    Returns
    -------
    Cutouts
        Sorted by file name.

    Raises
    ------
    MissingDataError
        If there is no such directory or it holds no cutout.
    DataError
        If a cutout is empty, not finite, too small, in other bands, of another
        pixel scale, or of a sky that the release's camera did not observe.
    """
    directory = Path(directory)
    files = sorted(directory.glob("*.npz"))
    if not files:
        raise MissingDataError(
            describe("No cutouts found", file=directory, expected="at least one .npz file", got=0)
        )
    read = [_read_one(file, release, size_px) for file in files]
    return Cutouts(
        ids=tuple(item[0] for item in read),
        files=tuple(file.name for file in files),
        sha256=tuple(sha256_file(file) for file in files),
        ra=np.array([item[1] for item in read]),
        dec=np.array([item[2] for item in read]),
        images=np.stack([item[3] for item in read]),
        sky_sigma_nmgy=np.stack([item[4] for item in read]),
    )


def score_cutouts(model: LoadedModel, cutouts: Cutouts, *, release: Release) -> list[dict[str, Any]]:
    """Score real cutouts over a range of assumed seeing.

    Parameters
    ----------
    model : LoadedModel
        Its PreprocessSpec is applied.
    cutouts : Cutouts
        At the stamp size the model was trained on.
    release : Release
        For the pixel scale.

    Returns
    -------
    list of dict
        Per cutout: id, position, score at typical seeing, lowest and highest
        score over ``SEEING_RANGE``, what was assumed and what was measured.
    """
    scores = np.stack(
        [
            model.score(cutouts.images, cutouts.conditions(release.pixel_scale_arcsec, factor))
            for factor in SEEING_RANGE
        ]
    )
    typical = SEEING_RANGE.index(1.0)
    depths = cutouts.conditions(release.pixel_scale_arcsec)
    return [
        {
            "object_id": cutouts.ids[row],
            "file": cutouts.files[row],
            "sha256": cutouts.sha256[row],
            "ra": float(cutouts.ra[row]),
            "dec": float(cutouts.dec[row]),
            "score": float(scores[typical, row]),
            "score_lowest": float(scores[:, row].min()),
            "score_highest": float(scores[:, row].max()),
            "seeing_assumed_arcsec": dict(TYPICAL_SEEING_ARCSEC),
            "seeing_range": [SEEING_RANGE[0], SEEING_RANGE[-1]],
            "depth_measured_mag": {b: float(depths[f"psfdepth_{b}_mag"][row].as_py()) for b in BANDS},
        }
        for row in range(len(cutouts.ids))
    ]


def sky_sigma(plane: NDArray[np.floating[Any]]) -> float:
    """Return the standard deviation of the sky of one plane, sources clipped away.

    Parameters
    ----------
    plane : ndarray, shape (y, x)
        nMgy/px.

    Returns
    -------
    float
        1.4826 times the median absolute deviation about the median, after
        clipping at 3 sigma until it settles.
    """
    values = np.asarray(plane, dtype=np.float64).ravel()
    for _ in range(_SKY_ITERATIONS):
        middle = np.median(values)
        sigma = _MAD_TO_SIGMA * np.median(np.abs(values - middle))
        kept = values[np.abs(values - middle) <= _SKY_CLIP * sigma]
        if kept.size == values.size:
            break
        values = kept
    return float(_MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def _read_one(
    file: Path, release: Release, size_px: int
) -> tuple[str, float, float, NDArray[np.float32], FloatArray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            cutout = archive["cutout"]
            meta = {name[5:]: archive[name].item() for name in archive.files if name.startswith("meta_")}
    except (KeyError, ValueError, OSError) as error:
        raise DataError(
            describe("Not a cutout", file=file, expected="an array named 'cutout'", got=str(error))
        ) from error
    _check_pixels(file, cutout, size_px)
    _check_origin(file, meta, release)
    planes = np.ascontiguousarray(np.moveaxis(cutout, -1, 0), dtype=np.float32)
    cropped, _, _ = crop_stamp(planes, 0.0, 0.0, size_px)
    sigmas = np.array([sky_sigma(plane) for plane in planes])
    identity = str(meta.get("galaxy_id", file.stem))
    return identity, float(meta["ra"]), float(meta["dec"]), np.asarray(cropped, dtype=np.float32), sigmas


def _check_pixels(file: Path, cutout: NDArray[Any], size_px: int) -> None:
    if cutout.ndim != 3 or cutout.shape[2] != len(BANDS) or min(cutout.shape[:2]) < size_px:
        raise DataError(
            describe(
                "Cutout shape",
                file=file,
                field="cutout",
                expected=f"(y, x, {len(BANDS)}) of at least {size_px} px",
                got=cutout.shape,
            )
        )
    for index, band in enumerate(BANDS):
        plane = cutout[:, :, index]
        if not np.isfinite(plane).all():
            raise DataError(describe("Cutout is not finite", file=file, field=f"band {band}"))
        # The viewer answers "no overlap" with success and zeros: that is no sky.
        if np.ptp(plane) == 0.0:
            raise DataError(
                describe(
                    "Cutout is empty",
                    file=file,
                    field=f"band {band}",
                    expected="varying pixels",
                    got=f"{plane.flat[0]:g} everywhere",
                    hint="the position may lie outside the footprint in this band",
                )
            )


def _check_origin(file: Path, meta: dict[str, Any], release: Release) -> None:
    needed: Sequence[str] = ("ra", "dec", "pixel_scale", "layer", "bands_requested")
    missing = [name for name in needed if name not in meta]
    if missing:
        raise DataError(describe("Cutout lacks its origin", file=file, field=f"meta_{missing[0]}"))
    if meta["bands_requested"] != "".join(BANDS):
        raise DataError(
            describe("Cutout bands", file=file, expected="".join(BANDS), got=meta["bands_requested"])
        )
    if abs(float(meta["pixel_scale"]) - release.pixel_scale_arcsec) > 1e-6:
        raise DataError(
            describe(
                "Cutout pixel scale",
                file=file,
                expected=f"{release.pixel_scale_arcsec} arcsec",
                got=meta["pixel_scale"],
            )
        )
    layer = str(meta["layer"])
    position = (np.array([float(meta["ra"])]), np.array([float(meta["dec"])]))
    same_camera = layer in SPLIT_LAYERS and bool(release.covers(*position)[0])
    if layer != f"ls-{release.name}" and not same_camera:
        raise DataError(
            describe(
                "Cutout of another survey",
                file=file,
                field="meta_layer",
                expected=f"ls-{release.name}, or a merged layer at a position of that camera",
                got=f"{layer} at Dec {float(meta['dec']):.4f}",
                hint="request the layer of one release; merged layers change telescope with the position",
            )
        )
