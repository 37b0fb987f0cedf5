"""Host cutouts as injection needs them: found by id, cropped to the stamp, judged once.

Whether a host can carry a stamp is decided here from its pixels alone, before
it is known what the stamp is for. Survey files are not opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.geometry import crop_about
from darkhaloscope.schema import BANDS, HOSTS, per_band
from darkhaloscope.survey.release import Release

_SKY = per_band("sky_{b}_nmgy")
_SCALARS = ["host_id", "x_offset_px", "y_offset_px", "status", *_SKY]
_PIXELS = [column.name for column in HOSTS.pixel_columns()]


@dataclass(frozen=True)
class HostStamps:
    """Stamps of n hosts, before anything is added.

    Arrays have one more row than there are hosts: the last one is blank and
    stands for a host that is not there.

    Parameters
    ----------
    row_of : dict of str to int
        Row of a host id.
    status : list of str, length n
        ``ok``, or why the host cannot carry a stamp.
    image, invvar : ndarray of float32, shape (n + 1, bands, size, size)
        nMgy/px and 1/nMgy^2; zeros where there is no stamp.
    maskbits : ndarray of int32, shape (n + 1, size, size)
        DR10 MASKBITS.
    offset_px : ndarray of float64, shape (n + 1, 2)
        Galaxy minus stamp centre, x and y.
    sky_nmgy : ndarray of float64, shape (n + 1, bands)
        Sky level removed from the coadd.
    good : ndarray of bool, shape (n + 1, bands, size, size)
        Pixels with data and without a bad mask bit.
    good_px : ndarray of int, shape (n + 1, bands)
        How many these are.
    nan_px : ndarray of int, shape (n + 1,)
        Pixels whose image or inverse variance is not finite in some band.
    """

    row_of: dict[str, int]
    status: list[str]
    image: NDArray[np.float32]
    invvar: NDArray[np.float32]
    maskbits: NDArray[np.int32]
    offset_px: NDArray[np.float64]
    sky_nmgy: NDArray[np.float64]
    good: NDArray[np.bool_]
    good_px: NDArray[np.int64]
    nan_px: NDArray[np.int64]


def locate_hosts(paths: Iterable[str | Path], host_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Find which rows of which files hold the given hosts.

    Parameters
    ----------
    paths : iterable of path
        HOSTS files.
    host_ids : iterable of str
        Hosts to find; ids that no file holds are left out.

    Returns
    -------
    list of dict
        ``{"path": str, "rows": list of int}``, JSON-serialisable, rows ascending.
    """
    wanted = set(host_ids)
    found = []
    for path in paths:
        ids = tabular.read_table(path, ["host_id"])["host_id"].to_pylist()
        rows = [row for row, host_id in enumerate(ids) if host_id in wanted]
        if rows:
            found.append({"path": str(path), "rows": rows})
    return found


def load_host_stamps(
    located: Sequence[dict[str, Any]],
    *,
    size_px: int,
    release: Release,
    max_bad_pixel_frac: float,
    photon_noise: bool,
) -> HostStamps:
    """Read located hosts and crop them to stamps; memory is one row group beside the result.

    Parameters
    ----------
    located : sequence of dict
        From :func:`locate_hosts`.
    size_px : int
        Side of the stamps.
    release : Release
        Bad mask bits per band.
    max_bad_pixel_frac : float
        Largest share of bad pixels in any band.
    photon_noise : bool
        Whether added light will carry photon noise, which needs a sky level.

    Returns
    -------
    HostStamps

    Raises
    ------
    DataError
        If a host occurs twice.
    """
    n, bands = sum(len(part["rows"]) for part in located), len(BANDS)
    stamps = HostStamps(
        row_of={},
        status=[],
        image=np.empty((n + 1, bands, size_px, size_px), np.float32),
        invvar=np.empty((n + 1, bands, size_px, size_px), np.float32),
        maskbits=np.empty((n + 1, size_px, size_px), np.int32),
        offset_px=np.full((n + 1, 2), np.nan),
        sky_nmgy=np.full((n + 1, bands), np.nan),
        good=np.empty((n + 1, bands, size_px, size_px), bool),
        good_px=np.empty((n + 1, bands), np.int64),
        nan_px=np.empty(n + 1, np.int64),
    )
    lit_px = np.empty((n + 1, bands), np.int64)
    bits = np.array([release.pixel_mask(band) for band in BANDS], np.int32)
    for part in located:
        for group in tabular.look_at_pixels(part["path"], part["rows"], _SCALARS, _PIXELS):
            _cut(stamps, group, bits, lit_px)
    _blank(stamps, bits, lit_px)
    _judge(stamps, lit_px, max_bad_pixel_frac, photon_noise)
    return stamps


def _cut(
    stamps: HostStamps,
    group: tabular.PixelGroup,
    bits: NDArray[np.int32],
    lit_px: NDArray[np.int64],
) -> None:
    """Append the hosts that were asked for of a row group of cutouts."""
    table, inside = group.table, group.rows
    first, k = len(stamps.status), len(inside)
    names, status = (table[name].to_pylist() for name in ("host_id", "status"))
    x, y, *sky = (table[name].to_numpy()[inside] for name in ("x_offset_px", "y_offset_px", *_SKY))
    stamps.sky_nmgy[first : first + k] = np.stack(sky, axis=1)
    side, size = group.pixels[0].shape[-1], stamps.image.shape[-1]
    centre = (side - 1) / 2.0
    rows, x0, y0 = np.full(k, -1), np.zeros(k, np.int64), np.zeros(k, np.int64)
    for i, row in enumerate(inside.tolist()):
        if stamps.row_of.setdefault(names[row], first + i) != first + i:
            raise DataError(describe("A galaxy occurs twice among the host cutouts", row=names[row]))
        stamps.status.append(status[row])
        if status[row] != "ok":
            continue
        window = crop_about(centre + float(x[i]), centre + float(y[i]), size)
        if not (0 <= window.x0 <= side - size and 0 <= window.y0 <= side - size):
            stamps.status[-1] = "cutout_too_small"
            continue
        rows[i], x0[i], y0[i] = group.at[row], window.x0, window.y0
        stamps.offset_px[first + i] = window.x_offset_px, window.y_offset_px
    _fill(stamps, slice(first, first + k), group.pixels, rows, x0, y0, bits, lit_px)


def _blank(stamps: HostStamps, bits: NDArray[np.int32], lit_px: NDArray[np.int64]) -> None:
    """Fill the last row, which stands for a host that is not there."""
    none, bands = np.zeros(1, np.int64), stamps.image.shape[1]
    planes = np.zeros((0, bands, 0, 0), np.float32)
    cutouts = [planes, planes, np.zeros((0, 0, 0), np.int32)]
    last = slice(len(stamps.image) - 1, None)
    _fill(stamps, last, cutouts, none - 1, none, none, bits, lit_px)


def _fill(
    stamps: HostStamps,
    rows: slice,
    cutouts: list[NDArray[Any]],
    of_cutout: NDArray[np.int64],
    x0: NDArray[np.int64],
    y0: NDArray[np.int64],
    bits: NDArray[np.int32],
    lit_px: NDArray[np.int64],
) -> None:
    # The machine code is loaded on the first pixels, not with the package.
    from darkhaloscope.stamps.hostpixel_kernels import cut_stamps

    good = stamps.good.view(np.uint8)
    into = (stamps.image, stamps.invvar, stamps.maskbits, good, stamps.good_px, lit_px, stamps.nan_px)
    cut_stamps(*cutouts, of_cutout, x0, y0, bits, *(array[rows] for array in into))


def _judge(
    stamps: HostStamps, lit_px: NDArray[np.int64], max_bad_pixel_frac: float, photon_noise: bool
) -> None:
    """Replace ``ok`` by the first reason why the pixels of a host cannot carry a stamp."""
    good_share = stamps.good_px / float(stamps.image.shape[-1] ** 2)
    for row, status in enumerate(stamps.status):
        if status != "ok":
            continue
        if stamps.nan_px[row]:
            stamps.status[row] = "non_finite"
            continue
        for band, name in enumerate(BANDS):
            if not stamps.good_px[row, band] or not lit_px[row, band]:
                stamps.status[row] = f"missing_band_{name}"
            elif 1.0 - good_share[row, band] > max_bad_pixel_frac:
                stamps.status[row] = f"bad_pixels_{name}"
            elif photon_noise and not stamps.sky_nmgy[row, band] > 0.0:
                stamps.status[row] = f"no_sky_level_{name}"
            else:
                continue
            break
