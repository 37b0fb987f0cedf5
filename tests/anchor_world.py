"""Known objects on the small survey tree, and stamps of them, for tests of anchors."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import pyarrow as pa
import sky_tree

from darkhaloscope.evaluation.anchor_stamps import cut_anchor_stamps
from darkhaloscope.evaluation.anchors import COLUMNS, read_anchor_catalog
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.release import get_release

RELEASE = get_release("dr10-south")
SIZE_PX = 64
IMAGING = "Sonnenfeld et al. (2018) - arXiv:1704.01585"
NETWORK = "Huang et al. (2020) - arXiv:1906.00970"
SPECTROSCOPIC = "Bolton et al. (2008) - arXiv:0805.1931"
RINGS = "Rojas et al. (2022) - J/A+A/668/A73"
QUASARS = "https://research.ast.cam.ac.uk/lensedquasars/index.html"


def write_catalog(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows in lenscat's columns; what a row leaves out is a confident imaging lens."""
    defaults = {
        "name": "L",
        "zlens": "-",
        "type": "galaxy",
        "grading": "confident",
        "ref": IMAGING,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        for row in rows:
            named = {"RA [deg]": row["ra"], "DEC [deg]": row["dec"]}
            plain = {k: v for k, v in row.items() if k not in {"ra", "dec"}}
            writer.writerow({**defaults, **plain, **named})
    return path


def galaxy(brick: int = 0, number: int = 0) -> tuple[float, float]:
    """Sky position of a galaxy of the tree."""
    chosen = sky_tree.pair()[brick]
    x, y = chosen.positions[number]
    return sky(chosen, x, y)


def star(brick: int = 0) -> tuple[float, float]:
    """Sky position of the star of a brick."""
    return sky(sky_tree.pair()[brick], 60.0, 350.0)


def sky(brick: sky_tree.Brick, x: float, y: float) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec = brick.wcs.all_pix2world(x, y, 0)
    return float(ra) % 360.0, float(dec)


def stamps(root: Path, rows: list[dict[str, object]], folder: Path) -> pa.Table:
    """Read a catalogue of these rows and cut its stamps from the tree."""
    anchors = read_anchor_catalog(write_catalog(folder / "known.csv", rows), release=RELEASE)
    return cut_anchor_stamps(
        anchors, read_footprint(root, RELEASE), survey_root=root, release=RELEASE, size_px=SIZE_PX
    )


def at(position: tuple[float, float], north_arcsec: float = 0.0, **fields: object) -> dict[str, object]:
    """A catalogue row at a position, moved north."""
    return {"ra": position[0], "dec": position[1] + north_arcsec / 3600.0, **fields}
