"""The survey's own catalogue files: sweeps and brick tables.

Sweep rows carry what the survey's photometric pipeline would have measured:
true values with the scatter of their own inverse variance.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.lib import recfunctions
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.artifacts import atomic_path
from darkhaloscope.schema import BANDS
from darkhaloscope.survey import layout
from darkhaloscope.survey.mock.coadds import RELEASE_NUMBER
from darkhaloscope.survey.mock.conditions import depth_mag
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import MockBrick
from darkhaloscope.survey.mock.pixels import BrickPixels
from darkhaloscope.survey.mock.population import Sources, profiles_of
from darkhaloscope.survey.mock.profiles import SERSIC_INDICES, Profiles, aperture_fraction
from darkhaloscope.survey.mock.redshifts import photo_z_rows
from darkhaloscope.survey.photometry import EXTINCTION_PER_EBV
from darkhaloscope.survey.release import Release

FloatArray = NDArray[np.float64]
Rows = NDArray[np.void]

DETECTION_SIGMA = 6.0
"""The survey's detection threshold in at least one band."""

FIBRE_RADIUS_ARCSEC = 0.75
FIBRE_SEEING_ARCSEC = 1.0

SWEEP_STEP_DEG = 5

_OPTICAL = ("G", "R", "I", "Z")
_WISE = ("W1", "W2", "W3", "W4")
_W1_DEPTH_MAG = 21.4
"""5-sigma depth of forced unWISE photometry in W1."""


def _sweep_dtype() -> np.dtype[np.void]:
    every = (*_OPTICAL, *_WISE)
    columns: list[tuple[Any, ...]] = [
        ("RELEASE", "i2"),
        ("BRICKID", "i4"),
        ("BRICKNAME", "S8"),
        ("OBJID", "i4"),
        ("TYPE", "S3"),
        ("RA", "f8"),
        ("DEC", "f8"),
        ("RA_IVAR", "f4"),
        ("DEC_IVAR", "f4"),
        ("DCHISQ", "f4", (5,)),
        ("EBV", "f4"),
        *[(f"FLUX_{b}", "f4") for b in every],
        *[(f"FLUX_IVAR_{b}", "f4") for b in every],
        *[(f"MW_TRANSMISSION_{b}", "f4") for b in every],
        *[(f"NOBS_{b}", "i2") for b in every],
        *[(f"RCHISQ_{b}", "f4") for b in every],
        *[(f"FRACFLUX_{b}", "f4") for b in every],
        *[(f"FRACMASKED_{b}", "f4") for b in _OPTICAL],
        *[(f"FRACIN_{b}", "f4") for b in _OPTICAL],
        *[(f"ANYMASK_{b}", "i2") for b in _OPTICAL],
        *[(f"ALLMASK_{b}", "i2") for b in _OPTICAL],
        ("WISEMASK_W1", "u1"),
        ("WISEMASK_W2", "u1"),
        *[(f"PSFSIZE_{b}", "f4") for b in _OPTICAL],
        *[(f"PSFDEPTH_{b}", "f4") for b in (*_OPTICAL, "W1", "W2")],
        *[(f"GALDEPTH_{b}", "f4") for b in _OPTICAL],
        *[(f"FIBERFLUX_{b}", "f4") for b in _OPTICAL],
        *[(f"FIBERTOTFLUX_{b}", "f4") for b in _OPTICAL],
        ("REF_CAT", "S2"),
        ("REF_ID", "i8"),
        ("GAIA_PHOT_G_MEAN_MAG", "f4"),
        ("GAIA_PHOT_BP_MEAN_MAG", "f4"),
        ("GAIA_PHOT_RP_MEAN_MAG", "f4"),
        ("PARALLAX", "f4"),
        ("PMRA", "f4"),
        ("PMDEC", "f4"),
        ("MASKBITS", "i4"),
        ("FITBITS", "i2"),
        ("SERSIC", "f4"),
        ("SHAPE_R", "f4"),
        ("SHAPE_E1", "f4"),
        ("SHAPE_E2", "f4"),
        ("SHAPE_R_IVAR", "f4"),
        ("SHAPE_E1_IVAR", "f4"),
        ("SHAPE_E2_IVAR", "f4"),
    ]
    return np.dtype(columns)


SWEEP_DTYPE = _sweep_dtype()


def sweep_rows(config: MockSkyConfig, brick: MockBrick, pixels: BrickPixels, bands: tuple[str, ...]) -> Rows:
    """Measure the detected sources of a brick.

    Parameters
    ----------
    bands : tuple of str
        Bands that have data; the others have zero flux, inverse variance and
        images.

    Returns
    -------
    structured array of ``SWEEP_DTYPE``
        Sorted by object id.
    """
    sources = pixels.sources
    x, y = brick.wcs(config.brick_px).all_world2pix(sources["ra"], sources["dec"], 0)
    rows = np.zeros(len(sources), dtype=SWEEP_DTYPE)
    rng = streams.generator(config.seed, "mock/photometry", brick.key)
    rows["RELEASE"], rows["BRICKID"], rows["BRICKNAME"] = RELEASE_NUMBER, brick.brickid, brick.name.encode()
    rows["TYPE"] = sources["type"].astype("S3")
    rows["MASKBITS"] = _at(pixels.maskbits, x, y)
    profiles = profiles_of(sources)
    detected = _fluxes(rows, rng, sources, profiles, pixels, x, y, bands)
    _shapes(rows, rng, sources)
    jitter = 0.02 / 3600.0 * rng.standard_normal((2, len(rows)))
    rows["RA"] = sources["ra"] + jitter[0] / np.cos(np.deg2rad(sources["dec"]))
    rows["DEC"] = sources["dec"] + jitter[1]
    rows["RA_IVAR"] = rows["DEC_IVAR"] = (3600.0 / 0.02) ** 2
    _stars(rows, sources)
    rows["EBV"] = pixels.conditions.ebv
    for band, coefficient in EXTINCTION_PER_EBV.items():
        rows[f"MW_TRANSMISSION_{band.upper()}"] = 10.0 ** (-0.4 * coefficient * pixels.conditions.ebv)
    kept = rows[detected & brick.contains(rows["RA"], rows["DEC"])]
    kept["OBJID"] = np.arange(len(kept))
    return kept


def _at(plane: NDArray[Any], x: FloatArray, y: FloatArray) -> NDArray[Any]:
    last = plane.shape[0] - 1
    ix, iy = (np.clip(np.rint(v), 0, last).astype(int) for v in (x, y))
    return np.asarray(plane[iy, ix])


def _fluxes(
    rows: Rows,
    rng: np.random.Generator,
    sources: Sources,
    profiles: Profiles,
    pixels: BrickPixels,
    x: FloatArray,
    y: FloatArray,
    bands: tuple[str, ...],
) -> NDArray[np.bool_]:
    """Fill photometry and conditions; return which rows are detected."""
    n = len(rows)
    detected = np.zeros(n, dtype=bool)
    fibre = np.full(n, FIBRE_SEEING_ARCSEC)
    share = np.clip(
        aperture_fraction(profiles, radius_arcsec=FIBRE_RADIUS_ARCSEC, fwhm_arcsec=fibre), 0.0, 1.0
    )
    neighbours = np.abs(rng.normal(0.0, 0.01, n))
    for plane, band in enumerate(BANDS):
        noise = rng.standard_normal(n)
        if band not in bands:
            continue
        b = band.upper()
        facts = pixels.conditions.bands[band]
        fwhm = facts.seeing_at(x, y)
        covered = _at(pixels.invvar[plane], x, y) > 0.0
        point_ivar = np.where(covered, facts.psfdepth_at(x, y), 0.0)
        # An extended source is measured over more pixels than the PSF.
        area = 1.0 + (2.0 * sources["radius"] / fwhm) ** 2 * (sources["index_id"] > 0)
        ivar = point_ivar / area
        error = np.divide(1.0, np.sqrt(ivar), out=np.zeros(n), where=ivar > 0.0)
        flux = np.where(covered, sources["flux"][:, plane] + noise * error, 0.0)
        detected |= flux * np.sqrt(ivar) > DETECTION_SIGMA
        rows[f"FLUX_{b}"], rows[f"FLUX_IVAR_{b}"] = flux, ivar
        rows[f"FIBERFLUX_{b}"] = flux * share
        rows[f"FIBERTOTFLUX_{b}"] = flux * share * (1.0 + neighbours)
        rows[f"NOBS_{b}"] = np.where(covered, facts.nexp_at(x, y), 0)
        rows[f"PSFSIZE_{b}"] = np.where(covered, fwhm, 0.0)
        rows[f"PSFDEPTH_{b}"] = point_ivar
        rows[f"GALDEPTH_{b}"] = point_ivar / (1.0 + (0.9 / fwhm) ** 2)
        rows[f"RCHISQ_{b}"] = np.where(covered, np.maximum(0.5, rng.normal(1.02, 0.05, n)), 0.0)
        rows[f"FRACFLUX_{b}"] = neighbours
        rows[f"FRACIN_{b}"] = np.where(covered, 1.0, 0.0)
    w1_sigma = 10.0 ** (0.4 * (22.5 - _W1_DEPTH_MAG)) / 5.0
    rows["FLUX_W1"] = sources["flux_w1"] + w1_sigma * rng.standard_normal(n)
    rows["FLUX_IVAR_W1"] = rows["PSFDEPTH_W1"] = w1_sigma**-2
    rows["FLUX_W2"] = 0.65 * sources["flux_w1"]
    rows["FLUX_IVAR_W2"] = rows["PSFDEPTH_W2"] = 0.3 * w1_sigma**-2
    rows["NOBS_W1"] = rows["NOBS_W2"] = 120
    return detected


def _shapes(rows: Rows, rng: np.random.Generator, sources: Sources) -> None:
    """Fill radius, index and ellipticity (1 - q) / (1 + q) exp(2 i phi), phi from north to east."""
    extended = sources["type"] != "PSF"
    radius = sources["radius"] * 10.0 ** (0.02 * rng.standard_normal(len(rows)))
    rows["SHAPE_R"] = np.where(extended, radius, 0.0)
    rows["SHAPE_R_IVAR"] = np.where(extended, (0.05 * np.maximum(radius, 0.05)) ** -2.0, 0.0)
    index = np.asarray(SERSIC_INDICES)[sources["index_id"].astype(int)]
    fixed = {"DEV": 4.0, "EXP": 1.0, "REX": 1.0, "SER": np.nan, "PSF": 0.0}
    by_type = np.array([fixed[kind] for kind in sources["type"]])
    rows["SERSIC"] = np.where(np.isnan(by_type), np.clip(index, 0.5, 6.0), by_type)
    q = np.where(np.isin(sources["type"], ("PSF", "REX")), 1.0, sources["q"])
    ellipticity = (1.0 - q) / (1.0 + q)
    # North is +y and east is -x: the position angle is the angle from +x less 90 degrees.
    position_angle = sources["angle"] - np.pi / 2.0
    rows["SHAPE_E1"] = ellipticity * np.cos(2.0 * position_angle)
    rows["SHAPE_E2"] = ellipticity * np.sin(2.0 * position_angle)
    rows["SHAPE_E1_IVAR"] = rows["SHAPE_E2_IVAR"] = np.where(extended, 400.0, 0.0)


def _stars(rows: Rows, sources: Sources) -> None:
    g_mag = 22.5 - 2.5 * np.log10(sources["flux"][:, 1])
    star = (sources["kind"] == "star") & (g_mag < 20.5)
    rows["REF_CAT"][star] = b"GE"
    rows["REF_ID"][star] = 1 + np.arange(len(rows))[star] + rows["BRICKID"][star].astype("i8") * 10000
    rows["GAIA_PHOT_G_MEAN_MAG"][star] = g_mag[star]
    rows["GAIA_PHOT_BP_MEAN_MAG"][star] = g_mag[star] + 0.4
    rows["GAIA_PHOT_RP_MEAN_MAG"][star] = g_mag[star] - 0.5


def summary_row(
    brick: MockBrick, pixels: BrickPixels | None, rows: Rows | None, bands: tuple[str, ...]
) -> dict[str, Any]:
    """Return one row of the release's brick summary; depths are magnitudes there."""
    ra1, ra2, dec1, dec2 = brick.bounds_deg
    kinds = np.char.decode(rows["TYPE"]) if rows is not None else np.zeros(0, dtype="U3")
    row: dict[str, Any] = {
        "brickname": brick.name,
        "ra": brick.ra,
        "dec": brick.dec,
        "nobjs": np.int16(len(kinds)),
        **{f"n{k}": np.int16((kinds == k.upper()).sum()) for k in ("psf", "rex", "exp", "dev", "ser")},
        "ndup": np.int16(0),
        "ebv": np.float32(pixels.conditions.ebv if pixels else 0.03),
        "survey_primary": True,
        "in_desi": True,
        "ra1": ra1,
        "ra2": ra2,
        "dec1": dec1,
        "dec2": dec2,
        "area": np.float32(brick.area_deg2),
    }
    for band in ("g", "r", "i", "z"):
        row.update(_band_summary(band, pixels if band in bands else None, rows))
        row[f"ext_{band}"] = np.float32(EXTINCTION_PER_EBV[band] * row["ebv"])
        row[f"trans_{band}"] = np.float32(10.0 ** (-0.4 * row[f"ext_{band}"]))
    return row


def _band_summary(band: str, pixels: BrickPixels | None, rows: Rows | None) -> dict[str, Any]:
    names = ("psfsize", "psfdepth", "galdepth", "cosky")
    if pixels is None or rows is None:
        return {
            f"nexp_{band}": np.int16(0),
            f"nexphist_{band}": np.zeros(11, dtype=np.int32),
            **{f"{name}_{band}": np.float32(0.0) for name in names},
        }
    facts = pixels.conditions.bands[band]
    histogram = facts.nexp_histogram()
    median = int(np.searchsorted(np.cumsum(histogram), histogram.sum() / 2))
    nexphist = np.zeros(11, dtype=np.int32)
    np.add.at(nexphist, np.minimum(np.arange(len(histogram)), 10), histogram)
    galaxy_ivar = rows[f"GALDEPTH_{band.upper()}"]
    point_ivar = rows[f"PSFDEPTH_{band.upper()}"]
    return {
        f"nexp_{band}": np.int16(median),
        f"nexphist_{band}": nexphist,
        f"psfsize_{band}": np.float32(np.median(rows[f"PSFSIZE_{band.upper()}"])),
        f"psfdepth_{band}": np.float32(depth_mag(np.median(point_ivar))),
        f"galdepth_{band}": np.float32(depth_mag(np.median(galaxy_ivar))),
        f"cosky_{band}": np.float32(facts.sky_nmgy),
    }


def write_sweeps(root: Path, release: Release, rows: Rows, seed: int) -> list[Path]:
    """Write the sweeps and their redshifts: two files per box of 5 x 5 degrees that holds sources."""
    directory = root / release.sweep_directory
    ra = (rows["RA"] // SWEEP_STEP_DEG).astype(int) * SWEEP_STEP_DEG
    dec = (rows["DEC"] // SWEEP_STEP_DEG).astype(int) * SWEEP_STEP_DEG
    written = []
    for corner in sorted(set(zip(ra.tolist(), dec.tolist(), strict=True))):
        inside = rows[(ra == corner[0]) & (dec == corner[1])]
        order = np.lexsort((inside["OBJID"], inside["BRICKID"]))
        name = layout.sweep_name(*corner, corner[0] + SWEEP_STEP_DEG, corner[1] + SWEEP_STEP_DEG)
        with atomic_path(directory / name) as temporary:
            fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(inside[order])]).writeto(temporary)
        written.append(directory / name)
        box = (float(corner[0]), float(corner[0] + SWEEP_STEP_DEG), float(corner[1]))
        sweep = layout.SweepFile(f"{release.sweep_directory}/{name}", *box, box[2] + SWEEP_STEP_DEG)
        redshifts = photo_z_rows(inside[order], seed)
        with atomic_path(root / layout.photo_z_file(sweep)) as temporary:
            fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(redshifts)]).writeto(temporary)
        written.append(root / layout.photo_z_file(sweep))
    return written


def write_brick_tables(
    root: Path, release: Release, bricks: Sequence[MockBrick], summary: Sequence[dict[str, Any]]
) -> list[Path]:
    """Write ``survey-bricks`` and the release's brick summary."""
    everything = {
        "BRICKNAME": np.array([b.name for b in bricks], dtype="S8"),
        "BRICKID": np.array([b.brickid for b in bricks], dtype=np.int32),
        "BRICKQ": np.array([b.brickid % 4 for b in bricks], dtype=np.int16),
        "BRICKROW": np.array([b.row for b in bricks], dtype=np.int32),
        "BRICKCOL": np.array([b.col for b in bricks], dtype=np.int32),
        "RA": np.array([b.ra for b in bricks]),
        "DEC": np.array([b.dec for b in bricks]),
        **{
            name: np.array([b.bounds_deg[i] for b in bricks])
            for i, name in enumerate(("RA1", "RA2", "DEC1", "DEC2"))
        },
    }
    release_table = {
        name: np.array([row[name] for row in summary], dtype="S8" if name == "brickname" else None)
        for name in summary[0]
    }
    paths = [root / layout.ALL_BRICKS, root / release.brick_summary]
    for path, columns in zip(paths, (everything, release_table), strict=True):
        _write_gzipped_table(path, columns)
    return paths


def _write_gzipped_table(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    arrays = list(columns.values())
    dtype = [(name, a.dtype.str, a.shape[1:]) for name, a in columns.items()]
    table = np.zeros(len(arrays[0]), dtype=dtype)
    for name, values in columns.items():
        table[name] = values
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(recfunctions.repack_fields(table))]).writeto(buffer)
    # A gzip header may hold the time and the file name; neither may reach the bytes.
    packed = gzip.compress(buffer.getvalue(), compresslevel=4, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed)
