"""The list of known objects as literature compilations have them, good rows and bad."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.survey.release import MASK_BITS

KNOWN_OBJECTS = "catalogs/known-objects.csv"
LENSCAT_COLUMNS = ("name", "RA [deg]", "DEC [deg]", "zlens", "type", "grading", "ref")

REFERENCES = {
    "imaging": "arXiv:1704.01585",
    "network": "arXiv:2206.02764",
    "spectroscopic": "arXiv:0805.1931",
    "ring": "J/A+A/668/A73",
    "galaxy zoo": "J/MNRAS/526/4768",
    "quasar": "https://research.ast.cam.ac.uk/lensedquasars/index.html",
    "cluster": "doi:10.1086/423038",
}
"""Searches that the mock's objects stand in for."""


def known_object_rows(
    truth: Sequence[dict[str, Any]], star: tuple[float, float] | None
) -> list[dict[str, str]]:
    """Return the catalogue of known objects in lenscat's columns.

    Besides one row per object there are rows as compilations have them: a
    second position of a lens 0.4 arcsec off, one 30 arcsec off, a lens listed at
    a star, and values joined by a bar.

    Parameters
    ----------
    truth : sequence of dict
        Known objects, sorted by id.
    star : (ra, dec) or None
        A star of the survey, in degrees.
    """
    rows = []
    for number, fact in enumerate(truth):
        kind = fact["kind"]
        source = "network" if kind == "lens" and number % 3 == 1 else fact["discovery"]
        if kind in {"ring", "quasar", "cluster"}:
            source = kind
        elif kind != "lens":
            source = "galaxy zoo"
        confident = kind != "lens" or fact["arc_snr_footprint_r"] > 15.0
        rows.append(
            _row(
                f"MOCK {fact['id']}",
                fact["ra"],
                fact["dec"],
                zlens=f"{0.25 + 0.05 * (number % 9):.2f}" if number % 2 else "not measured",
                kind={"lens": "galaxy", "quasar": "galaxy"}.get(kind, kind),
                grading="confident" if confident else "probable",
                ref=f"mock sky, in place of {REFERENCES[source]}",
            )
        )
    lenses = [fact for fact in truth if fact["kind"] == "lens"]
    if lenses:
        first, last = lenses[0], lenses[-1]
        second = {"kind": "galaxy", "grading": "probable", "zlens": "0.45 | 0.451"}
        rows.append(
            _row(
                f"MOCK {first['id']} | MOCK copy",
                first["ra"],
                first["dec"] + 0.4 / 3600.0,
                ref=" | ".join(f"mock sky, in place of {REFERENCES[k]}" for k in ("imaging", "network")),
                **second,
            )
        )
        rows.append(
            _row(
                f"MOCK {last['id']} misplaced",
                last["ra"],
                last["dec"] + 30.0 / 3600.0,
                ref=f"mock sky, in place of {REFERENCES['imaging']}",
                **second,
            )
        )
    if star is not None:
        rows.append(
            _row(
                "MOCK star",
                *star,
                zlens="not measured",
                kind="galaxy",
                grading="probable",
                ref=f"mock sky, in place of {REFERENCES['imaging']}",
            )
        )
    return rows


def _row(
    name: str, ra: float, dec: float, *, zlens: str, kind: str, grading: str, ref: str
) -> dict[str, str]:
    return dict(
        zip(LENSCAT_COLUMNS, (name, f"{ra:.7f}", f"{dec:.7f}", zlens, kind, grading, ref), strict=True)
    )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as CSV with the given columns; a missing value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path


def usable_star(rows: NDArray[np.void]) -> tuple[float, float] | None:
    """Return the position of a star of r about 18, unmasked, the first by brick and object id."""
    flux = rows["FLUX_R"]
    good = (rows["TYPE"] == b"PSF") & (flux > 30.0) & (flux < 200.0)
    good &= (rows["MASKBITS"] & ~(1 << MASK_BITS["NPRIMARY"])) == 0
    if not good.any():
        return None
    chosen = rows[good]
    first = chosen[np.lexsort((chosen["OBJID"], chosen["BRICKID"]))[0]]
    return float(first["RA"]), float(first["DEC"])
