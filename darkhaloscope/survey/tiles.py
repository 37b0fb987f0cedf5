"""Tiles and splits: which part of the sky a galaxy belongs to, decided once.

A split is a property of a sky cell, so a galaxy, its neighbours and its rows
are always on one side. Cells are balanced by galaxies and by area, and train
and val positions near a test cell are set aside as ``guard``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.config import Split
from darkhaloscope.errors import DataError, describe
from darkhaloscope.streams import uniform
from darkhaloscope.survey.healpix import TILE_NSIDE, CellBoundary, cell_ids, tile_keys

__all__ = ["SPLITS", "TILE_NSIDE", "SplitMap", "assign_splits", "cell_ids", "tile_keys"]

SPLITS = ("train", "val", "test")
"""Splits in the order of the configured fractions."""

GUARD = "guard"
"""Positions that no split may use."""

_BRICK_GRID = 5
_TOLERANCE = 0.05
_REFINED_CELLS = 300
_MAX_MOVES = 1000

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SplitMap:
    """Which split each cell of the footprint belongs to.

    Parameters
    ----------
    nside : int
        Resolution of the cells (NESTED).
    guard_deg : float
        Train and val positions nearer to a test cell than this are guard.
    cells : mapping from int to str
        Cell to ``train``, ``val`` or ``test``.
    n_galaxies, area_deg2 : mapping from int to float
        What each cell holds.
    """

    nside: int
    guard_deg: float
    cells: Mapping[int, str]
    n_galaxies: Mapping[int, float]
    area_deg2: Mapping[int, float]

    def of(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.str_]:
        """Return the split of positions.

        Parameters
        ----------
        ra_deg, dec_deg : array_like, shape (n,)
            ICRS degrees.

        Returns
        -------
        ndarray of str, shape (n,)
            ``train``, ``val``, ``test`` or ``guard``. A position in a cell
            without footprint is ``guard``: it is used for nothing.
        """
        pixels = cell_ids(ra_deg, dec_deg, self.nside)
        known = np.array(sorted(self.cells), dtype=np.int64)
        names = np.array([self.cells[int(c)] for c in known], dtype="<U5")
        index = np.clip(np.searchsorted(known, pixels), 0, len(known) - 1)
        split = np.where(known[index] == pixels, names[index], GUARD)
        outside_test = split != "test"
        near = self._test_outline.within(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg), self.guard_deg)
        split[outside_test & near] = GUARD
        return split

    def table(self) -> pa.Table:
        """Return one row per cell: ``healpix``, ``split``, ``n_galaxies``, ``area_deg2``."""
        order = sorted(self.cells)
        return pa.table(
            {
                "healpix": pa.array(order, pa.int64()),
                "split": pa.array([self.cells[c] for c in order], pa.string()),
                "n_galaxies": pa.array([self.n_galaxies[c] for c in order], pa.float64()),
                "area_deg2": pa.array([self.area_deg2[c] for c in order], pa.float64()),
            }
        )

    def shares(self) -> dict[str, dict[str, float]]:
        """Return the measured share of galaxies, area and cells per split."""
        galaxies, area = sum(self.n_galaxies.values()), sum(self.area_deg2.values())
        result = {}
        for name in SPLITS:
            mine = [c for c, split in self.cells.items() if split == name]
            result[name] = {
                "galaxies": sum(self.n_galaxies[c] for c in mine) / galaxies,
                "area": sum(self.area_deg2[c] for c in mine) / area,
                "cells": len(mine) / len(self.cells),
            }
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_dict` reads."""
        return {"nside": self.nside, "guard_deg": self.guard_deg, "cells": self.table().to_pylist()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SplitMap:
        """Rebuild the map from :meth:`to_dict`."""
        rows = value["cells"]
        return cls(
            nside=value["nside"],
            guard_deg=value["guard_deg"],
            cells={row["healpix"]: row["split"] for row in rows},
            n_galaxies={row["healpix"]: row["n_galaxies"] for row in rows},
            area_deg2={row["healpix"]: row["area_deg2"] for row in rows},
        )

    @cached_property
    def _test_outline(self) -> CellBoundary:
        return CellBoundary(self.nside, [c for c, split in self.cells.items() if split == "test"])


def assign_splits(bricks: pa.Table, split: Split) -> SplitMap:
    """Divide the footprint's cells among train, val and test.

    Cells are taken from heavy to light in classes of a factor two, in keyed
    hash order within a class, each to the split that is least filled for its
    fraction; on a small sky single cells are then moved or swapped while that
    brings galaxies and area nearer to the fractions.

    Parameters
    ----------
    bricks : pyarrow.Table
        Schema ``BRICKS``; only rows with status ``ok`` count.
    split : Split
        nside, fractions, guard and seed.

    Returns
    -------
    SplitMap

    Raises
    ------
    DataError
        If no usable brick holds galaxies, there are fewer cells than splits,
        or the fractions are missed by more than 5 % or the heaviest cell.
    """
    cells, galaxies, area = _cell_weights(bricks, split.nside)
    fractions = np.array(split.fractions)
    wanted = [name for name, fraction in zip(SPLITS, fractions, strict=True) if fraction > 0.0]
    if len(cells) < len(wanted):
        raise DataError(
            describe(
                "Too few sky cells for a disjoint split",
                expected=f"at least {len(wanted)} cells of nside {split.nside}",
                got=len(cells),
                hint="add bricks from other parts of the sky, or raise split.nside",
            )
        )
    shares = np.stack([galaxies / galaxies.sum(), area / area.sum()], axis=1)
    rank = uniform(split.seed, "split_cells", [str(c) for c in cells])
    chosen = _fill(shares, fractions, rank)
    if len(cells) <= _REFINED_CELLS:
        _refine(chosen, shares, fractions)
    _require_fractions(chosen, shares, fractions)
    ids = [int(c) for c in cells]
    return SplitMap(
        nside=split.nside,
        guard_deg=split.guard_deg,
        cells={c: SPLITS[k] for c, k in zip(ids, chosen, strict=True)},
        n_galaxies=dict(zip(ids, galaxies.tolist(), strict=True)),
        area_deg2=dict(zip(ids, area.tolist(), strict=True)),
    )


def _cell_weights(bricks: pa.Table, nside: int) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Share galaxies and area of each usable brick among the cells its box touches."""
    usable = bricks.filter(pc.equal(bricks["status"], "ok"))
    if usable.num_rows == 0:
        raise DataError(
            describe(
                "No usable brick to split",
                field="status",
                expected="at least one 'ok'",
                got=f"{bricks.num_rows} rows, none ok",
                hint="look at the status column of the footprint",
            )
        )
    column = {name: usable[name].to_numpy() for name in ("ra1", "ra2", "dec1", "dec2")}
    step = (np.arange(_BRICK_GRID) + 0.5) / _BRICK_GRID
    width = np.mod(column["ra2"] - column["ra1"], 360.0)
    ra = column["ra1"][:, None, None] + width[:, None, None] * step[None, :, None]
    dec = column["dec1"][:, None, None] + (column["dec2"] - column["dec1"])[:, None, None] * step
    ra, dec = np.broadcast_arrays(ra, dec)
    pixels = cell_ids(np.mod(ra, 360.0).ravel(), dec.ravel(), nside)
    cells, inverse = np.unique(pixels, return_inverse=True)
    per_point = _BRICK_GRID**2
    galaxies, area = (
        np.asarray(
            np.bincount(inverse, np.repeat(usable[name].to_numpy() / per_point, per_point)), dtype=np.float64
        )
        for name in ("n_galaxies", "area_deg2")
    )
    if galaxies.sum() <= 0.0 or area.sum() <= 0.0:
        raise DataError(
            describe("Usable bricks hold no galaxies or no area", field="n_galaxies", expected="> 0", got=0)
        )
    return cells, galaxies, area


def _fill(shares: FloatArray, fractions: FloatArray, rank: FloatArray) -> NDArray[np.int64]:
    """Give each cell to the split with the smallest filled part of its fraction."""
    weight = shares.mean(axis=1)
    order = np.lexsort((rank, -np.floor(np.log2(np.maximum(weight, 1e-300)))))
    filled = np.zeros(len(fractions))
    target = np.where(fractions > 0.0, fractions, np.nan)
    chosen = np.zeros(len(weight), dtype=np.int64)
    for cell in order:
        # Fill after the cell is added: a heavy cell goes where there is room for it.
        k = int(np.nanargmin((filled + weight[cell]) / target))
        chosen[cell] = k
        filled[k] += weight[cell]
    _leave_none_empty(chosen, weight, fractions)
    return chosen


def _leave_none_empty(chosen: NDArray[np.int64], weight: FloatArray, fractions: FloatArray) -> None:
    """Give an empty split the lightest cell of the split with most cells."""
    for k in np.flatnonzero(fractions > 0.0):
        if not (chosen == k).any():
            richest = int(np.argmax(np.bincount(chosen, minlength=len(fractions))))
            mine = np.flatnonzero(chosen == richest)
            chosen[mine[np.argmin(weight[mine])]] = k


def _refine(chosen: NDArray[np.int64], shares: FloatArray, fractions: FloatArray) -> None:
    """Move or swap cells while the squared miss of galaxies and area falls; in place."""
    n, splits = len(chosen), len(fractions)
    for _ in range(_MAX_MOVES):
        held = np.stack([shares[chosen == k].sum(axis=0) for k in range(splits)])
        miss = held - fractions[:, None]
        counts = np.bincount(chosen, minlength=splits)
        best = -1e-12
        action: tuple[tuple[int, int], ...] = ()
        for k in range(splits):
            # Moving weight w from split a to k changes the cost by 2 w.(w + miss_k - miss_a).
            if fractions[k] == 0.0:
                continue
            gain = 2.0 * (shares * (shares + miss[k] - miss[chosen])).sum(axis=1)
            gain[(chosen == k) | (counts[chosen] == 1)] = np.inf
            cell = int(np.argmin(gain))
            if gain[cell] < best:
                best, action = float(gain[cell]), ((cell, k),)
        difference = shares[:, None, :] - shares[None, :, :]
        swap = 2.0 * (difference * (difference + miss[chosen][None] - miss[chosen][:, None])).sum(axis=2)
        swap[chosen[:, None] == chosen[None, :]] = np.inf
        i, j = divmod(int(np.argmin(swap)), n)
        if swap[i, j] < best:
            action = ((i, int(chosen[j])), (j, int(chosen[i])))
        if not action:
            return
        for cell, k in action:
            chosen[cell] = k


def _require_fractions(chosen: NDArray[np.int64], shares: FloatArray, fractions: FloatArray) -> None:
    """Refuse a division that misses the fractions by more than the cells' coarseness explains."""
    allowed = max(_TOLERANCE, float(shares.max()))
    for k, name in enumerate(SPLITS):
        held = shares[chosen == k].sum(axis=0)
        for what, share in zip(("galaxies", "area"), held, strict=True):
            if abs(share - fractions[k]) > allowed:
                raise DataError(
                    describe(
                        f"Share of {what} in {name}",
                        field="split.fractions",
                        expected=f"{fractions[k]:.3f} +- {allowed:.3f}",
                        got=f"{share:.3f}",
                        hint="raise split.nside or add sky",
                    )
                )
