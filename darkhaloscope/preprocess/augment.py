"""The changes of training alone: symmetries of the square, small shifts, gain, treated centres.

What happens to a row in an epoch is a pure function of (seed, row id, epoch): it
does not depend on the batch, the worker or the machine, and no two epochs
repeat. Changes are drawn here for both arithmetics and applied here in numpy;
``batch`` applies them to tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from darkhaloscope.config import Augmentation
from darkhaloscope.preprocess.spec import PreprocessSpec
from darkhaloscope.streams import generator, keys

FloatImages = NDArray[np.float32]

SYMMETRIES = 8
"""Quarter turns (code mod 4), mirrored if code >= 4."""
MAX_SHIFT_PX = 0.5
TAPS = 5
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TWO_POW_53 = float(1 << 53)


@dataclass(frozen=True)
class Draws:
    """What happens to n rows in one epoch.

    Parameters
    ----------
    symmetry : ndarray of int, shape (n,)
        Codes in [0, 8).
    shift_px : ndarray of float32, shape (n, 2)
        Shift along x and y, each within half a pixel.
    gain : ndarray of float32, shape (n,)
        Factor of the whole image.
    treated : ndarray of bool, shape (n,)
        Rows whose centre is treated.
    """

    symmetry: NDArray[np.int64]
    shift_px: NDArray[np.float32]
    gain: NDArray[np.float32]
    treated: NDArray[np.bool_]

    def __getitem__(self, rows: Any) -> Draws:
        return Draws(self.symmetry[rows], self.shift_px[rows], self.gain[rows], self.treated[rows])


def row_keys(task_ids: Any) -> NDArray[np.uint64]:
    """Return one 64-bit key per task id, computed once per data set, shape (n,)."""
    return np.ascontiguousarray(keys(0, "augmented_row", task_ids)[:, :2]).view(np.uint64)[:, 0]


def draw(
    rows: NDArray[np.uint64], *, seed: int, epoch: int, spec: PreprocessSpec, how: Augmentation
) -> Draws:
    """Draw what happens to rows in an epoch.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n,)
        From :func:`row_keys`.
    seed, epoch : int
        Key of the draws.
    spec : PreprocessSpec
        Its centre treatment and probability.
    how : config.Augmentation
        Which changes, and how large.
    """
    number = {name: _uniform(rows, seed, epoch, name) for name in ("symmetry", "x", "y", "gain", "centre")}
    code = (number["symmetry"] * SYMMETRIES).astype(np.int64)
    if not how.quarter_turns:
        code -= code % 4
    if not how.flips:
        code %= 4
    shift = how.shift_px * (2.0 * np.stack([number["x"], number["y"]], axis=1) - 1.0)
    gain = np.exp(how.flux_jitter * ndtri(number["gain"]))
    treated = np.full(len(rows), spec.centre != "none") & (number["centre"] < spec.centre_probability)
    return Draws(code, shift.astype(np.float32), gain.astype(np.float32), treated)


def apply(images: FloatImages, draws: Draws) -> FloatImages:
    """Return linear images turned, shifted and scaled, shape (n, bands, side, side)."""
    out = images
    if draws.shift_px.any():
        out = shifted(out, draws.shift_px)
    if (draws.gain != 1.0).any():
        out = out * draws.gain[:, None, None, None]
    turned = np.empty_like(out)
    for row, code in enumerate(draws.symmetry):
        image = out[row][..., ::-1] if code >= SYMMETRIES // 2 else out[row]
        turned[row] = np.rot90(image, int(code) % 4, axes=(-2, -1))
    return turned


def shifted(images: FloatImages, shift_px: NDArray[np.float32]) -> FloatImages:
    """Shift images along x and y by cubic convolution (Keys 1981, IEEE TASSP 29, 1153), edges repeated."""
    out = images
    for axis, taps in ((3, cubic_taps(shift_px[:, 0])), (2, cubic_taps(shift_px[:, 1]))):
        width = [(0, 0)] * 4
        width[axis] = (TAPS // 2, TAPS // 2)
        padded = np.pad(out, width, mode="edge")
        side = out.shape[axis]
        windows = (padded.take(range(k, k + side), axis=axis) for k in range(TAPS))
        moved = np.zeros_like(out)
        for k, window in enumerate(windows):
            moved += taps[:, k, None, None, None] * window
        out = moved
    return out


def cubic_taps(shift_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of the pixels two before to two after, shape (n, 5); shifts within half a pixel."""
    distance = np.abs(np.arange(-2, 3)[None, :] + shift_px[:, None].astype(np.float64))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    taps = np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
    return np.asarray(taps, dtype=np.float32)


def centre_noise(task_ids: Any, *, seed: int, epoch: int, shape: tuple[int, int]) -> FloatImages:
    """Return unit normal noise per row and epoch, shape (n, *shape)."""
    drawn = [
        generator(seed, "centre_noise", f"{task}:{epoch}").standard_normal(shape, dtype=np.float32)
        for task in task_ids
    ]
    return np.stack(drawn) if drawn else np.empty((0, *shape), np.float32)


def _uniform(rows: NDArray[np.uint64], seed: int, epoch: int, stream: str) -> NDArray[np.float64]:
    """Return a number in (0, 1) per row: SplitMix64 (Steele et al. 2014) of the keys of row and stream."""
    start = np.ascontiguousarray(keys(seed, f"augment_{stream}", [f"epoch-{epoch}"])[:, :2]).view(np.uint64)
    mixed = _mix(rows ^ _mix(start[0] + _GOLDEN))
    return np.asarray(((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / _TWO_POW_53)


def _mix(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
