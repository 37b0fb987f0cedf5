"""Building the bank: which galaxies of a catalogue become sources, and why others do not.

Every cut is a limit in :class:`BankLimits`; every galaxy left out has exactly
one reason, the first that applies; and after the file is written the limits
are checked again on what it holds. The format of the file is in ``bankfile``,
the measurements are in ``template``.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, DataError, describe
from darkhaloscope.hashing import hash_json, sha256_bytes, sha256_file
from darkhaloscope.progress import track
from darkhaloscope.sources.bankfile import (
    NUMBER_COLUMNS,
    SPLITS,
    TEMPLATE_PX,
    TEMPLATE_SCALE_ARCSEC,
    SourceBank,
    write_bank,
)
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.sources.template import (
    centroid_px,
    cut_template,
    half_light_radius_px,
    ring_background,
    segment,
)
from darkhaloscope.streams import uniform

__all__ = ["BankLimits", "SourceBank", "assign_source_splits", "build_bank"]

ACS_F814W_ZEROPOINT_MAG = 25.94
"""AB magnitude of 1 count/s in the COSMOS F814W mosaics (GalSim's COSMOSCatalog)."""

SPLIT_FRACTIONS = (0.70, 0.15, 0.15)
"""Shares of train, val and test sources."""

_SPLIT_SEED = 814
"""Fixed, so that a galaxy is on the same side in every bank ever built."""


@dataclass(frozen=True)
class BankLimits:
    """Which galaxies may be sources.

    Parameters
    ----------
    hlr_arcsec : (low, high)
        Half-light radius, catalogued and measured. Below: stars; above: does
        not fit the template.
    min_snr : float
        Flux in the segmentation over its white-noise error.
    max_hlr_ratio : float
        Measured and catalogued radius agree within this factor; a larger
        disagreement is a blend or a failed segmentation.
    max_flux_offset_mag : float
        Flux in the segmentation and catalogued magnitude agree within this.
    min_flux_fraction : float
        Share of the segment's flux that the template box must hold.
    duplicate_arcsec : float
        Of galaxies nearer to each other than this, one is kept.
    """

    hlr_arcsec: tuple[float, float] = (0.1, 1.0)
    min_snr: float = 30.0
    max_hlr_ratio: float = 1.5
    max_flux_offset_mag: float = 0.5
    min_flux_fraction: float = 0.95
    duplicate_arcsec: float = 0.5


DEFAULT_LIMITS = BankLimits()


class _Source(NamedTuple):
    """A galaxy that passed: template and measurements in the order of NUMBER_COLUMNS."""

    template: NDArray[np.float32]
    numbers: dict[str, float]
    background_from: str


def build_bank(
    catalog_dir: str | Path,
    output_h5: str | Path,
    *,
    max_galaxies: int | None,
    seed: int,
    limits: BankLimits = DEFAULT_LIMITS,
) -> dict[str, Any]:
    """Build the source bank from a catalogue in RealGalaxyCatalog layout.

    Galaxies are tried in an order given by a hash of their identifier, so a
    smaller bank is a subset of a larger one.

    Parameters
    ----------
    catalog_dir : path
        Directory, or the main catalogue file.
    output_h5 : path
        Bank file, replaced atomically.
    max_galaxies : int or None
        Galaxies kept; None keeps all that pass.
    seed : int
        Of the order in which galaxies are tried.
    limits : BankLimits
        The cuts.

    Returns
    -------
    dict
        The bank's metadata: ``bank_id``, ``n_sources``, ``rejected`` (reason
        to count), ``splits``, size and S/N quantiles, ``deconvolved``, hashes.

    Raises
    ------
    MissingDataError
        If the catalogue or one of its image files is absent.
    DataError
        If a file is damaged, the pixel scale is not 0.03 arcsec, or fewer
        galaxies pass than there are splits.
    ContractError
        If the written bank does not satisfy the limits.
    """
    output_h5 = Path(output_h5)
    output_h5.parent.mkdir(parents=True, exist_ok=True)
    with (
        RealGalaxyCatalog.open(catalog_dir) as catalog,
        tempfile.TemporaryFile(dir=output_h5.parent) as spool,
    ):
        _check_pixel_scale(catalog)
        kept, numbers, origins, rejected = _select(catalog, spool, max_galaxies, seed, limits)
        if len(kept) < len(SPLITS):
            raise DataError(
                describe(
                    "Too few galaxies pass the cuts",
                    file=catalog.path,
                    expected=f"at least {len(SPLITS)}, one per split",
                    got=f"{len(kept)} of {len(catalog)}; left out: {dict(_counts(rejected))}",
                    hint="check units, pixel scale and noise of the catalogue against its documentation",
                )
            )
        ids = np.array([f"cosmos-{catalog.ident[row]}" for row in kept])
        order = np.argsort(ids)
        columns: dict[str, Any] = {
            name: np.array([n[name] for n in numbers])[order] for name in NUMBER_COLUMNS
        }
        columns["source_id"] = ids[order]
        columns["split"] = assign_source_splits(columns["source_id"].tolist())
        columns["background_from"] = np.array(origins)[order]
        metadata = _metadata(catalog, columns, rejected, seed, max_galaxies, limits)
        spool.flush()
        shape = (len(kept), TEMPLATE_PX, TEMPLATE_PX)
        spooled = np.memmap(spool, dtype=np.float32, mode="r", shape=shape)
        write_bank(
            output_h5,
            templates=spooled,
            order=order,
            columns=columns,
            rejected=rejected,
            metadata=metadata,
        )
        del spooled
    with SourceBank.open(output_h5) as bank:
        check_bank(bank, limits)
    return metadata


def assign_source_splits(source_ids: list[str]) -> NDArray[np.str_]:
    """Return the split of every source, by a hash of its identity.

    A source is in the same split in every bank. Only if a bank is so small
    that a split would be empty does the source whose hash lies nearest to that
    split's share, in a split that can spare one, move there.

    Parameters
    ----------
    source_ids : list of str, length n
        At least three.

    Returns
    -------
    ndarray of str, shape (n,)
    """
    draw = uniform(_SPLIT_SEED, "source_split", source_ids)
    edges = np.cumsum(SPLIT_FRACTIONS)[:-1]
    index = np.searchsorted(edges, draw, side="right")
    middle = np.cumsum(SPLIT_FRACTIONS) - np.array(SPLIT_FRACTIONS) / 2.0
    for wanted in range(len(SPLITS)):
        count = np.bincount(index, minlength=len(SPLITS))
        if count[wanted] == 0:
            spare = np.flatnonzero(count[index] > 1)
            index[spare[np.argmin(np.abs(draw[spare] - middle[wanted]))]] = wanted
    return np.array(SPLITS)[index]


def check_bank(bank: SourceBank, limits: BankLimits) -> None:
    """Check on the stored values that every source satisfies every limit.

    Raises
    ------
    ContractError
        Naming the first source and quantity outside its limit.
    """
    low, high = limits.hlr_arcsec
    column = bank.columns
    flux_offset = np.abs(2.5 * np.log10(column["flux"] / column["flux_catalogue"]))
    ratio = np.abs(np.log(column["hlr_arcsec"] / column["hlr_catalogue_arcsec"]))
    checks = {
        "hlr_arcsec": (low <= column["hlr_arcsec"]) & (column["hlr_arcsec"] <= high),
        "hlr_catalogue_arcsec": (low <= column["hlr_catalogue_arcsec"])
        & (column["hlr_catalogue_arcsec"] <= high),
        "snr": column["snr"] >= limits.min_snr,
        "hlr ratio": ratio <= np.log(limits.max_hlr_ratio) + 1e-12,
        "flux offset": flux_offset <= limits.max_flux_offset_mag + 1e-12,
        "flux_fraction_in_box": column["flux_fraction_in_box"] >= limits.min_flux_fraction,
    }
    for name, good in checks.items():
        if not good.all():
            row = int(np.argmin(good))
            raise ContractError(
                describe("Source outside the bank's limits", file=bank.path, field=name, row=bank.ids[row])
            )
    for start in range(0, len(bank), 512):
        rows = np.arange(start, min(start + 512, len(bank)))
        total = bank.templates(rows).sum(axis=(1, 2), dtype=np.float64)
        if not np.allclose(total, 1.0, atol=1e-5):
            worst = int(rows[np.argmax(np.abs(total - 1.0))])
            raise ContractError(
                describe("Template does not sum to 1", file=bank.path, row=bank.ids[worst], got=total.max())
            )


def _select(
    catalog: RealGalaxyCatalog,
    spool: BinaryIO,
    max_galaxies: int | None,
    seed: int,
    limits: BankLimits,
) -> tuple[list[int], list[dict[str, float]], list[str], list[tuple[str, str]]]:
    """Try galaxies in hash order, writing the templates of those that pass to ``spool``."""
    order = np.argsort(uniform(seed, "source_order", [str(i) for i in catalog.ident]), kind="stable")
    repeated = _repeated(catalog, order, limits.duplicate_arcsec)
    kept: list[int] = []
    numbers: list[dict[str, float]] = []
    origins: list[str] = []
    rejected: list[tuple[str, str]] = []
    seen: set[str] = set()
    for row in track(order.tolist(), total=len(order), label="source bank [galaxies]"):
        if max_galaxies is not None and len(kept) == max_galaxies:
            break
        result = repeated.get(row) or _measure(catalog, row, limits, seen)
        if isinstance(result, str):
            rejected.append((str(catalog.ident[row]), result))
            continue
        spool.write(np.ascontiguousarray(result.template).tobytes())
        kept.append(row)
        numbers.append(result.numbers)
        origins.append(result.background_from)
    return kept, numbers, origins, sorted(rejected, key=lambda item: (int(item[0]), item[1]))


def _measure(catalog: RealGalaxyCatalog, row: int, limits: BankLimits, seen: set[str]) -> _Source | str:
    """Return the source made from one galaxy, or the reason why it is none."""
    low, high = limits.hlr_arcsec
    scale = TEMPLATE_SCALE_ARCSEC
    hlr_catalogue = float(catalog.flux_radius_px[row] * catalog.pixel_scale_arcsec[row])
    variance, mag = float(catalog.noise_variance[row]), float(catalog.mag_f814w[row])
    if not (np.isfinite(hlr_catalogue) and np.isfinite(mag) and variance > 0.0):
        return "catalogue_values_missing"
    if not low <= hlr_catalogue <= high:
        return "hlr_catalogue_outside"
    try:
        stamp = catalog.stamp(row)
    except DataError as error:
        if isinstance(error, FileNotFoundError):
            raise
        return "unreadable_stamp"
    if not np.isfinite(stamp).all():
        return "non_finite_pixels"
    digest = sha256_bytes(stamp.tobytes())
    if digest in seen:
        return "duplicate_pixels"
    seen.add(digest)
    image = stamp.astype(np.float64)
    sky = ring_background(
        image,
        hlr_px=float(catalog.flux_radius_px[row]),
        noise_mean=float(catalog.noise_mean[row]),
        noise_variance=variance,
    )
    image -= sky.level
    mask = segment(image, sigma=float(np.sqrt(variance)))
    if not mask.any():
        return "not_detected"
    light = np.where(mask, image, 0.0)
    flux = float(light.sum())
    snr = flux / float(np.sqrt(variance * mask.sum()))
    if snr < limits.min_snr:
        return "snr_low"
    centre = centroid_px(image, mask)
    hlr = scale * half_light_radius_px(light, centre)
    if not low <= hlr <= high:
        return "hlr_measured_outside"
    if abs(np.log(hlr / hlr_catalogue)) > np.log(limits.max_hlr_ratio):
        return "hlr_disagrees"
    flux_catalogue = float(10.0 ** (0.4 * (ACS_F814W_ZEROPOINT_MAG - mag)))
    if abs(2.5 * np.log10(flux / flux_catalogue)) > limits.max_flux_offset_mag:
        return "flux_disagrees"
    cutout = cut_template(light, centre, TEMPLATE_PX)
    if not cutout.flux_fraction >= limits.min_flux_fraction:
        return "larger_than_template"
    z_phot = float(catalog.z_phot[row])
    return _Source(
        template=cutout.image,
        numbers={
            "hlr_arcsec": hlr,
            "hlr_catalogue_arcsec": hlr_catalogue,
            "mag_f814w": mag,
            "z_phot": z_phot if z_phot > 0.0 else float("nan"),
            "snr": snr,
            "flux": flux,
            "flux_catalogue": flux_catalogue,
            "flux_fraction_in_box": cutout.flux_fraction,
            "negative_flux_fraction": float(-light[light < 0.0].sum() / flux),
            "segment_px": float(mask.sum()),
            "background": sky.level,
            "noise_sigma": sky.sigma,
            "ra_deg": float(catalog.ra_deg[row]),
            "dec_deg": float(catalog.dec_deg[row]),
        },
        background_from="ring" if sky.n_px else "catalogue",
    )


def _check_pixel_scale(catalog: RealGalaxyCatalog) -> None:
    off = np.abs(catalog.pixel_scale_arcsec / TEMPLATE_SCALE_ARCSEC - 1.0) > 1e-3
    if off.any():
        row = int(np.argmax(off))
        raise DataError(
            describe(
                "Pixel scale of the stamps",
                file=catalog.path,
                field="PIXEL_SCALE",
                row=int(catalog.ident[row]),
                expected=f"{TEMPLATE_SCALE_ARCSEC} arcsec",
                got=float(catalog.pixel_scale_arcsec[row]),
                hint="resample the stamps or use the COSMOS sample at its own scale",
            )
        )


def _repeated(catalog: RealGalaxyCatalog, order: NDArray[np.int64], arcsec: float) -> dict[int, str]:
    """Return the rows that repeat an identifier or a position met earlier in ``order``."""
    from scipy.spatial import cKDTree

    ra, dec = np.radians(catalog.ra_deg), np.radians(catalog.dec_deg)
    unit = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    close: dict[int, list[int]] = {}
    if np.isfinite(unit).all():
        for a, b in cKDTree(unit).query_pairs(np.radians(arcsec / 3600.0)):
            close.setdefault(int(a), []).append(int(b))
            close.setdefault(int(b), []).append(int(a))
    reasons: dict[int, str] = {}
    idents: set[int] = set()
    passed: set[int] = set()
    for row in order.tolist():
        if int(catalog.ident[row]) in idents:
            reasons[row] = "duplicate_ident"
        elif any(other in passed for other in close.get(row, [])):
            reasons[row] = "duplicate_position"
        else:
            passed.add(row)
        idents.add(int(catalog.ident[row]))
    return reasons


def _counts(rejected: list[tuple[str, str]]) -> dict[str, int]:
    return dict(sorted(Counter(reason for _, reason in rejected).items()))


def _metadata(
    catalog: RealGalaxyCatalog,
    columns: dict[str, Any],
    rejected: list[tuple[str, str]],
    seed: int,
    max_galaxies: int | None,
    limits: BankLimits,
) -> dict[str, Any]:
    files = [catalog.path, catalog.fits_path, *catalog.image_files()]
    hashes = {path.name: sha256_file(path) for path in files}
    config = {
        "seed": seed,
        "max_galaxies": max_galaxies,
        "limits": {**asdict(limits), "hlr_arcsec": list(limits.hlr_arcsec)},
        "template_px": TEMPLATE_PX,
        "pixel_scale_arcsec": TEMPLATE_SCALE_ARCSEC,
        "split_fractions": list(SPLIT_FRACTIONS),
    }
    log_ratio = np.log10(columns["hlr_arcsec"] / columns["hlr_catalogue_arcsec"])
    return {
        **config,
        "bank_id": hash_json([config, hashes]),
        "input_sha256": hashes,
        "catalogue": catalog.path.name,
        "n_catalogue": len(catalog),
        "n_tried": len(columns["source_id"]) + len(rejected),
        "n_sources": len(columns["source_id"]),
        "rejected": _counts(rejected),
        "splits": {name: int(np.sum(columns["split"] == name)) for name in SPLITS},
        "hlr_arcsec_quantiles": _quantiles(columns["hlr_arcsec"]),
        "mag_f814w_quantiles": _quantiles(columns["mag_f814w"]),
        "snr_quantiles": _quantiles(columns["snr"]),
        "hlr_log10_ratio_rms": float(np.sqrt(np.mean(log_ratio**2))),
        "deconvolved": False,
        "psf_available": catalog.has_psf,
        "psf_note": "templates keep the HST PSF (about 0.1 arcsec FWHM)",
        "morphology_band": "F814W",
    }


def _quantiles(values: NDArray[np.float64]) -> list[float]:
    """Return minimum, quartiles and maximum."""
    return [float(value) for value in np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])]
