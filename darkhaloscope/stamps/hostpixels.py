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
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.geometry import crop_stamp
from darkhaloscope.schema import BANDS, HOSTS, per_band
from darkhaloscope.survey.release import Release

_NEEDED = [
    "host_id",
    "x_offset_px",
    "y_offset_px",
    "status",
    *per_band("sky_{b}_nmgy"),
    *[column.name for column in HOSTS.pixel_columns()],
]


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
        nMgy/px and 1/nMgy^2; zeros where the status is not ok.
    maskbits : ndarray of int32, shape (n + 1, size, size)
        DR10 MASKBITS.
    offset_px : ndarray of float64, shape (n + 1, 2)
        Galaxy minus stamp centre, x and y.
    sky_nmgy : ndarray of float64, shape (n + 1, bands)
        Sky level removed from the coadd.
    good : ndarray of bool, shape (n + 1, bands, size, size)
        Pixels with data and without a bad mask bit.
    """

    row_of: dict[str, int]
    status: list[str]
    image: NDArray[np.float32]
    invvar: NDArray[np.float32]
    maskbits: NDArray[np.int32]
    offset_px: NDArray[np.float64]
    sky_nmgy: NDArray[np.float64]
    good: NDArray[np.bool_]


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
    n = sum(len(part["rows"]) for part in located)
    bands = len(BANDS)
    stamps = HostStamps(
        row_of={},
        status=[],
        image=np.zeros((n + 1, bands, size_px, size_px), np.float32),
        invvar=np.zeros((n + 1, bands, size_px, size_px), np.float32),
        maskbits=np.zeros((n + 1, size_px, size_px), np.int32),
        offset_px=np.full((n + 1, 2), np.nan),
        sky_nmgy=np.full((n + 1, bands), np.nan),
        good=np.zeros((n + 1, bands, size_px, size_px), bool),
    )
    for part in located:
        for batch in _selected_rows(Path(part["path"]), part["rows"]):
            _add_batch(stamps, batch, size_px=size_px)
    bits = np.array([release.pixel_mask(band) for band in BANDS], np.int32)
    np.logical_and(
        stamps.invvar > 0.0, (stamps.maskbits[:, None] & bits[:, None, None]) == 0, out=stamps.good
    )
    for row in range(n):
        if stamps.status[row] == "ok":
            stamps.status[row] = _judge(stamps, row, max_bad_pixel_frac, photon_noise)
    return stamps


def _selected_rows(path: Path, rows: Sequence[int]) -> Iterable[pa.Table]:
    """Yield the given rows of a file, one row group at a time."""
    wanted = np.asarray(rows)
    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.metadata.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            inside = wanted[(wanted >= start) & (wanted < stop)] - start
            if len(inside):
                yield file.read_row_group(group, columns=_NEEDED).take(pa.array(inside))
            start = stop


def _add_batch(stamps: HostStamps, batch: pa.Table, *, size_px: int) -> None:
    first = len(stamps.status)
    ids, status = batch["host_id"].to_pylist(), batch["status"].to_pylist()
    for host_id in ids:
        if host_id in stamps.row_of:
            raise DataError(describe("A galaxy occurs twice among the host cutouts", row=host_id))
        stamps.row_of[host_id] = len(stamps.row_of)
    stamps.status.extend(status)
    stamps.sky_nmgy[first : first + len(ids)] = np.stack(
        [batch[name].to_numpy() for name in per_band("sky_{b}_nmgy")], axis=1
    )
    ok = [i for i, value in enumerate(status) if value == "ok"]
    if not ok:
        return
    usable = batch.take(pa.array(ok))
    images, invvars = tabular.pixels(usable, "image"), tabular.pixels(usable, "invvar")
    masks = tabular.pixels(usable, "maskbits")
    x, y = usable["x_offset_px"].to_pylist(), usable["y_offset_px"].to_pylist()
    for i, place in enumerate(ok):
        row = first + place
        try:
            stamps.image[row], *offset = crop_stamp(images[i], x[i], y[i], size_px)
            stamps.invvar[row] = crop_stamp(invvars[i], x[i], y[i], size_px)[0]
            stamps.maskbits[row] = crop_stamp(masks[i], x[i], y[i], size_px)[0]
        except DataError:
            stamps.status[row] = "cutout_too_small"
            continue
        stamps.offset_px[row] = offset


def _judge(stamps: HostStamps, row: int, max_bad_pixel_frac: float, photon_noise: bool) -> str:
    """Return ``ok`` or the first reason why the pixels of a host cannot carry a stamp."""
    if not np.isfinite(stamps.image[row]).all() or not np.isfinite(stamps.invvar[row]).all():
        return "non_finite"
    for band, name in enumerate(BANDS):
        good = stamps.good[row, band]
        if not good.any() or not stamps.image[row, band].any():
            return f"missing_band_{name}"
        if 1.0 - good.mean() > max_bad_pixel_frac:
            return f"bad_pixels_{name}"
        if photon_noise and not stamps.sky_nmgy[row, band] > 0.0:
            return f"no_sky_level_{name}"
    return "ok"
