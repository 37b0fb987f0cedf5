"""What a mock sky holds: sizes, counts and planted defects.

Distributions of magnitude, colour, seeing and depth are not here but beside
the code that draws from them, with their sources.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from darkhaloscope.errors import ConfigError, describe

SLOT_PX = 115
"""Pitch of the placement grid of hosts and known objects, about 30 arcsec."""


@dataclass(frozen=True)
class MockSkyConfig:
    """A mock sky.

    Parameters
    ----------
    seed : int
        Seed of every draw.
    tiles : tuple of str
        Keys of the HEALPix NESTED nside-8 pixels that hold bricks.
    n_bricks : int
        Bricks with pixels in every band.
    n_pairs : int
        How many of these are the neighbour in RA of another one, so that
        their stacks overlap; all others lie in nside-32 cells of their own.
    brick_px : int
        Side of an image stack in pixels; 3600 in DR10.
    brick_side_deg : float
        Side of the primary box in degrees of RA and of Dec; 0.25 in DR10.
    hosts_per_brick : int
        Luminous red galaxies that follow the DR10 distribution, per brick.
    field_per_arcmin2, stars_per_arcmin2 : float
        Density of other galaxies and of stars.
    n_lenses : int
        Known lenses, a third of them of the spectroscopic kind.
    n_lookalikes : int
        Objects of each look-alike class.
    missing_band : str or None
        Add a brick that has no files of this band.
    zero_coverage : bool
        Add a brick that no exposure covers.
    nan_pixels : int
        NaN pixels planted in the image of one brick.
    """

    seed: int = 10
    tiles: tuple[str, ...] = ("276", "574", "575")
    n_bricks: int = 20
    n_pairs: int = 2
    brick_px: int = 1540
    brick_side_deg: float = 0.1
    hosts_per_brick: int = 114
    field_per_arcmin2: float = 34.0
    stars_per_arcmin2: float = 2.0
    n_lenses: int = 40
    n_lookalikes: int = 15
    missing_band: str | None = "z"
    zero_coverage: bool = True
    nan_pixels: int = 40

    def __post_init__(self) -> None:
        slots = int(self.brick_side_deg * 3600.0 / 0.262 * 0.96 / SLOT_PX) ** 2
        checks = (
            ("tiles", bool(self.tiles), "at least one tile key"),
            ("n_bricks", self.n_bricks > self.n_pairs >= 0, "more bricks than pairs"),
            ("n_pairs", 2 * self.n_pairs <= self.n_bricks, "at most half the bricks"),
            ("hosts_per_brick", 0 <= self.hosts_per_brick <= slots, f"at most {slots} for this brick side"),
            (
                "brick_px",
                self.brick_px * 0.262 / 3600.0 >= self.brick_side_deg,
                "large enough for the primary box",
            ),
            ("missing_band", self.missing_band in {None, "g", "r", "z"}, "g, r, z or None"),
        )
        for field, good, expected in checks:
            if not good:
                raise ConfigError(
                    describe("Mock sky", field=field, expected=expected, got=getattr(self, field))
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the values as plain JSON types."""
        return {**asdict(self), "tiles": list(self.tiles)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MockSkyConfig:
        """Undo :meth:`as_dict`; unknown keys are an error."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(describe("Unknown key of the mock sky", field=unknown[0]))
        return cls(**{**values, "tiles": tuple(values["tiles"])})

    @classmethod
    def for_profile(cls, name: str) -> MockSkyConfig:
        """Return the sky of a profile: ``test`` is tiny, all others are the whole mock sky."""
        return cls.tiny() if name == "test" else cls()

    @classmethod
    def tiny(cls, **changes: Any) -> MockSkyConfig:
        """Return a sky for tests: four bricks of 40 hosts, with every kind of object and defect."""
        small: dict[str, Any] = {
            "n_bricks": 4,
            "n_pairs": 1,
            "brick_px": 960,
            "brick_side_deg": 0.06,
            "hosts_per_brick": 36,
            "n_lenses": 6,
            "n_lookalikes": 2,
            **changes,
        }
        return cls(**small)
