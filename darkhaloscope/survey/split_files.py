"""Published split maps: one file per way of dividing the sky, extended but never redealt.

A map is published for a resolution, a seed and fractions, which name its file.
The guard band is no part of it: that is a distance, applied when a position is
asked for. Dealing the cells is in ``dealing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from darkhaloscope import tabular
from darkhaloscope.artifacts import Part
from darkhaloscope.config import Split
from darkhaloscope.errors import ArtifactError, describe
from darkhaloscope.schema import SKY_SPLITS
from darkhaloscope.survey.dealing import assign_splits
from darkhaloscope.survey.tiles import SPLITS, SplitMap

_NEXT_STEP = "materialise sky_splits: it adds the missing map and leaves the published ones as they are"


def split_file(split: Split) -> str:
    """Return the file name of the map of a way of dividing, ``nside32-seed13-0.7-0.15-0.15.parquet``."""
    shares = "-".join(str(fraction) for fraction in split.fractions)
    return f"nside{split.nside}-seed{split.seed}-{shares}.parquet"


@dataclass(frozen=True)
class PublishedMap:
    """One published map.

    Parameters
    ----------
    split : Split
        Way of dividing, with the guard band it was first asked for.
    splits : SplitMap
        Its cells.
    part : Part
        Its file.
    new_cells : int
        Cells dealt this time.
    """

    split: Split
    splits: SplitMap
    part: Part
    new_cells: int


def publish_splits(
    bricks: pa.Table, ways: Sequence[Split], published: Sequence[str | Path], directory: str | Path
) -> list[PublishedMap]:
    """Write the map of every way of dividing the sky.

    A map that is published already keeps the split of all its cells and gains
    those of new bricks; one that nobody asks for now is kept all the same.

    Parameters
    ----------
    bricks : pyarrow.Table
        Schema ``BRICKS``.
    ways : sequence of Split
        Ways of dividing; the same one may occur several times.
    published : sequence of path
        Files that this function wrote before.
    directory : path
        Where the new files go.

    Returns
    -------
    list of PublishedMap
        By file name.

    Raises
    ------
    ArtifactError
        If a published file is not of the division its name says.
    DataError
        As :func:`~darkhaloscope.survey.dealing.assign_splits`.
    """
    old = {Path(path).name: Path(path) for path in published}
    wanted = {split_file(way): way for way in reversed(ways)}
    wanted |= {
        name: _division(path, tabular.read_table(path)) for name, path in old.items() if name not in wanted
    }
    result = []
    for name, way in sorted(wanted.items()):
        before = read_splits([old[name]], way) if name in old else None
        splits = assign_splits(bricks, way, published=before)
        part = tabular.write_table(Path(directory) / name, SKY_SPLITS, _table(splits, way))
        new_cells = len(splits.cells) - (0 if before is None else len(before.cells))
        result.append(PublishedMap(way, splits, part, new_cells))
    return result


def read_splits(paths: Sequence[str | Path], split: Split) -> SplitMap:
    """Read the published map of a way of dividing the sky.

    Parameters
    ----------
    paths : sequence of path
        Published files.
    split : Split
        Which of them, and the width of the guard band.

    Returns
    -------
    SplitMap

    Raises
    ------
    ArtifactError
        If no map is published for these parameters, or the file of that name
        holds another division; the message names the next step.
    """
    name = split_file(split)
    path = next((Path(p) for p in paths if Path(p).name == name), None)
    if path is None:
        raise ArtifactError(
            describe(
                "No split map is published for these parameters",
                field="split",
                expected=name,
                got=", ".join(sorted(Path(p).name for p in paths)) or "none",
                hint=_NEXT_STEP,
            )
        )
    table = tabular.read_table(path)
    if split_file(_division(path, table)) != name:
        raise ArtifactError(
            describe(
                "Published split map is of other parameters than its name",
                file=path,
                expected=name,
                got=split_file(_division(path, table)),
                hint="restore the published file; a map dealt again would move galaxies between splits",
            )
        )
    cells = table["healpix"].to_pylist()
    return SplitMap(
        nside=split.nside,
        guard_deg=split.guard_deg,
        cells=dict(zip(cells, table["split"].to_pylist(), strict=True)),
        n_galaxies=dict(zip(cells, table["n_galaxies"].to_pylist(), strict=True)),
        area_deg2=dict(zip(cells, table["area_deg2"].to_pylist(), strict=True)),
    )


def _division(path: Path, table: pa.Table) -> Split:
    """Return the parameters that the rows of a map were dealt with."""
    rows = table.select(["nside", "seed", "split", "fraction"]).group_by(
        ["nside", "seed", "split", "fraction"]
    )
    kinds = rows.aggregate([]).to_pylist()
    fractions = {row["split"]: row["fraction"] for row in kinds}
    if len({(row["nside"], row["seed"]) for row in kinds}) != 1 or len(kinds) != len(fractions):
        raise ArtifactError(
            describe("Published split map mixes divisions", file=path, got=f"{len(kinds)} kinds")
        )
    return Split(
        nside=kinds[0]["nside"],
        seed=kinds[0]["seed"],
        fractions=tuple(fractions.get(name, 0.0) for name in SPLITS),
    )


def _table(splits: SplitMap, split: Split) -> pa.Table:
    order = sorted(splits.cells)
    sides = [splits.cells[cell] for cell in order]
    promised = dict(zip(SPLITS, split.fractions, strict=True))
    return SKY_SPLITS.table(
        {
            "healpix": order,
            "nside": np.full(len(order), split.nside),
            "seed": np.full(len(order), split.seed),
            "split": sides,
            "fraction": [promised[side] for side in sides],
            "n_galaxies": [splits.n_galaxies[cell] for cell in order],
            "area_deg2": [splits.area_deg2[cell] for cell in order],
        }
    )
