"""Which part of the bricks the sweeps at hand hold, and which sweeps are missing or damaged.

Names and boxes only; rows are read in ``sweeps``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import open_fits
from darkhaloscope.survey.layout import SweepFile
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import SurveyRoot

COMPLETE, INCOMPLETE = "complete", "incomplete"
MISSING, DAMAGED = "missing", "damaged"

Box = tuple[float, float, float, float]
"""(ra1, ra2, dec1, dec2) in degrees; ra1 > ra2 passes through 0."""

_NO_SOURCES = ("outside release", "no coverage")
_SMALLEST_DEG2 = 1e-7  # rounding of box edges, not sky


@dataclass(frozen=True)
class LostSweep:
    """A sweep that should have given sources and did not.

    Parameters
    ----------
    name : str
        File name; of a missing one, the name it must have.
    status : str
        ``missing`` or ``damaged``.
    area_deg2 : float
        Area of the bricks inside its box.
    reason : str
        What is wrong with a damaged file.
    """

    name: str
    status: str
    area_deg2: float
    reason: str = ""


@dataclass(frozen=True)
class Coverage:
    """What the sweeps hold of some bricks.

    Parameters
    ----------
    sweeps_read : int
        Sweeps that hold part of the bricks.
    area_deg2 : float
        Area of the bricks that have exposures.
    area_lost_deg2 : float
        Part of it without a readable sweep.
    bricks_incomplete : int
        Bricks that lose area.
    lost : tuple of LostSweep
        By name.
    """

    sweeps_read: int
    area_deg2: float
    area_lost_deg2: float
    bricks_incomplete: int
    lost: tuple[LostSweep, ...]

    @property
    def status(self) -> str:
        """``complete``, or ``incomplete`` if area is lost."""
        return INCOMPLETE if self.lost or self.area_lost_deg2 > 0.0 else COMPLETE

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values for a record."""
        counts = Counter(sweep.status for sweep in self.lost)
        return {
            "tile_status": self.status,
            "area_deg2": self.area_deg2,
            "area_lost_deg2": self.area_lost_deg2,
            "bricks_incomplete": self.bricks_incomplete,
            "sweeps": {"read": self.sweeps_read, MISSING: counts[MISSING], DAMAGED: counts[DAMAGED]},
            "sweeps_lost": [asdict(sweep) for sweep in self.lost],
        }


def box_of(bricks: pa.Table) -> Box:
    """Return the box that holds the primary boxes of all bricks."""
    dec1, dec2 = float(np.min(bricks["dec1"].to_numpy())), float(np.max(bricks["dec2"].to_numpy()))
    reference = float(bricks["ra"].to_numpy()[0])
    # Offsets from one brick, so that neither RA 0 nor a brick across it needs a case of its own.
    centre = np.mod(bricks["ra"].to_numpy() - reference + 180.0, 360.0) - 180.0
    half = np.mod(bricks["ra2"].to_numpy() - bricks["ra1"].to_numpy(), 360.0) / 2.0
    low, high = float(np.min(centre - half)), float(np.max(centre + half))
    if high - low >= 360.0:
        return 0.0, 360.0, dec1, dec2
    return (reference + low) % 360.0, (reference + high) % 360.0, dec1, dec2


def sweeps_of_box(root: SurveyRoot, release: Release, box: Box) -> list[SweepFile]:
    """List the sweeps that overlap a box.

    Raises
    ------
    MissingDataError
        If there is none.
    """
    overlapping = _near(layout.sweep_files(root, release), box)
    ra1, ra2, dec1, dec2 = box
    if not overlapping:
        raise MissingDataError(
            describe(
                "No sweep covers this part of the sky",
                file=root.where(release.sweep_directory),
                expected=f"a sweep over RA {ra1:.2f} to {ra2:.2f}, Dec {dec1:.2f} to {dec2:.2f} deg",
                got="none",
                hint="copy the sweep of that box",
            )
        )
    return overlapping


def tile_coverage(root: SurveyRoot, release: Release, bricks: pa.Table) -> dict[str, Coverage]:
    """Say of every tile what the sweeps at hand hold, from their names and, on file systems, their sizes.

    Parameters
    ----------
    root : SurveyRoot
        Survey root. Behind a network a damaged sweep shows when it is fetched.
    release : Release
        Which sweeps.
    bricks : pyarrow.Table
        Schema ``BRICKS``.

    Returns
    -------
    dict of str to Coverage
        By tile key, sorted.

    Raises
    ------
    MissingDataError
        If there is no sweep at all.
    """
    present = layout.sweep_files(root, release)
    damaged: dict[str, tuple[str, str]] = {}
    for sweep in present:
        if root.size(sweep.relative) is None:
            break
        try:
            with open_fits(root.path(sweep.relative), "Sweep"):
                pass
        except MissingDataError as error:  # a link to nowhere
            damaged[sweep.relative] = (MISSING, str(error))
        except DataError as error:
            damaged[sweep.relative] = (DAMAGED, str(error))
    found = {}
    for tile in sorted(set(bricks["tile"].to_pylist())):
        mine = bricks.filter(pc.equal(bricks["tile"], tile))
        found[tile] = cover(mine, present, damaged)
    return found


def footprint_summary(coverages: Mapping[str, Coverage]) -> dict[str, Any]:
    """Return what a footprint's record says of its sweeps: what is lost, and which tiles lose area."""
    lost: dict[str, dict[str, Any]] = {}
    for sweep in (sweep for c in coverages.values() for sweep in c.lost):
        entry = lost.setdefault(sweep.name, {**asdict(sweep), "area_deg2": 0.0})
        entry["area_deg2"] += sweep.area_deg2
    statuses = Counter(sweep["status"] for sweep in lost.values())
    return {
        "sweeps": {MISSING: statuses[MISSING], DAMAGED: statuses[DAMAGED]},
        "sweeps_lost": [lost[name] for name in sorted(lost)],
        "tiles_incomplete": {
            tile: c.area_lost_deg2 for tile, c in coverages.items() if c.status == INCOMPLETE
        },
    }


def cover(bricks: pa.Table, present: Sequence[SweepFile], damaged: Mapping[str, tuple[str, str]]) -> Coverage:
    """Say what the sweeps hold of the bricks that have sources.

    Parameters
    ----------
    bricks : pyarrow.Table
        Schema ``BRICKS``; those without exposures or of another release need no sweep.
    present : sequence of SweepFile
        Sweeps that are listed; those elsewhere do no harm.
    damaged : mapping from ``SweepFile.relative`` to (status, reason)
        Listed sweeps that gave no rows: ``missing`` or ``damaged``.

    Returns
    -------
    Coverage
    """
    mine = bricks.filter(pc.invert(pc.is_in(bricks["status"], pa.array(_NO_SOURCES))))
    boxes = {name: mine[name].to_numpy() for name in ("ra1", "ra2", "dec1", "dec2")}
    area = mine["area_deg2"].to_numpy()
    held = np.zeros(mine.num_rows)
    lost: list[LostSweep] = []
    read = 0
    for sweep in _near(present, box_of(mine)) if mine.num_rows else ():
        inside = _overlap_deg2(boxes, sweep)
        if inside.sum() <= _SMALLEST_DEG2:
            continue
        if sweep.relative in damaged:
            status, reason = damaged[sweep.relative]
            lost.append(LostSweep(_name(sweep), status, float(inside.sum()), reason))
        else:
            held += inside
            read += 1
    named = {_name(sweep) for sweep in present}
    for sweep in _grid_of(present, boxes):
        inside = _overlap_deg2(boxes, sweep)
        if _name(sweep) not in named and inside.sum() > _SMALLEST_DEG2:
            lost.append(LostSweep(_name(sweep), MISSING, float(inside.sum())))
    gone = np.maximum(area - held, 0.0)
    gone[gone <= _SMALLEST_DEG2] = 0.0
    return Coverage(
        read, float(area.sum()), float(gone.sum()), int((gone > 0.0).sum()), tuple(sorted(lost, key=_order))
    )


def _near(sweeps: Sequence[SweepFile], box: Box) -> list[SweepFile]:
    """Return the sweeps that meet a box."""
    ra1, ra2, dec1, dec2 = box
    spans = [(ra1, ra2)] if ra1 <= ra2 else [(ra1, 360.0), (0.0, ra2)]
    return [
        sweep
        for sweep in sweeps
        if sweep.dec1 <= dec2
        and sweep.dec2 >= dec1
        and any(sweep.ra1 <= high and sweep.ra2 >= low for low, high in spans)
    ]


def _order(sweep: LostSweep) -> str:
    return sweep.name


def _name(sweep: SweepFile) -> str:
    return sweep.relative.rpartition("/")[2]


def _overlap_deg2(boxes: Mapping[str, NDArray[np.float64]], sweep: SweepFile) -> NDArray[np.float64]:
    """Return the solid angle each brick shares with a sweep's box, dRA (sin dec2 - sin dec1), in deg^2."""
    low, width = boxes["ra1"], np.mod(boxes["ra2"] - boxes["ra1"], 360.0)
    # A box that ends at RA 360 or begins at 0 is met from both sides.
    shared = sum(
        np.clip(np.minimum(low + width, sweep.ra2 + turn) - np.maximum(low, sweep.ra1 + turn), 0.0, None)
        for turn in (-360.0, 0.0, 360.0)
    )
    bottom, top = np.maximum(boxes["dec1"], sweep.dec1), np.minimum(boxes["dec2"], sweep.dec2)
    height = np.degrees(np.sin(np.radians(np.maximum(top, bottom))) - np.sin(np.radians(bottom)))
    return np.asarray(shared * height)


def _grid_of(present: Sequence[SweepFile], boxes: Mapping[str, NDArray[np.float64]]) -> list[SweepFile]:
    """Return the sweeps that must hold the bricks if all are as large as the most common of those listed."""
    if not present or not len(boxes["ra1"]):
        return []
    sides = Counter((sweep.ra2 - sweep.ra1, sweep.dec2 - sweep.dec1) for sweep in present)
    (wide, high), _ = sides.most_common(1)[0]
    cells: set[tuple[int, int]] = set()
    corners = ((r, d) for r in ("ra1", "ra2") for d in ("dec1", "dec2"))
    for ra, dec in corners:
        # Edges belong to the brick: step inside them before asking for the cell.
        shift_ra, shift_dec = (1e-6 if name.endswith("1") else -1e-6 for name in (ra, dec))
        column = np.floor(np.mod(boxes[ra] + shift_ra, 360.0) / wide).astype(int)
        row = np.floor((boxes[dec] + shift_dec) / high).astype(int)
        cells.update(zip(column.tolist(), row.tolist(), strict=True))
    return [
        SweepFile(
            layout.sweep_name(
                round(c * wide), round(r * high), round(min((c + 1) * wide, 360.0)), round((r + 1) * high)
            ),
            c * wide,
            min((c + 1) * wide, 360.0),
            r * high,
            (r + 1) * high,
        )
        for c, r in sorted(cells)
    ]
