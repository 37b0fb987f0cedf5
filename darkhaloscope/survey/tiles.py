"""Tiles and splits: which part of the sky a position belongs to.

A split is a property of a sky cell, so a galaxy, its neighbours and its rows
are always on one side; train and val positions near a test cell are set aside
as ``guard``. Which cell is on which side is decided in ``dealing`` and kept by
``split_files``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import healpy as hp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.survey.healpix import TILE_NSIDE, CellBoundary, cell_ids, tile_keys

__all__ = ["GUARD", "SPLITS", "TILE_NSIDE", "SplitMap", "cell_ids", "tile_keys"]

SPLITS = ("train", "val", "test")
"""Splits in the order of the configured fractions."""

GUARD = "guard"
"""Positions that no split may use."""

SPLIT_CODES = (*SPLITS, GUARD)
"""What the numbers of :meth:`SplitMap.codes` mean."""

_TEST, _GUARD = SPLIT_CODES.index("test"), SPLIT_CODES.index(GUARD)
_BLOCK = 1 << 20


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
        return np.array(SPLIT_CODES)[self.codes(ra_deg, dec_deg)]

    def codes(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.int8]:
        """Return the split of positions as places in ``SPLIT_CODES``, one byte each.

        Parameters
        ----------
        ra_deg, dec_deg : array_like, shape (n,)
            ICRS degrees.

        Returns
        -------
        ndarray of int8, shape (n,)
        """
        ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
        codes = np.empty(len(ra), dtype=np.int8)
        for start in range(0, len(ra), _BLOCK):
            block = slice(start, start + _BLOCK)
            code = self._code_of_cell[cell_ids(ra[block], dec[block], self.nside)]
            exposed = np.flatnonzero(code < _TEST)
            near = self._test_outline.within(ra[block][exposed], dec[block][exposed], self.guard_deg)
            code[exposed[near]] = _GUARD
            codes[block] = code
        return codes

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

    @cached_property
    def _code_of_cell(self) -> NDArray[np.int8]:
        codes = np.full(hp.nside2npix(self.nside), _GUARD, dtype=np.int8)
        codes[np.fromiter(self.cells, np.int64, len(self.cells))] = [
            SPLITS.index(s) for s in self.cells.values()
        ]
        return codes

    @cached_property
    def _test_outline(self) -> CellBoundary:
        return CellBoundary(self.nside, [c for c, split in self.cells.items() if split == "test"])
