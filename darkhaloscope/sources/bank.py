"""The bank of sources: built from a catalogue, opened by what an experiment asks for.

Every galaxy left out has exactly one reason, the first that applies; and after
the file is written the cuts are checked again on what it holds. Cuts and
measurements are in ``selection``, the format of the file is in ``bankfile``.
"""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, DataError, StorageError, describe
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
from darkhaloscope.sources.library import SourceLibrary, open_sources
from darkhaloscope.sources.matched_photometry import find_photometry, match_photometry, read_photometry
from darkhaloscope.sources.psf import TARGET_FWHM_ARCSEC
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.sources.selection import (
    CUTS,
    DEFAULT_LIMITS,
    BankLimits,
    repeated_rows,
)
from darkhaloscope.sources.trying import try_galaxies
from darkhaloscope.streams import uniform

__all__ = [
    "BankLimits",
    "SourceBank",
    "SourceLibrary",
    "assign_source_splits",
    "build_bank",
    "check_bank",
    "input_hashes",
    "open_sources",
]

SPLIT_FRACTIONS = (0.70, 0.15, 0.15)
"""Shares of train, val and test sources."""

_SPLIT_SEED = 814
"""Fixed, so that a galaxy is on the same side in every bank ever built."""

COLOURS = ("g_r", "r_z")
"""Columns from a table of photometry beside the catalogue, NaN without one."""

_BLOCK = 512

_MIN_RATIOS, _MAX_MEDIAN_LOG_RATIO = 5, 0.08
"""Radii behind a median, and how far it may lie from equality: 20 %. The real sample's is 2 %; taking
stamps of 0.05 arcsec for 0.03 shifts it by 0.22."""


class _Selection(NamedTuple):
    """Rows that passed in the order their templates were spooled, and what was left out."""

    rows: list[int]
    numbers: list[dict[str, float]]
    backgrounds: list[str]
    rejected: list[tuple[str, str]]


def build_bank(
    catalog_dir: str | Path,
    output_h5: str | Path,
    *,
    max_galaxies: int | None,
    seed: int,
    limits: BankLimits = DEFAULT_LIMITS,
    workers: int = 1,
) -> dict[str, Any]:
    """Build the source bank from a catalogue in RealGalaxyCatalog layout.

    Galaxies are tried in an order given by a hash of their identifier, so a
    smaller bank is a subset of a larger one. Every template is brought to one
    resolution (see ``psf``): to a Gaussian where the catalogue's PSF images are
    present, by smoothing where they are absent; the metadata says which.

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
    workers : int
        Processes that measure galaxies; the file's bytes do not depend on it.

    Returns
    -------
    dict
        The bank's metadata: ``bank_id``, ``galaxies``, ``rejected`` (reason
        to count), ``splits``, size, magnitude and S/N quantiles,
        ``deconvolved``, coverage by ``photometry``, input hashes.

    Raises
    ------
    MissingDataError
        If the catalogue or one of its image files is absent.
    DataError
        If a file is damaged, the pixel scale is not 0.03 arcsec, radii are in
        another unit, or fewer galaxies pass than there are splits.
    StorageError
        If the disk is full.
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
        chosen = _select(catalog, spool, max_galaxies, seed, limits, workers)
        if len(chosen.rows) < len(SPLITS):
            raise DataError(
                describe(
                    "Too few galaxies pass the cuts",
                    file=catalog.path,
                    expected=f"at least {len(SPLITS)}, one per split",
                    got=f"{len(chosen.rows)} of {len(catalog)}; left out: {_counts(chosen.rejected)}",
                    hint="check units, pixel scale and noise of the catalogue against its documentation",
                )
            )
        ids = np.array([f"cosmos-{catalog.ident[row]}" for row in chosen.rows])
        order = np.argsort(ids)
        columns: dict[str, NDArray[Any]] = {
            name: np.array([numbers[name] for numbers in chosen.numbers])[order]
            for name in NUMBER_COLUMNS
            if name not in COLOURS
        }
        columns, coverage = _with_photometry(columns, find_photometry(catalog.path.parent))
        columns["source_id"] = ids[order]
        columns["split"] = assign_source_splits(columns["source_id"].tolist())
        columns["background_from"] = np.array(chosen.backgrounds)[order]
        shape = (len(chosen.rows), TEMPLATE_PX, TEMPLATE_PX)
        templates = np.memmap(spool, dtype=np.float32, mode="r", shape=shape)
        metadata = {
            **_provenance(catalog, max_galaxies, seed, limits),
            **_statistics(columns, chosen.rejected),
            "photometry": coverage,
        }
        content = [sha256_bytes(templates[row].tobytes()) for row in order]
        metadata["bank_id"] = hash_json([metadata, columns["source_id"].tolist(), content])
        write_bank(
            output_h5,
            templates=templates,
            order=order,
            columns=columns,
            rejected=chosen.rejected,
            metadata=metadata,
        )
    with SourceBank.open(output_h5) as bank:
        check_bank(bank, limits)
    return metadata


def _with_photometry(
    columns: dict[str, NDArray[Any]], table: Path | None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any] | None]:
    """Add measured colours, and redshifts where the catalogue has none; and say how many were matched."""
    if table is None:
        nothing = np.full(len(columns["ra_deg"]), np.nan)
        return {**columns, **dict.fromkeys(COLOURS, nothing)}, None
    matched = match_photometry(read_photometry(table), columns["ra_deg"], columns["dec_deg"])
    z_phot = np.where(np.isfinite(columns["z_phot"]), columns["z_phot"], matched.z_phot)
    added = {"g_r": matched.g_r, "r_z": matched.r_z, "z_phot": z_phot}
    return {**columns, **added}, {"table": table.name, **matched.coverage()}


def input_hashes(catalog_dir: str | Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a catalogue that a bank is built from, by name.

    Raises
    ------
    MissingDataError
        If the catalogue or one of its image files is absent.
    DataError
        If a table is damaged.
    """
    with RealGalaxyCatalog.open(catalog_dir) as catalog:
        return _input_hashes(catalog)


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
    upper = np.cumsum(SPLIT_FRACTIONS)
    index = np.searchsorted(upper[:-1], draw, side="right")
    middle = upper - np.array(SPLIT_FRACTIONS) / 2.0
    for wanted in range(len(SPLITS)):
        count = np.bincount(index, minlength=len(SPLITS))
        if count[wanted] == 0:
            spare = np.flatnonzero(count[index] > 1)
            index[spare[np.argmin(np.abs(draw[spare] - middle[wanted]))]] = wanted
    return np.array(SPLITS)[index]


def check_bank(bank: SourceBank, limits: BankLimits) -> None:
    """Check on the stored values that every source satisfies every cut and every template sums to 1.

    Raises
    ------
    ContractError
        Naming the first source and the cut it does not satisfy.
    """
    for reason, passes in CUTS.items():
        good = np.asarray(passes(bank.columns, limits))
        if not good.all():
            raise ContractError(
                describe(
                    "Source outside the bank's limits",
                    file=bank.path,
                    field=reason,
                    row=bank.ids[int(np.argmin(good))],
                )
            )
    for start in range(0, len(bank), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(bank)))
        off = np.abs(bank.templates(rows).sum(axis=(1, 2), dtype=np.float64) - 1.0)
        if not off.max() <= 1e-5:
            raise ContractError(
                describe(
                    "Template does not sum to 1",
                    file=bank.path,
                    row=bank.ids[rows[int(np.argmax(off))]],
                    got=f"off by {off.max()}",
                )
            )


def _select(
    catalog: RealGalaxyCatalog,
    spool: BinaryIO,
    max_galaxies: int | None,
    seed: int,
    limits: BankLimits,
    workers: int,
) -> _Selection:
    """Try galaxies in hash order, writing the templates of those that pass to ``spool``."""
    order = np.argsort(uniform(seed, "source_order", [str(i) for i in catalog.ident]), kind="stable")
    repeated = repeated_rows(catalog, order, limits.duplicate_arcsec)
    once = [row for row in order.tolist() if row not in repeated]
    chosen = _Selection([], [], [], [])
    seen: set[str] = set()
    log_ratios: list[float] = []
    tried = try_galaxies(catalog, once, limits, workers=workers)
    place = {row: position for position, row in enumerate(order.tolist())}
    last = -1
    for outcome in track(tried, total=len(once), label="source bank [galaxies]"):
        last = place[outcome.row]
        log_ratios.append(outcome.log_hlr_ratio)
        reason = "duplicate_pixels" if outcome.digest in seen else outcome.reason
        seen |= {outcome.digest} - {""}
        if reason or outcome.measured is None:
            chosen.rejected.append((str(catalog.ident[outcome.row]), reason))
            continue
        _append(spool, outcome.measured.template, catalog.path)
        chosen.rows.append(outcome.row)
        chosen.numbers.append(outcome.measured.numbers)
        chosen.backgrounds.append(outcome.measured.background_from)
        if len(chosen.rows) == max_galaxies:
            break
    else:
        last = len(order)
    chosen.rejected.extend(
        (str(catalog.ident[row]), reason) for row, reason in repeated.items() if place[row] < last
    )
    chosen.rejected.sort(key=lambda item: (int(item[0]), item[1]))
    _check_size_scale(catalog, np.array(log_ratios))
    return chosen


def _append(spool: BinaryIO, template: NDArray[np.float32], catalogue: Path) -> None:
    """Add one template to the scratch file.

    Raises
    ------
    StorageError
        If the disk is full.
    """
    try:
        spool.write(template.tobytes())
        spool.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(
            describe(
                "No space left while collecting templates",
                file=catalogue,
                expected="40 kB of scratch space beside the bank per galaxy, and the same for the bank",
                hint="free some space or choose another root, then run again",
            )
        ) from error


def _check_size_scale(catalog: RealGalaxyCatalog, log_ratios: NDArray[np.float64]) -> None:
    """Refuse a catalogue whose radii are not in pixels of its stamps.

    One galaxy may disagree with its catalogued radius; half of all do so by the
    same factor only if the unit is wrong.
    """
    known = log_ratios[np.isfinite(log_ratios)]
    middle = float(np.median(known)) if len(known) >= _MIN_RATIOS else 0.0
    if abs(middle) > _MAX_MEDIAN_LOG_RATIO:
        raise DataError(
            describe(
                "Catalogued half-light radii have another scale than the stamps",
                file=catalog.fits_path,
                field="flux_radius",
                expected="measured / (flux_radius x PIXEL_SCALE) near 1 in the median",
                got=f"{10.0**middle:.2f} over {len(known)} galaxies",
                hint="flux_radius must be in pixels of the stamps and PIXEL_SCALE in arcsec",
            )
        )


def _check_pixel_scale(catalog: RealGalaxyCatalog) -> None:
    off = ~(np.abs(catalog.pixel_scale_arcsec / TEMPLATE_SCALE_ARCSEC - 1.0) <= 1e-3)
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


def _input_hashes(catalog: RealGalaxyCatalog) -> dict[str, str]:
    files = [catalog.path, catalog.fits_path, *catalog.image_files(), *catalog.psf_files()]
    table = find_photometry(catalog.path.parent)
    files += [] if table is None else [table]
    return {path.name: sha256_file(path) for path in files}


def _counts(rejected: list[tuple[str, str]]) -> dict[str, int]:
    return dict(sorted(Counter(reason for _, reason in rejected).items()))


def _provenance(
    catalog: RealGalaxyCatalog, max_galaxies: int | None, seed: int, limits: BankLimits
) -> dict[str, Any]:
    """Return configuration and inputs of a build."""
    return {
        "seed": seed,
        "max_galaxies": max_galaxies,
        "limits": limits.as_dict(),
        "template_px": TEMPLATE_PX,
        "pixel_scale_arcsec": TEMPLATE_SCALE_ARCSEC,
        "split_fractions": list(SPLIT_FRACTIONS),
        "catalogue": catalog.path.name,
        "catalogue_rows": len(catalog),
        "input_sha256": _input_hashes(catalog),
        "deconvolved": catalog.has_psf,
        "psf_fwhm_arcsec": TARGET_FWHM_ARCSEC,
        "psf": f"Gaussian of FWHM {TARGET_FWHM_ARCSEC} arcsec"
        if catalog.has_psf
        else f"that of HST/ACS smoothed to a FWHM of about {TARGET_FWHM_ARCSEC} arcsec: "
        "the catalogue's PSF images are absent",
        "morphology_band": "F814W",
    }


def _statistics(columns: dict[str, NDArray[Any]], rejected: list[tuple[str, str]]) -> dict[str, Any]:
    """Return counts and quantiles of a bank; quantiles are minimum, quartiles, maximum."""
    log_ratio = np.log10(columns["hlr_arcsec"] / columns["hlr_catalogue_arcsec"])
    quantiles = {
        f"{name}_quantiles": [float(v) for v in np.quantile(columns[name], [0.0, 0.25, 0.5, 0.75, 1.0])]
        for name in ("hlr_arcsec", "mag_f814w", "snr", "concentration", "clumpiness")
    }
    return {
        "galaxies": len(columns["source_id"]),
        "tried": len(columns["source_id"]) + len(rejected),
        "rejected": _counts(rejected),
        "splits": {name: int(np.sum(columns["split"] == name)) for name in SPLITS},
        "hlr_log10_ratio_rms": float(np.sqrt(np.mean(log_ratio**2))),
        **quantiles,
    }
