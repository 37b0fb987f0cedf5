"""How closely rows made again agree with the stored ones: bit for bit, to a share of the peak, or not.

Compares tables; makes nothing again. The same program on the same platform gives
the same bits. Another processor or another build of the mathematics library may
round the last bit of a sum otherwise, which is what the tolerance is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing.noise import INVVAR_STEPS
from darkhaloscope.schema import STAMPS

TOLERANCE = 1e-5
"""Largest difference, as a share of the peak, that another platform may make."""

_STEP = {"invvar": 1.0 / INVVAR_STEPS}
"""Columns that are rounded to steps: the last bit of a sum may lead to the neighbouring step."""


class Verdict(StrEnum):
    """What a comparison found."""

    IDENTICAL = "bit for bit"
    WITHIN = "within tolerance"
    DIFFERS = "differs"


@dataclass(frozen=True)
class Agreement:
    """How one row made again agrees with the stored one.

    Parameters
    ----------
    task_id : str
        The row.
    difference : dict of str to float
        Columns whose bits differ, with the largest difference as a share of the
        peak: of the brightest pixel of a band, or of the stored value of a
        number. Infinite where two values cannot be subtracted: texts, flags, mask
        bits, a value against none, pictures of two sizes.
    tolerance : float
        Largest difference that still agrees; one step more where a column is rounded to steps.
    """

    task_id: str
    difference: dict[str, float]
    tolerance: float = TOLERANCE

    @property
    def largest(self) -> float:
        """Largest difference of any column, 0 if there is none."""
        return max(self.difference.values(), default=0.0)

    @property
    def beyond(self) -> dict[str, float]:
        """Columns that differ by more than the tolerance, largest difference first."""
        far = [
            (name, value)
            for name, value in self.difference.items()
            if value > self.tolerance + _STEP.get(name, 0.0)
        ]
        return dict(sorted(far, key=lambda item: -item[1]))

    @property
    def verdict(self) -> Verdict:
        """The verdict of the row."""
        if not self.difference:
            return Verdict.IDENTICAL
        return Verdict.DIFFERS if self.beyond else Verdict.WITHIN

    def __str__(self) -> str:
        if self.verdict is Verdict.IDENTICAL:
            return "bit for bit"
        if self.verdict is Verdict.WITHIN:
            return f"within {self.largest:.1e} of peak, not bit for bit ({', '.join(self.difference)})"
        columns = ", ".join(name + _by(value) for name, value in self.beyond.items())
        return f"differs in {columns}; {self.tolerance:.0e} of peak is allowed"


def compare_rows(stored: pa.Table, made: pa.Table, tolerance: float = TOLERANCE) -> list[Agreement]:
    """Compare stored stamps with stamps made again, column by column.

    Parameters
    ----------
    stored, made : pyarrow.Table
        STAMPS with the same tasks in the same order, n rows.
    tolerance : float
        Largest difference, as a share of the peak, that still agrees.

    Returns
    -------
    list of Agreement, length n

    Raises
    ------
    ContractError
        If the tables do not hold the same tasks in the same order.
    """
    ids = stored["task_id"].to_pylist()
    if ids != made["task_id"].to_pylist():
        raise ContractError(describe("Rows to compare", field="task_id", expected=ids, got=made["task_id"]))
    found: list[dict[str, float]] = [{} for _ in ids]
    for name in STAMPS.names():
        for row, difference in enumerate(found):
            left, right = _value(stored, name, row), _value(made, name, row)
            if not _same_bits(left, right):
                difference[name] = _distance(left, right)
    return [Agreement(task, difference, tolerance) for task, difference in zip(ids, found, strict=True)]


def _value(table: pa.Table, name: str, row: int) -> Any:
    """Return one value: an array for pixels, a number, a text, or None."""
    scalar = table[name][row]
    if not scalar.is_valid:
        return None
    return scalar.to_numpy() if isinstance(scalar.type, pa.FixedShapeTensorType) else scalar.as_py()


def _same_bits(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, float) and isinstance(right, float):
        return left.hex() == right.hex()  # tells -0.0 from 0.0, and NaN equals itself
    return type(left) is type(right) and bool(left == right)


def _distance(left: Any, right: Any) -> float:
    """Return the largest difference as a share of the stored peak."""
    if isinstance(left, float) and isinstance(right, float):
        left, right = np.array([[left]]), np.array([[right]])
    if not isinstance(left, np.ndarray) or not isinstance(right, np.ndarray):
        return np.inf
    if left.shape != right.shape or not np.issubdtype(left.dtype, np.floating):
        return np.inf
    return max(_plane_distance(a, b) for a, b in zip(_planes(left), _planes(right), strict=True))


def _planes(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return images (n, height, width): the bands of a stamp, each with a peak of its own."""
    return values.reshape(-1, *values.shape[-2:]).astype(np.float64)


def _plane_distance(stored: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    same = (stored == made) | (np.isnan(stored) & np.isnan(made))
    if same.all():
        return 0.0
    # A NaN or an infinity against a number is no small difference, whatever the peak.
    difference = np.abs(stored - made)[~same]
    peak = np.abs(stored[np.isfinite(stored)]).max(initial=0.0)
    if peak == 0.0 or not np.isfinite(difference).all():
        return np.inf
    return float(difference.max() / peak)


def _by(difference: float) -> str:
    return f" by {difference:.1e} of peak" if np.isfinite(difference) else ""
