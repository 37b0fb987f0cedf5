"""Analytic sources: exponential discs with the identities, sizes and magnitudes of a bank.

They differ from the bank's galaxies in morphology only, so an experiment with
them measures what real morphology is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.sources.bankfile import TEMPLATE_PX, SourceBank
from darkhaloscope.streams import uniform

FloatArray = NDArray[np.float64]

EXPONENTIAL_B = 1.6783469900166605
"""b of a Sersic profile with n = 1: half the light lies inside r = r_e (Ciotti & Bertin 1999)."""

_AXIS_RATIO = (0.4, 1.0)
_SHAPE_SEED = 1
_SUBPIXELS = 3
_CORE_PX = 12


class SersicSources:
    """Exponential templates with the interface of :class:`SourceBank`.

    The half-light radius is the bank's catalogued one (on the geometric mean
    of the axes); axis ratio and position angle come from the identity.

    Parameters
    ----------
    bank : SourceBank
        Gives identities, splits, sizes, magnitudes and redshifts; may be
        closed afterwards.
    """

    def __init__(self, bank: SourceBank) -> None:
        self.path = bank.path
        self.metadata = {**bank.metadata, "profile": "exponential"}
        self.ids: NDArray[np.str_] = np.array(
            [f"sersic-{source_id.removeprefix('cosmos-')}" for source_id in bank.ids.tolist()]
        )
        self.split = bank.split
        self.hlr_arcsec: FloatArray = bank.columns["hlr_catalogue_arcsec"]
        self.mag_f814w = bank.mag_f814w
        self.z_phot = bank.z_phot
        self.g_r, self.r_z = bank.g_r, bank.r_z
        self.snr: FloatArray = np.full(len(self.ids), np.inf)
        self.pixel_scale_arcsec = bank.pixel_scale_arcsec
        self.bank_id = f"sersic-of-{bank.bank_id}"
        low, high = _AXIS_RATIO
        names = self.ids.tolist()
        self._axis_ratio = low + (high - low) * uniform(_SHAPE_SEED, "sersic_axis_ratio", names)
        self._angle_rad = np.pi * uniform(_SHAPE_SEED, "sersic_angle", names)
        self._row_of = {source_id: row for row, source_id in enumerate(names)}

    @classmethod
    def open(cls, bank_path: str | Path) -> SersicSources:
        """Build the sources from a bank file.

        Raises
        ------
        DataError
            If the bank cannot be read.
        """
        with SourceBank.open(bank_path) as bank:
            return cls(bank)

    def __len__(self) -> int:
        return len(self.ids)

    def templates(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return templates by row, shape (k, 96, 96), each summing to 1."""
        out = np.empty((len(indices), TEMPLATE_PX, TEMPLATE_PX), dtype=np.float32)
        for position, row in enumerate(indices):
            out[position] = exponential_template(
                self.hlr_arcsec[row] / self.pixel_scale_arcsec,
                axis_ratio=float(self._axis_ratio[row]),
                angle_rad=float(self._angle_rad[row]),
            )
        return out

    def index_of(self, source_id: str) -> int:
        """Return the row of a source.

        Raises
        ------
        DataError
            If there is none of that identity.
        """
        if source_id not in self._row_of:
            raise DataError(
                describe("Source is not in the bank", file=self.path, field="source_id", got=repr(source_id))
            )
        return self._row_of[source_id]

    def close(self) -> None:
        """Do nothing: there is no open file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def exponential_template(
    hlr_px: float, *, axis_ratio: float, angle_rad: float, size: int = TEMPLATE_PX
) -> NDArray[np.float32]:
    """Return an elliptical exponential disc that sums to 1.

    Parameters
    ----------
    hlr_px : float
        Half-light radius on the geometric mean of the axes.
    axis_ratio : float
        Minor over major axis.
    angle_rad : float
        Major axis from +x towards +y.
    size : int
        Side in pixels; the centre is (size - 1) / 2.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Averaged over 3 x 3 points per pixel near the cusp at the centre,
        sampled at pixel centres elsewhere.
    """
    axis = np.arange(size, dtype=np.float64) - (size - 1) / 2.0
    image = _exponential(axis, axis, hlr_px, axis_ratio, angle_rad)
    low = size // 2 - _CORE_PX
    core = slice(low, size - low)
    sub = (np.arange(_SUBPIXELS, dtype=np.float64) - (_SUBPIXELS - 1) / 2.0) / _SUBPIXELS
    fine = (axis[core, None] + sub).ravel()
    width = len(axis[core])
    image[core, core] = (
        _exponential(fine, fine, hlr_px, axis_ratio, angle_rad)
        .reshape(width, _SUBPIXELS, width, _SUBPIXELS)
        .mean(axis=(1, 3))
    )
    template: NDArray[np.float32] = (image / image.sum()).astype(np.float32)
    return template


def _exponential(x: FloatArray, y: FloatArray, hlr_px: float, q: float, angle_rad: float) -> FloatArray:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    along = x[None, :] * cos + y[:, None] * sin
    across = -x[None, :] * sin + y[:, None] * cos
    radius = np.sqrt(q * along**2 + across**2 / q)
    return np.asarray(np.exp(-EXPONENTIAL_B * radius / hlr_px), dtype=np.float64)
