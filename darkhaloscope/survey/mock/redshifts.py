"""Photo-z sweeps of the mock sky, in the survey's layout.

Redshifts follow from the colours that the sweeps hold; the sweeps are in ``catalogs``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.survey.early_types import redshift_of_r_z

Rows = NDArray[np.void]

_PHOTO_Z = [f"Z_PHOT_{name}" for name in ("MEAN", "MEDIAN", "STD", "L68", "U68", "L95", "U95")]

PHOTO_Z_DTYPE = np.dtype(
    [
        ("RELEASE", "i2"),
        ("BRICKID", "i4"),
        ("OBJID", "i4"),
        *[(name, "f4") for name in _PHOTO_Z],
        *[(f"{name}_I", "f4") for name in _PHOTO_Z],
        ("Z_SPEC", "f4"),
        ("SURVEY", "S10"),
        ("TRAINING", "?"),
        ("TRAINING_I", "?"),
        ("KFOLD", "i2"),
        ("KFOLD_I", "i2"),
    ]
)

_PHOTO_Z_SIGMA, _PHOTO_Z_FAINT_MAG = (0.02, 0.08), 21.0
"""Scatter over 1 + z of sources brighter than this in z, and of fainter ones (Zhou et al. 2023)."""

_SPECTRA_FAINTEST_MAG, _SPECTRA_SHARE = 19.5, 0.1


def photo_z_rows(rows: Rows, seed: int) -> Rows:
    """Return what the survey's photo-z sweeps would say of sweep rows, in their order.

    Redshifts are those of early-type galaxies of the row's r - z, scattered by
    their own uncertainty; one bright source in ten has a spectrum. Point
    sources have redshifts, too: the survey's estimator does not tell them apart.
    """
    table = np.zeros(len(rows), dtype=PHOTO_Z_DTYPE)
    for name in ("RELEASE", "BRICKID", "OBJID"):
        table[name] = rows[name]
    ids = [f"{brick}-{obj}" for brick, obj in zip(rows["BRICKID"], rows["OBJID"], strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = {b: 22.5 - 2.5 * np.log10(rows[f"FLUX_{b}"] / rows[f"MW_TRANSMISSION_{b}"]) for b in "GRZ"}
    seen = np.isfinite(np.stack(list(mag.values()))).all(axis=0)
    truth = redshift_of_r_z(np.where(seen, mag["R"] - mag["Z"], 0.0))
    sigma = (1.0 + truth) * np.where(mag["Z"] < _PHOTO_Z_FAINT_MAG, *_PHOTO_Z_SIGMA)
    z = np.maximum(truth + sigma * streams.normal(seed, "mock/photo_z", ids), 0.01)
    steps = {"MEAN": 0, "MEDIAN": 0, "L68": -1, "U68": 1, "L95": -2, "U95": 2}
    for name, step in steps.items():
        table[f"Z_PHOT_{name}"] = np.where(seen, np.maximum(z + step * sigma, 0.0), -99.0)
    table["Z_PHOT_STD"] = np.where(seen, sigma, -99.0)
    for name in (*steps, "STD"):  # the mock sky has no i band
        table[f"Z_PHOT_{name}_I"] = -99.0
    observed = seen & (mag["R"] < _SPECTRA_FAINTEST_MAG) & (rows["TYPE"] != b"PSF")
    observed &= streams.uniform(seed, "mock/spectra", ids) < _SPECTRA_SHARE
    table["Z_SPEC"] = np.where(observed, truth, -99.0)
    table["SURVEY"][observed] = b"mock"
    table["KFOLD"] = table["KFOLD_I"] = -99
    return table
