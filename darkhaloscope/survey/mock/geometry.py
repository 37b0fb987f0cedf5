"""Where the bricks lie: names, primary boxes, stacks and their WCS.

Bricks of the mock are a regular grid in RA and Dec. Each chosen brick lies at
the centre of its own HEALPix cell, far from the cell's border, so that a guard
band around test cells costs no galaxy; pairs give overlapping stacks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import healpy as hp
import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.mock.config import MockSkyConfig

PIXEL_SCALE_ARCSEC = 0.262
TILE_NSIDE = 8
CELL_NSIDE = 32

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MockBrick:
    """One brick of the mock.

    Parameters
    ----------
    name : str
        DR10 form, for example ``"0339m047"``.
    brickid : int
        Unique on the grid.
    ra, dec : float
        Centre, ICRS degrees.
    row, col : int
        Place on the grid.
    side_deg : float
        Side of the primary box in RA and in Dec.
    kind : str
        ``ok``, ``missing_band``, ``zero_coverage``, or ``virtual`` for a
        neighbour that is not observed but whose light reaches a stack.
    """

    name: str
    brickid: int
    ra: float
    dec: float
    row: int
    col: int
    side_deg: float
    kind: str

    @property
    def key(self) -> str:
        """Key of the brick's draws; names of small bricks outside the plan need not be unique."""
        return str(self.brickid)

    @property
    def bounds_deg(self) -> tuple[float, float, float, float]:
        """Primary box (ra1, ra2, dec1, dec2) in degrees."""
        half = self.side_deg / 2.0
        return self.ra - half, self.ra + half, self.dec - half, self.dec + half

    @property
    def area_deg2(self) -> float:
        """Area of the primary box in square degrees."""
        ra1, ra2, dec1, dec2 = self.bounds_deg
        return float((ra2 - ra1) * np.rad2deg(np.sin(np.deg2rad(dec2)) - np.sin(np.deg2rad(dec1))))

    def wcs(self, size_px: int) -> WCS:
        """Return the TAN WCS of a stack of ``size_px`` pixels a side: north up, RA to the left."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [(size_px + 1) / 2.0, (size_px + 1) / 2.0]
        scale = PIXEL_SCALE_ARCSEC / 3600.0
        wcs.wcs.cd = [[-scale, 0.0], [0.0, scale]]
        wcs.wcs.set()
        return wcs

    def contains(self, ra: FloatArray, dec: FloatArray) -> NDArray[np.bool_]:
        """Say which positions lie in the primary box, whose upper borders are open."""
        ra1, ra2, dec1, dec2 = self.bounds_deg
        return np.asarray((ra >= ra1) & (ra < ra2) & (dec >= dec1) & (dec < dec2))

    def neighbours(self) -> list[MockBrick]:
        """Return the eight boxes around this one, as virtual bricks."""
        return [
            grid_brick(self.row + i, self.col + j, self.side_deg, "virtual")
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            if (i, j) != (0, 0)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the values as plain types."""
        return asdict(self)


def grid_brick(row: int, col: int, side_deg: float, kind: str) -> MockBrick:
    """Return the brick at a place of the grid; row 0 is at Dec -90, column 0 at RA 0."""
    columns = round(360.0 / side_deg)
    col %= columns
    ra = (col + 0.5) * side_deg
    dec = -90.0 + (row + 0.5) * side_deg
    return MockBrick(layout.brick_name(ra, dec), row * columns + col + 1, ra, dec, row, col, side_deg, kind)


def plan_bricks(config: MockSkyConfig) -> list[MockBrick]:
    """Choose the bricks of a mock sky.

    Returns
    -------
    list of MockBrick
        Sorted by name: ``n_bricks`` of kind ``ok`` and the planted incomplete ones.

    Raises
    ------
    ConfigError
        If the tiles have too few cells, or two bricks would share a name.
    """
    per_tile = (CELL_NSIDE // TILE_NSIDE) ** 2
    cells = [int(tile) * per_tile + i for tile in config.tiles for i in range(per_tile)]
    # Tiles take turns, so that a sky of few bricks still covers every tile.
    order = np.argsort(streams.uniform(config.seed, "mock/cell", map(str, cells)))
    by_tile = [[cells[i] for i in order if cells[i] // per_tile == int(tile)] for tile in config.tiles]
    turns = [row for group in zip(*by_tile, strict=True) for row in group]
    kinds = ["ok"] * (config.n_bricks - config.n_pairs)
    kinds += ["missing_band"] * (config.missing_band is not None) + ["zero_coverage"] * config.zero_coverage
    if len(kinds) > len(turns):
        raise ConfigError(
            describe(
                "Too many bricks for the tiles of the mock sky",
                field="n_bricks",
                expected=f"at most {len(turns)} cells",
                got=len(kinds),
                hint="add a tile or raise n_pairs",
            )
        )
    bricks = [
        _cell_brick(cell, config.brick_side_deg, kind) for cell, kind in zip(turns, kinds, strict=False)
    ]
    bricks += [_partner(brick) for brick in bricks[: config.n_pairs]]
    bricks.sort(key=lambda brick: brick.name)
    names = [brick.name for brick in bricks]
    if len(set(names)) != len(names):
        raise ConfigError(
            describe("Brick names are not unique", field="brick_side_deg", got=config.brick_side_deg)
        )
    return bricks


def _partner(brick: MockBrick) -> MockBrick:
    """Return the eastern neighbour, or the western one where the eastern has the same name."""
    east = grid_brick(brick.row, brick.col + 1, brick.side_deg, "ok")
    return east if east.name != brick.name else grid_brick(brick.row, brick.col - 1, brick.side_deg, "ok")


def _cell_brick(cell: int, side_deg: float, kind: str) -> MockBrick:
    lon, lat = hp.pix2ang(CELL_NSIDE, cell, nest=True, lonlat=True)
    return grid_brick(int((lat + 90.0) / side_deg), int(lon / side_deg), side_deg, kind)
