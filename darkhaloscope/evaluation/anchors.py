"""The catalogue of known lenses and look-alikes, from a file in lenscat's columns.

A sky position exists here only as a row of a hashed file; nothing turns a name
into a position. Every row is kept: what cannot be used says why. Whether a
position shows the galaxy it claims is the business of ``pointing``.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Protocol

import healpy as hp
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.evaluation.references import Discovery, find_references
from darkhaloscope.hashing import sha256_file
from darkhaloscope.schema import ANCHORS
from darkhaloscope.survey.release import Release

COLUMNS = ("name", "RA [deg]", "DEC [deg]", "zlens", "type", "grading", "ref")
"""Columns a catalogue must have: those of lenscat."""

MERGE_RADIUS_ARCSEC = 2.0
"""Rows of one class closer than this are one object; survey lists differ by about 1 arcsec."""

DRAG_FILL_SEPARATION_ARCSEC = 60.0
"""Names that only count upwards while the sky moves farther than this were filled by a spreadsheet."""

CELL_NSIDE = 32

LOOKALIKE_CLASSES = ("ring", "spiral", "merger", "edge-on", "group", "artefact")
"""Classes of objects that are not lenses and resemble them; ``group`` only in look-alike lists."""

_LENS_TYPE = "galaxy"
_LENS_CLASS = "galaxy lens"
_NOT_GALAXY_SCALE = ("cluster", "group", "quasar")
_REDSHIFT_TOLERANCE = 0.01
_SEPARATOR = "|"

FloatArray = NDArray[np.float64]


class SkySplit(Protocol):
    """What says which split a position belongs to."""

    def of(self, ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
        """Return train, val, test or guard for each position in ICRS degrees."""
        ...


def read_anchor_catalog(path: str | Path, *, release: Release, splits: SkySplit | None = None) -> pa.Table:
    """Read known objects and decide the use of each row.

    Parameters
    ----------
    path : path
        CSV with lenscat's columns (``name, RA [deg], DEC [deg], zlens, type,
        grading, ref``); several values of one field are joined by ``|``. A column
        ``theta_e_arcsec`` is read where present.
    release : Release
        The survey; positions its camera did not observe are excluded.
    splits : SkySplit, optional
        Look-alikes in train cells become hard negatives; without it, and
        everywhere else, objects only grade.

    Returns
    -------
    pyarrow.Table
        Schema ``ANCHORS``, one row per row of the file, in its order.

    Raises
    ------
    MissingDataError
        If the file does not exist.
    DataError
        If a column is missing, the file has no row, or a position is not a
        number on the sphere, naming the row.
    """
    path = Path(path)
    rows = _read_rows(path)
    ra, dec = _positions(path, rows)
    sha256 = sha256_file(path)
    classes = [_classify(row) for row in rows]
    reasons = [
        _reason(row, kind, object_class, discovery)
        for row, (kind, object_class, discovery) in zip(rows, classes, strict=True)
    ]
    _exclude_outside(reasons, ra, dec, release)
    _exclude_drag_filled(reasons, [row["name"] for row in rows], ra, dec)
    ids = [f"{sha256[:8]}-{index}" for index in range(len(rows))]
    kinds = [kind for kind, _, _ in classes]
    _exclude_duplicates(reasons, ids, kinds, [row["grading"] for row in rows], ra, dec)
    cells = hp.ang2pix(CELL_NSIDE, ra, dec, nest=True, lonlat=True)
    split = np.full(len(rows), "", dtype=object) if splits is None else splits.of(ra, dec)
    return ANCHORS.table(
        {
            "anchor_id": ids,
            "name": [row["name"].strip() for row in rows],
            "ra": ra,
            "dec": dec,
            "kind": kinds,
            "object_class": [object_class for _, object_class, _ in classes],
            "discovery": [discovery for _, _, discovery in classes],
            "grade": [row["grading"].strip() for row in rows],
            "reference": [row["ref"].strip() for row in rows],
            "z_lens": [_redshift(row["zlens"]) for row in rows],
            "theta_e_arcsec": [_number(row.get("theta_e_arcsec", "")) for row in rows],
            "catalog_sha256": [sha256] * len(rows),
            "catalog_row": np.arange(len(rows)),
            "healpix": cells,
            "use": [
                _use(kind, reason, str(part))
                for kind, reason, part in zip(kinds, reasons, split, strict=True)
            ],
            "exclude_reason": reasons,
        }
    )


def exclusion_counts(anchors: pa.Table) -> dict[str, int]:
    """Count rows by the first word of their exclusion reason; ``used`` for the others."""
    counts: dict[str, int] = {}
    for reason in anchors["exclude_reason"].to_pylist():
        key = reason.split(":")[0] or "used"
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise MissingDataError(describe("Anchor catalogue not found", file=path))
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                describe(
                    "Anchor catalogue lacks a column",
                    file=path,
                    field=missing[0],
                    expected=", ".join(COLUMNS),
                    got=reader.fieldnames,
                )
            )
        rows = [{k: v or "" for k, v in row.items() if k is not None} for row in reader]
    if not rows:
        raise DataError(describe("Anchor catalogue is empty", file=path, expected="at least one row", got=0))
    return rows


def _positions(path: Path, rows: list[dict[str, str]]) -> tuple[FloatArray, FloatArray]:
    """Return RA and Dec in degrees; a row with two positions or none is an error."""
    values = np.empty((2, len(rows)))
    for index, row in enumerate(rows):
        for axis, (name, low, high) in enumerate((("RA [deg]", 0.0, 360.0), ("DEC [deg]", -90.0, 90.0))):
            number = _number(row[name])
            if number is None or not low <= number <= high:
                raise DataError(
                    describe(
                        "Not a position",
                        file=path,
                        row=index,
                        field=name,
                        expected=f"one number in [{low:g}, {high:g}]",
                        got=repr(row[name]),
                        hint="correct or remove the row; positions are never taken from names",
                    )
                )
            values[axis, index] = number
    return values[0] % 360.0, values[1]


def _classify(row: dict[str, str]) -> tuple[str, str, str]:
    """Return kind, object class and discovery of a row, empty where unknown."""
    references = find_references(row["ref"])
    label = row["type"].strip().lower()
    if label in LOOKALIKE_CLASSES and label != "group":
        kind, object_class = "lookalike", label
    else:
        by_reference = [r.object_class for r in references if r.object_class is not None]
        kind = "lens"
        object_class = by_reference[0] if by_reference else _LENS_CLASS if label == _LENS_TYPE else label
    found = [r.discovery for r in references if r.discovery is not None]
    # The strictest claim counts: an object that imaging shows is a fair test of an imaging finder,
    # and one that a person or algorithm found does not share a network's selection.
    order = (Discovery.IMAGING, Discovery.NETWORK, Discovery.SPECTROSCOPIC, Discovery.SPACE)
    discovery = next((d.value for d in order if d in found), "")
    return kind, object_class, discovery


def _reason(row: dict[str, str], kind: str, object_class: str, discovery: str) -> str:
    """Return why a row is not used on its own account, or an empty text."""
    for field in ("type", "grading"):
        if _SEPARATOR in row[field]:
            return f"multi_valued: {field} {row[field].strip()}"
    if not row["ref"].strip():
        return "no_reference"
    if not find_references(row["ref"]):
        return f"unknown_reference: {row['ref'].strip()}"
    if object_class in _NOT_GALAXY_SCALE:
        return f"{object_class}: not a galaxy-scale lens"
    if kind == "lens" and object_class != _LENS_CLASS:
        return f"unknown_type: {object_class}"
    if not discovery:
        return "no_discovery: compiled from other searches"
    return ""


def _exclude_outside(reasons: list[str], ra: FloatArray, dec: FloatArray, release: Release) -> None:
    """Exclude what the release's camera did not observe (another telescope's sky)."""
    inside = release.covers(ra, dec)
    for index in np.flatnonzero(~inside):
        reasons[index] = reasons[index] or f"photsys: not in {release.name}"


def _exclude_drag_filled(reasons: list[str], names: list[str], ra: FloatArray, dec: FloatArray) -> None:
    """Exclude runs of rows whose names count up while their positions jump over the sky.

    A spreadsheet that extends a name by dragging writes a series: the last two
    digits rise by one per row. True names of neighbours in such a series lie
    within an arcminute of each other.
    """
    vectors = _unit_vectors(ra, dec)
    for index in range(1, len(names)):
        before, here = names[index - 1].strip(), names[index].strip()
        if len(here) != len(before) or here[:-2] != before[:-2]:
            continue
        # A bare running number is a label of its list; only a name built from a position can be wrong.
        if not (re.search(r"\d[+-]\d{4,}$", here) and before[-2:].isdigit()):
            continue
        chord = float(np.linalg.norm(vectors[index] - vectors[index - 1]))
        apart = chord > np.deg2rad(DRAG_FILL_SEPARATION_ARCSEC / 3600.0)
        if int(here[-2:]) == int(before[-2:]) + 1 and apart:
            reasons[index] = reasons[index] or "name_series: filled by a spreadsheet, identity unknown"


def _exclude_duplicates(
    reasons: list[str],
    ids: list[str],
    kinds: list[str],
    grades: list[str],
    ra: FloatArray,
    dec: FloatArray,
) -> None:
    """Keep one row of each position: the best graded, then the first.

    Lens and look-alike at one position contradict each other: neither is used.
    """
    usable = np.flatnonzero([not reason for reason in reasons])
    if usable.size < 2:
        return
    tree = cKDTree(_unit_vectors(ra[usable], dec[usable]))
    pairs = tree.query_pairs(
        2.0 * np.sin(np.deg2rad(MERGE_RADIUS_ARCSEC / 3600.0) / 2.0), output_type="ndarray"
    )
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(usable.size, usable.size))
    _, labels = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for position, label in zip(usable, labels, strict=True):
        members.setdefault(int(label), []).append(int(position))
    for group in members.values():
        if len(group) == 1:
            continue
        if len({kinds[index] for index in group}) > 1:
            for index in group:
                reasons[index] = "class_conflict: lens and look-alike at one position"
            continue
        best = min(group, key=lambda index: (grades[index].strip() != "confident", index))
        for index in group:
            if index != best:
                reasons[index] = f"duplicate: of {ids[best]}"


def _use(kind: str, reason: str, split: str) -> str:
    if reason:
        return "exclude"
    return "hard_negative" if kind == "lookalike" and split == "train" else "grade"


def _redshift(text: str) -> float | None:
    """Return a redshift where all numbers given agree within 0.01, else None."""
    numbers = [_number(part) for part in text.split(_SEPARATOR)]
    if _SEPARATOR not in text and numbers[0] is None:
        return None
    known = [value for value in numbers if value is not None and value > 0.0]
    unread = any(_number(part) is None and part.strip().lower() != "nan" for part in text.split(_SEPARATOR))
    if not known or unread or max(known) - min(known) > _REDSHIFT_TOLERANCE:
        return None
    return float(np.mean(known))


def _number(text: str) -> float | None:
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    return np.asarray(hp.ang2vec(ra, dec, lonlat=True), dtype=np.float64)
