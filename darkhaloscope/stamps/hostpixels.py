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


class HostFiles:
    """Located hosts, read a few at a time: their numbers once, their pixels when asked for.

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

    Raises
    ------
    DataError
        If a host occurs twice.
    """

    def __init__(
        self,
        located: Sequence[dict[str, Any]],
        *,
        size_px: int,
        release: Release,
        max_bad_pixel_frac: float,
        photon_noise: bool,
    ) -> None:
        self._size_px = size_px
        self._bits = np.array([release.pixel_mask(band) for band in BANDS], np.int32)
        self._max_bad_pixel_frac = max_bad_pixel_frac
        self._photon_noise = photon_noise
        self._paths = [Path(part["path"]) for part in located]
        self._place: dict[str, tuple[int, int, int]] = {}  # file, row in it, row of _numbers
        tables = []
        for number, part in enumerate(located):
            for table, inside in tabular.read_row_groups(part["path"], part["rows"], _SCALARS):
                tables.append(table.take(pa.array(inside)))
            first = len(self._place)
            names = [name for table in tables for name in table["host_id"].to_pylist()][first:]
            for place, (name, row) in enumerate(zip(names, part["rows"], strict=True), start=first):
                if name in self._place:
                    raise DataError(describe("A galaxy occurs twice among the host cutouts", row=name))
                self._place[name] = (number, row, place)
        self._numbers = pa.concat_tables(tables).combine_chunks() if tables else None

    def load(self, host_ids: Iterable[str] | None = None) -> HostStamps:
        """Read hosts and crop them to stamps; memory is one row group beside the result.

        Parameters
        ----------
        host_ids : iterable of str, optional
            Hosts to read, repeats allowed; those that are not there are left
            out. All hosts if not given.

        Returns
        -------
        HostStamps
        """
        asked = self._place if host_ids is None else dict.fromkeys(host_ids)
        names = sorted((name for name in asked if name in self._place), key=lambda name: self._place[name])
        n, bands, size = len(names), len(BANDS), self._size_px
        stamps = HostStamps(
            row_of={name: row for row, name in enumerate(names)},
            status=[],
            image=np.zeros((n + 1, bands, size, size), np.float32),
            invvar=np.zeros((n + 1, bands, size, size), np.float32),
            maskbits=np.zeros((n + 1, size, size), np.int32),
            offset_px=np.full((n + 1, 2), np.nan),
            sky_nmgy=np.full((n + 1, bands), np.nan),
            good=np.empty((n + 1, bands, size, size), bool),
            good_px=np.empty((n + 1, bands), np.int64),
            nan_px=np.empty(n + 1, np.int64),
        )
        if names:
            self._fill(stamps, np.array([self._place[name] for name in names], dtype=np.intp))
        self._judge(stamps)
        return stamps

    def _fill(self, stamps: HostStamps, places: NDArray[np.intp]) -> None:
        """Read numbers and pixels of the hosts at ``places``, ascending in file and row."""
        assert self._numbers is not None
        numbers = self._numbers.take(pa.array(places[:, 2]))
        stamps.status.extend(numbers["status"].to_pylist())
        stamps.sky_nmgy[:-1] = np.stack([numbers[name].to_numpy() for name in _SKY], axis=1)
        x, y = (numbers[name].to_numpy() for name in ("x_offset_px", "y_offset_px"))
        ok = np.array([status == "ok" for status in stamps.status])
        for number in np.unique(places[ok, 0]):
            here = np.flatnonzero(ok & (places[:, 0] == number))
            for table, inside in tabular.read_row_groups(self._paths[number], places[here, 1], _PIXELS):
                rows, here = here[: len(inside)], here[len(inside) :]
                self._crop(stamps, table, inside, rows, x[rows], y[rows])

    def _crop(
        self,
        stamps: HostStamps,
        table: pa.Table,
        inside: NDArray[np.intp],
        rows: NDArray[np.intp],
        x_offset_px: NDArray[np.float64],
        y_offset_px: NDArray[np.float64],
    ) -> None:
        """Copy stamps out of the cutouts of one row group."""
        cutouts = {name: tabular.pixel_slots(table, name) for name in _PIXELS}
        size, cutout = self._size_px, cutouts["image"].shape[-1]
        centre = (cutout - 1) / 2.0
        windows = [crop_about(centre + x, centre + y, size)
                   for x, y in zip(x_offset_px, y_offset_px, strict=True)]  # fmt: skip
        corners = np.array([(window.x0, window.y0) for window in windows])
        # Galaxies are central, so the windows of a whole file have few different corners.
        for x0, y0 in np.unique(corners, axis=0):
            these = np.flatnonzero((corners == (x0, y0)).all(axis=1))
            if not (0 <= x0 <= cutout - size and 0 <= y0 <= cutout - size):
                for row in rows[these]:
                    stamps.status[row] = "cutout_too_small"
                continue
            for name, pixels in cutouts.items():
                window = pixels[..., y0 : y0 + size, x0 : x0 + size]
                getattr(stamps, name)[rows[these]] = window[inside[these]]
            stamps.offset_px[rows[these]] = [(windows[i].x_offset_px, windows[i].y_offset_px) for i in these]

    def _judge(self, stamps: HostStamps) -> None:
        """Replace ``ok`` by the first reason why the pixels of a host cannot carry a stamp."""
        # The compiler is loaded on the first pixels, not with the package.
        from darkhaloscope.stamps.hostpixel_kernels import inspect_pixels

        lit_px = np.empty(stamps.good_px.shape, np.int64)
        inspect_pixels(
            stamps.image,
            stamps.invvar,
            stamps.maskbits,
            self._bits,
            stamps.good.view(np.uint8),
            stamps.good_px,
            lit_px,
            stamps.nan_px,
        )
        good_share = stamps.good_px / float(self._size_px**2)
        for row, status in enumerate(stamps.status):
            if status != "ok":
                continue
            if stamps.nan_px[row]:
                stamps.status[row] = "non_finite"
                continue
            for band, name in enumerate(BANDS):
                if not stamps.good_px[row, band] or not lit_px[row, band]:
                    stamps.status[row] = f"missing_band_{name}"
                elif 1.0 - good_share[row, band] > self._max_bad_pixel_frac:
                    stamps.status[row] = f"bad_pixels_{name}"
                elif self._photon_noise and not stamps.sky_nmgy[row, band] > 0.0:
                    stamps.status[row] = f"no_sky_level_{name}"
                else:
                    continue
                break


def load_host_stamps(
    located: Sequence[dict[str, Any]],
    *,
    size_px: int,
    release: Release,
    max_bad_pixel_frac: float,
    photon_noise: bool,
) -> HostStamps:
    """Read all located hosts; parameters of :class:`HostFiles`."""
    return HostFiles(
        located,
        size_px=size_px,
        release=release,
        max_bad_pixel_frac=max_bad_pixel_frac,
        photon_noise=photon_noise,
    ).load()
