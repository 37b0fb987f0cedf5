"""A DR10-shaped tree of tiny bricks written with plain astropy, for tests of the readers.

Independent of the package's own mock: file names, extensions, compression,
columns and units are written out here from the survey's documentation.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

SCALE_DEG = 0.262 / 3600.0
BANDS = ("g", "r", "z")
SIGMA = {"g": 0.002, "r": 0.003, "z": 0.007}
SKY_MAG = {"g": 22.0, "r": 21.0, "z": 19.0}
SEEING = {"g": 1.5, "r": 1.3, "z": 1.2}
DEPTH_MAG = {"g": 24.6, "r": 24.1, "z": 23.0}
LRG_FLUX = {"g": 2.0, "r": 8.0, "z": 20.0, "w1": 60.0}

SWEEP_DTYPE = [
    ("RELEASE", ">i2"), ("BRICKID", ">i4"), ("BRICKNAME", "S8"), ("OBJID", ">i4"), ("TYPE", "S3"),
    ("RA", ">f8"), ("DEC", ">f8"), ("EBV", ">f4"), ("MASKBITS", ">i4"), ("SERSIC", ">f4"),
    ("SHAPE_R", ">f4"), ("SHAPE_E1", ">f4"), ("SHAPE_E2", ">f4"),
    *[(f"FLUX_{b}", ">f4") for b in ("G", "R", "Z", "W1")],
    *[(f"FLUX_IVAR_{b}", ">f4") for b in ("G", "R", "Z", "W1")],
    *[(f"MW_TRANSMISSION_{b}", ">f4") for b in ("G", "R", "Z", "W1")],
    ("FIBERFLUX_Z", ">f4"), ("FIBERTOTFLUX_Z", ">f4"), ("GAIA_PHOT_G_MEAN_MAG", ">f4"),
    *[(f"NOBS_{b}", ">i2") for b in ("G", "R", "Z")],
    *[(f"PSFSIZE_{b}", ">f4") for b in ("G", "R", "Z")],
    *[(f"PSFDEPTH_{b}", ">f4") for b in ("G", "R", "Z")],
]  # fmt: skip


@dataclass
class Brick:
    """One brick; ``positions`` are pixel positions of its LRGs."""

    name: str
    brickid: int
    ra: float
    dec: float
    size_px: int = 420
    side_deg: float = 0.026
    positions: list[tuple[float, float]] = field(default_factory=list)
    nexp: int = 3
    listed: bool = True

    @property
    def wcs(self) -> WCS:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [(self.size_px + 1) / 2.0] * 2
        wcs.wcs.cd = [[-SCALE_DEG, 0.0], [0.0, SCALE_DEG]]
        return wcs

    def box(self) -> tuple[float, float, float, float]:
        half = self.side_deg / 2.0
        wide = half / np.cos(np.radians(self.dec))
        return (self.ra - wide) % 360.0, (self.ra + wide) % 360.0, self.dec - half, self.dec + half

    def directory(self, root: Path) -> Path:
        return root / "south" / "coadd" / self.name[:3] / self.name

    def file(self, root: Path, product: str, band: str | None = None) -> Path:
        tail = product if band is None else f"{product}-{band}"
        return self.directory(root) / f"legacysurvey-{self.name}-{tail}.fits.fz"


def pair(dec: float = 6.0, ra: float = 12.0) -> list[Brick]:
    """Two bricks side by side; the second is west of the first, so they overlap by some 60 px."""
    side = 0.026
    step = side / np.cos(np.radians(dec))
    grid = [(100.3, 110.8), (210.0, 205.25), (305.4, 300.1)]
    return [
        Brick("0120p060", 1001, ra, dec, positions=grid),
        Brick("0119p060", 1002, (ra - step) % 360.0, dec, positions=grid),
    ]


def planes(brick: Brick, band: str) -> dict[str, np.ndarray]:
    """Image, invvar and psfsize of a band: noise and a round Gaussian per galaxy; seeing rises with x."""
    n = brick.size_px
    rng = np.random.default_rng([brick.brickid, BANDS.index(band)])
    y, x = np.mgrid[:n, :n]
    image = rng.normal(0.0, SIGMA[band], (n, n))
    for px, py in brick.positions:
        profile = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2.0 * 2.5**2))
        image += LRG_FLUX[band] * profile / (2.0 * np.pi * 2.5**2)
    return {
        "image": image.astype(np.float32),
        "invvar": np.full((n, n), SIGMA[band] ** -2, dtype=np.float32),
        "psfsize": (SEEING[band] + 0.1 * x / n).astype(np.float32),
    }


def write_plane(path: Path, data: np.ndarray, wcs: WCS, product: str) -> None:
    """Write one coadd as fpack leaves it: empty primary, compressed image in extension 1."""
    kind = {
        "image": {
            "compression_type": "RICE_1",
            "quantize_level": -1e-4,
            "quantize_method": 2,
            "dither_seed": 7,
        },
        "invvar": {"compression_type": "RICE_1", "quantize_level": 16.0, "quantize_method": -1},
        "maskbits": {"compression_type": "HCOMPRESS_1"},
        "psfsize": {"compression_type": "GZIP_1", "quantize_level": 0.0},
    }[product]
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu = fits.CompImageHDU(data, header=wcs.to_header(), tile_shape=(100, 100), **kind)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def write_coadds(root: Path, brick: Brick) -> None:
    for band in BANDS:
        for product, data in planes(brick, band).items():
            write_plane(brick.file(root, product, band), data, brick.wcs, product)
    mask = np.zeros((brick.size_px, brick.size_px), dtype=np.int32)
    mask[:40], mask[-40:], mask[:, :40], mask[:, -40:] = 1, 1, 1, 1  # NPRIMARY rim
    write_plane(brick.file(root, "maskbits"), mask, brick.wcs, "maskbits")


def sweep_rows(brick: Brick) -> np.ndarray:
    """One LRG per position, and a star."""
    rows = np.zeros(len(brick.positions) + 1, dtype=SWEEP_DTYPE)
    xy = np.array([*brick.positions, (60.0, 350.0)])
    with warnings.catch_warnings():
        ra, dec = brick.wcs.all_pix2world(xy[:, 0], xy[:, 1], 0)
    rows["RELEASE"], rows["BRICKID"], rows["BRICKNAME"] = 10000, brick.brickid, brick.name
    rows["OBJID"] = np.arange(len(rows))
    rows["TYPE"] = "DEV"
    rows["RA"], rows["DEC"] = ra % 360.0, dec
    rows["EBV"], rows["SERSIC"], rows["SHAPE_R"] = 0.03, 4.0, 1.1
    for band in ("g", "r", "z", "w1"):
        rows[f"FLUX_{band.upper()}"] = LRG_FLUX[band]
        rows[f"FLUX_IVAR_{band.upper()}"] = 100.0
        rows[f"MW_TRANSMISSION_{band.upper()}"] = 0.95
    rows["FIBERFLUX_Z"], rows["FIBERTOTFLUX_Z"] = 10.0, 10.5
    for band in BANDS:
        rows[f"NOBS_{band.upper()}"] = brick.nexp
        rows[f"PSFSIZE_{band.upper()}"] = SEEING[band]
        rows[f"PSFDEPTH_{band.upper()}"] = (5.0 / 10 ** ((22.5 - DEPTH_MAG[band]) / 2.5)) ** 2
    rows["TYPE"][-1] = "PSF"
    rows["FLUX_W1"][-1] = 2.0
    return rows


def write_sweep(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows)]).writeto(path, overwrite=True)


def write_brick_tables(root: Path, bricks: list[Brick]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    boxes = np.array([b.box() for b in bricks])
    sky = Table(
        {
            "BRICKNAME": np.array([b.name for b in bricks], dtype="S8"),
            "BRICKID": np.array([b.brickid for b in bricks], dtype=np.int32),
            "RA": [b.ra for b in bricks],
            "DEC": [b.dec for b in bricks],
            "RA1": boxes[:, 0],
            "RA2": boxes[:, 1],
            "DEC1": boxes[:, 2],
            "DEC2": boxes[:, 3],
        }
    )
    sky.write(root / "survey-bricks.fits.gz", overwrite=True)
    listed = [b for b in bricks if b.listed]
    columns: dict[str, object] = {
        "brickname": np.array([b.name for b in listed], dtype="S8"),
        "ebv": np.full(len(listed), 0.03, dtype=np.float32),
        **{
            n: np.full(len(listed), k, dtype=np.int32)
            for n, k in (("nrex", 4), ("nexp", 3), ("ndev", 2), ("nser", 1))
        },
    }
    for band in BANDS:
        columns[f"nexp_{band}"] = np.array([b.nexp for b in listed], dtype=np.int16)
        columns[f"psfsize_{band}"] = np.full(len(listed), SEEING[band], dtype=np.float32)
        columns[f"psfdepth_{band}"] = np.full(len(listed), DEPTH_MAG[band], dtype=np.float32)
        level = 10 ** ((22.5 - SKY_MAG[band]) / 2.5) * 0.262**2
        columns[f"cosky_{band}"] = np.full(len(listed), level, dtype=np.float32)
    path = root / "south" / "survey-bricks-dr10-south.fits.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    Table(columns).write(path, overwrite=True)


SWEEP = "south/sweep/10.1/sweep-000p000-010p005.fits"


def sweep_path(root: Path, brick: Brick) -> Path:
    """Return the 10 x 5 deg sweep that holds a brick."""
    ra, dec = int(brick.ra // 10) * 10, int(np.floor(brick.dec / 5.0)) * 5
    corner = lambda a, d: f"{a:03d}{'p' if d >= 0 else 'm'}{abs(d):03d}"  # noqa: E731  # two uses, one line
    return root / "south/sweep/10.1" / f"sweep-{corner(ra, dec)}-{corner(ra + 10, dec + 5)}.fits"


def write_tree(root: Path, bricks: list[Brick]) -> Path:
    """Write the whole tree and return its root."""
    write_brick_tables(root, bricks)
    by_sweep: dict[Path, list[np.ndarray]] = {}
    for brick in bricks:
        if brick.listed:
            write_coadds(root, brick)
            by_sweep.setdefault(sweep_path(root, brick), []).append(sweep_rows(brick))
    for path, rows in by_sweep.items():
        write_sweep(path, np.concatenate(rows))
    return root
