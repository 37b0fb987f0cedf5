"""Dealing the sky's cells among train, val and test.

What each cell holds, and on which side it falls: balanced by galaxies and by
area, by a keyed hash, and never moved once it was dealt. What a position makes
of its cell is in ``tiles``; the files that keep a map are in ``split_files``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Split
from darkhaloscope.errors import DataError, describe
from darkhaloscope.streams import uniform
from darkhaloscope.survey.healpix import cell_ids
from darkhaloscope.survey.tiles import SPLIT_CODES, SPLITS, SplitMap

BRICK_GRID = 5
"""Points along each side of a brick that share its galaxies and area among cells."""

_TOLERANCE = 0.01
_CLOSE = 0.001
_SWAPPED_CELLS = 300
_MAX_MOVES = 1000

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def assign_splits(bricks: pa.Table, split: Split, *, published: SplitMap | None = None) -> SplitMap:
    """Divide the footprint's cells among train, val and test.

    Cells are taken from heavy to light in classes of a factor two, in keyed
    hash order within a class, each to the split whose galaxies or area, whichever is fuller,
    is least filled for its fraction; single cells are then moved, on a small sky also swapped, while
    that brings galaxies and area nearer to the fractions. Cells of a published
    map keep their split, and count: the others are dealt so that the whole
    comes near the fractions.

    Parameters
    ----------
    bricks : pyarrow.Table
        Schema ``BRICKS``; only rows with status ``ok`` count.
    split : Split
        nside, fractions, guard and seed.
    published : SplitMap, optional
        Map whose cells do not move, those without a brick today included.

    Returns
    -------
    SplitMap

    Raises
    ------
    DataError
        If no usable brick holds galaxies, there are fewer cells than splits,
        a first map misses the fractions by more than a point and the heaviest
        cell, or the published map is of other cells.
    """
    fixed = {} if published is None else dict(published.cells)
    if published is not None and published.nside != split.nside:
        raise DataError(
            describe(
                "Published split map has other cells",
                field="split.nside",
                expected=published.nside,
                got=split.nside,
                hint="a map is published per nside, seed and fractions; publish another beside it",
            )
        )
    held, galaxies, area = _cell_weights(bricks, split.nside)
    cells = np.union1d(held, np.fromiter(fixed, np.int64, len(fixed)))
    shares = np.zeros((len(cells), 2))
    shares[np.searchsorted(cells, held)] = np.stack([galaxies / galaxies.sum(), area / area.sum()], axis=1)
    fractions = np.array(split.fractions)
    wanted = int((fractions > 0.0).sum())
    if len(cells) < wanted:
        raise DataError(
            describe(
                "Too few sky cells for a disjoint split",
                expected=f"at least {wanted} cells of nside {split.nside}",
                got=len(cells),
                hint="add bricks from other parts of the sky, or raise split.nside",
            )
        )
    chosen = np.array([SPLITS.index(fixed[c]) if c in fixed else -1 for c in cells.tolist()], dtype=np.int64)
    free = np.flatnonzero(chosen < 0)
    if free.size:
        rank = uniform(split.seed, "split_cells", [str(c) for c in cells[free]])
        _fill(chosen, free, shares, fractions, rank)
        _refine(chosen, free, shares, fractions)
    if published is None:
        _require_fractions(chosen, shares, fractions)
    weights = shares * [galaxies.sum(), area.sum()]
    ids = cells.tolist()
    return SplitMap(
        nside=split.nside,
        guard_deg=split.guard_deg,
        cells={c: SPLITS[k] for c, k in zip(ids, chosen, strict=True)},
        n_galaxies=dict(zip(ids, weights[:, 0].tolist(), strict=True)),
        area_deg2=dict(zip(ids, weights[:, 1].tolist(), strict=True)),
    )


def brick_points(bricks: pa.Table) -> tuple[FloatArray, FloatArray]:
    """Return RA and Dec of a grid of points in the primary box of each brick, shapes (n, 25)."""
    column = {name: bricks[name].to_numpy() for name in ("ra1", "ra2", "dec1", "dec2")}
    step = (np.arange(BRICK_GRID) + 0.5) / BRICK_GRID
    width = np.mod(column["ra2"] - column["ra1"], 360.0)
    ra = column["ra1"][:, None, None] + width[:, None, None] * step[None, :, None]
    dec = column["dec1"][:, None, None] + (column["dec2"] - column["dec1"])[:, None, None] * step
    ra, dec = np.broadcast_arrays(np.mod(ra, 360.0), dec)
    return ra.reshape(bricks.num_rows, -1), dec.reshape(bricks.num_rows, -1)


def _cell_weights(bricks: pa.Table, nside: int) -> tuple[IntArray, FloatArray, FloatArray]:
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
    ra, dec = brick_points(usable)
    cells, inverse = np.unique(cell_ids(ra.ravel(), dec.ravel(), nside), return_inverse=True)
    galaxies, area = (
        np.bincount(inverse, np.repeat(usable[name].to_numpy() / ra.shape[1], ra.shape[1])).astype(np.float64)
        for name in ("n_galaxies", "area_deg2")
    )
    if galaxies.sum() <= 0.0 or area.sum() <= 0.0:
        raise DataError(
            describe("Usable bricks hold no galaxies or no area", field="n_galaxies", expected="> 0", got=0)
        )
    return cells, galaxies, area


def _fill(
    chosen: IntArray, free: IntArray, shares: FloatArray, fractions: FloatArray, rank: FloatArray
) -> None:
    """Give each free cell to the split with the smallest filled part of its fraction; in place."""
    weight = shares.mean(axis=1)
    order = free[np.lexsort((rank, -np.floor(np.log2(np.maximum(weight[free], 1e-300)))))]
    filled = np.stack([shares[chosen == k].sum(axis=0) for k in range(len(fractions))])
    per_share = np.where(fractions > 0.0, 1.0 / np.maximum(fractions, 1e-300), np.inf)[:, None]
    for cell in order:
        # Fill after the cell is added, of what is fuller: a heavy cell goes where there is room for it.
        k = int(np.argmin(((filled + shares[cell]) * per_share).max(axis=1)))
        chosen[cell] = k
        filled[k] += shares[cell]
    for k in np.flatnonzero(fractions > 0.0).tolist():
        if (chosen == k).any():
            continue
        # No split stays empty: it gets the lightest free cell of the split with most of them.
        richest = int(np.argmax(np.bincount(chosen[free], minlength=len(fractions))))
        mine = free[chosen[free] == richest]
        chosen[mine[np.argmin(weight[mine])]] = k


def _refine(chosen: IntArray, free: IntArray, shares: FloatArray, fractions: FloatArray) -> None:
    """Move or swap free cells while the squared miss of galaxies and area falls; in place."""
    splits, mine = len(fractions), shares[free]
    for _ in range(_MAX_MOVES):
        held = np.stack([shares[chosen == k].sum(axis=0) for k in range(splits)])
        miss = held - fractions[:, None]
        if np.abs(miss).max() < _CLOSE:
            return
        counts, at = np.bincount(chosen, minlength=splits), chosen[free]
        best = -1e-12
        action: tuple[tuple[int, int], ...] = ()
        for k in np.flatnonzero(fractions > 0.0).tolist():
            # Moving weight w from split a to k changes the cost by 2 w.(w + miss_k - miss_a).
            gain = 2.0 * (mine * (mine + miss[k] - miss[at])).sum(axis=1)
            gain[(at == k) | (counts[at] == 1)] = np.inf
            cell = int(np.argmin(gain))
            if gain[cell] < best:
                best, action = float(gain[cell]), ((cell, k),)
        if len(free) <= _SWAPPED_CELLS:
            difference = mine[:, None, :] - mine[None, :, :]
            swap = 2.0 * (difference * (difference + miss[at][None] - miss[at][:, None])).sum(axis=2)
            swap[at[:, None] == at[None, :]] = np.inf
            i, j = divmod(int(np.argmin(swap)), len(free))
            if swap[i, j] < best:
                action = ((i, int(at[j])), (j, int(at[i])))
        if not action:
            return
        for cell, k in action:
            chosen[free[cell]] = k


def _require_fractions(chosen: IntArray, shares: FloatArray, fractions: FloatArray) -> None:
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


def usable_shares(splits: SplitMap, bricks: pa.Table) -> dict[str, float]:
    """Return the share of the footprint's galaxies that each split may use, and that in the guard band.

    Galaxies are spread evenly over their brick.

    Parameters
    ----------
    splits : SplitMap
    bricks : pyarrow.Table
        Schema ``BRICKS``; only rows with status ``ok`` count.

    Returns
    -------
    dict of str to float
        ``train``, ``val``, ``test`` and ``guard``; the sum is 1.
    """
    usable = bricks.filter(pc.equal(bricks["status"], "ok"))
    ra, dec = brick_points(usable)
    code = splits.codes(ra.ravel(), dec.ravel())
    galaxies = np.repeat(usable["n_galaxies"].to_numpy().astype(np.float64), ra.shape[1])
    held = np.bincount(code, galaxies, minlength=len(SPLIT_CODES))
    return dict(zip(SPLIT_CODES, (held / held.sum()).tolist(), strict=True))
