"""What the host galaxies of a sample were before anything was added.

Sums of the host cutouts, read in chunks so that memory stays small, by the same
reader that injection uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.views import aperture_flux, brightness_of
from darkhaloscope.schema import BANDS
from darkhaloscope.stamps.hostpixels import HostStamps, locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for

FloatArray = NDArray[np.float64]

_CHUNK_HOSTS = 400


@dataclass(frozen=True)
class HostSums:
    """Sums over the stamps of n hosts, nothing added.

    Parameters
    ----------
    row_of : dict of str to int
        Row of a host id; hosts without a usable cutout are absent.
    total_nmgy : ndarray, shape (n, 3)
        Sum of the stamp per band.
    brightness_r : ndarray, shape (n,)
        Mean of the r band within 8 px. Unit: nMgy/px.
    offset_px : ndarray, shape (n, 2)
        Galaxy minus stamp centre, x and y.
    gain : ndarray, shape (n, 3)
        Median sky level x invvar: electrons per nMgy.
    apertures : ndarray, shape (n, 2, 3)
        Flux within 4 and 10 px, per band.
    """

    row_of: dict[str, int]
    total_nmgy: FloatArray
    brightness_r: FloatArray
    offset_px: FloatArray
    gain: FloatArray
    apertures: FloatArray

    def rows(self, host_ids: Sequence[str]) -> NDArray[np.intp]:
        """Return the row of each host, -1 where it is absent."""
        return np.array([self.row_of.get(host_id, -1) for host_id in host_ids], dtype=np.intp)


def measure_hosts(
    hosts_paths: Sequence[str | Path], host_ids: Sequence[str], *, experiment: Experiment, size_px: int
) -> HostSums:
    """Sum the stamps of the given hosts.

    Parameters
    ----------
    hosts_paths : sequence of path
        HOSTS files of all tiles.
    host_ids : sequence of str
        Hosts to read; those that no file holds are absent from the result.
    experiment : Experiment
        The rules by which hosts are read.
    size_px : int
        Side of the stamps.
    """
    wanted = sorted(set(host_ids))
    row_of: dict[str, int] = {}
    totals, brightness, offsets, gains, apertures = [], [], [], [], []
    for path in hosts_paths:
        located = locate_hosts([path], wanted)
        for part in located:
            for start in range(0, len(part["rows"]), _CHUNK_HOSTS):
                chunk = [{"path": part["path"], "rows": part["rows"][start : start + _CHUNK_HOSTS]}]
                stamps = load_hosts_for(experiment, chunk, size_px=size_px)
                names = list(stamps.row_of)
                ok = [row for row, status in enumerate(stamps.status) if status == "ok"]
                row_of.update({names[row]: len(row_of) + i for i, row in enumerate(ok)})
                totals.append(stamps.image[ok].sum(axis=(2, 3), dtype=np.float64))
                brightness.append(brightness_of(stamps.image[ok]))
                offsets.append(stamps.offset_px[ok])
                gains.append(_gain(stamps, ok))
                apertures.append(aperture_flux(stamps.image[ok]))
    if not totals:
        bands = len(BANDS)
        none = np.empty((0, bands))
        return HostSums({}, none, np.empty(0), np.empty((0, 2)), none, np.empty((0, 2, bands)))
    return HostSums(
        row_of,
        np.concatenate(totals),
        np.concatenate(brightness),
        np.concatenate(offsets),
        np.concatenate(gains),
        np.concatenate(apertures),
    )


def _gain(stamps: HostStamps, rows: Sequence[int]) -> FloatArray:
    invvar = np.where(stamps.good[rows], stamps.invvar[rows], np.nan)
    median = np.nanmedian(invvar.reshape(*invvar.shape[:2], -1), axis=2)
    return np.asarray(stamps.sky_nmgy[rows] * median)
