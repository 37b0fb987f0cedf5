"""Brightness and colour of the sources, and which source each task gets.

Every draw is keyed by the task's identity. In the ``population`` mode a
source's magnitude is that of the real galaxy whose shape and size it has, and
``galaxy`` colours go with its redshift (``colours``), so all stay joined; nothing
is tied to the host. Sources behind a host of known redshift are drawn in
``stamps.deflectors``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope import config
from darkhaloscope.errors import DataError, describe
from darkhaloscope.sources.colours import Galaxies, colour_deviates
from darkhaloscope.streams import uniform

FloatArray = NDArray[np.float64]

R_PIVOT_NM, F814W_PIVOT_NM, Z_PIVOT_NM = 641.5, 804.5, 925.9
"""Pivot wavelengths of DECam r, ACS F814W and DECam z (SVO Filter Profile Service)."""

F814W_BETWEEN_R_AND_Z = float(np.log(F814W_PIVOT_NM / R_PIVOT_NM) / np.log(Z_PIVOT_NM / R_PIVOT_NM))
"""Share of r - z that lies between r and F814W for a power-law spectrum."""


def draw_source_magnitudes(
    sources: config.Sources,
    *,
    mag_f814w: ArrayLike,
    host_mag_r: ArrayLike,
    ids: Sequence[str],
    seed: int,
    galaxies: Galaxies | None = None,
) -> FloatArray:
    """Draw the unlensed source magnitudes of tasks.

    ``population``: r = F814W + share of (r - z) between the bands + dimming,
    with dimming uniform. ``host_tied``: r = host r + one of the offsets.
    Colours are those of the galaxy, bivariate normal, or single values.

    Parameters
    ----------
    sources : config.Sources
        The experiment's section.
    mag_f814w : array_like, shape (n,)
        F814W magnitude (AB) of each task's source; used by ``population``.
    host_mag_r : array_like, shape (n,)
        r magnitude (AB) of each task's host; used by ``host_tied``.
    ids : sequence of str, length n
        Task identities.
    seed : int
        Seed of the experiment.
    galaxies : Galaxies, optional
        Of each task's source, shape (n,); needed by the colours ``galaxy``.

    Returns
    -------
    ndarray of float64, shape (n, 3)
        AB magnitudes in g, r, z.

    Raises
    ------
    DataError
        If a magnitude that is used is not finite, or colours of galaxies are
        asked for and none are given.
    """
    g_r, r_z = _colours(sources, ids, seed, galaxies)
    if sources.magnitude == "population":
        low, high = sources.dimming_mag
        base = _finite(mag_f814w, "mag_f814w", ids)
        dimming = low + (high - low) * uniform(seed, "source_dimming", ids)
        mag_r = base + F814W_BETWEEN_R_AND_Z * r_z + dimming
    else:
        offsets = np.asarray(sources.host_dmag, dtype=np.float64)
        choice = (uniform(seed, "source_host_dmag", ids) * len(offsets)).astype(np.int64)
        mag_r = _finite(host_mag_r, "host_mag_r", ids) + offsets[choice]
    return np.column_stack([mag_r + g_r, mag_r, mag_r - r_z])


def prior_density_per_mag(
    sources: config.Sources, *, mag_f814w: ArrayLike, mag_r: ArrayLike, r_z: ArrayLike
) -> FloatArray:
    """Return the physical density of a source's unlensed r magnitude.

    Every galaxy is as bright as it was catalogued, dimmed: p(r) = 1 / (high - low)
    where r - F814W - share of (r - z) lies within ``dimming_mag`` = (low, high), and 0
    elsewhere. Over a set of sources this is their own distribution of
    magnitudes, smoothed by the dimming and joined to their sizes.

    Parameters
    ----------
    sources : config.Sources
        ``dimming_mag``, low < high.
    mag_f814w : array_like, shape (n,)
        F814W magnitude (AB) of each source.
    mag_r : array_like, shape (n,)
        Where the density is asked for (AB).
    r_z : array_like, shape (n,)
        Colour of each source.

    Returns
    -------
    ndarray of float64, shape (n,)
        Unit: 1/mag.

    Raises
    ------
    DataError
        If an F814W magnitude is not finite.
    """
    low, high = sources.dimming_mag
    mag_r = np.asarray(mag_r, dtype=np.float64)
    base = _finite(mag_f814w, "mag_f814w", [str(row) for row in range(len(mag_r))])
    dimming = mag_r - base - F814W_BETWEEN_R_AND_Z * np.asarray(r_z, dtype=np.float64)
    return np.asarray(((dimming >= low) & (dimming <= high)) / (high - low))


def draw_source_rows(
    source_ids: NDArray[np.str_],
    split_of_source: NDArray[np.str_],
    *,
    split: str,
    ids: Sequence[str],
    seed: int,
) -> NDArray[np.int64]:
    """Give every task of one split a source of the same split, using all sources evenly.

    Tasks are ranked by a hash of their identity and dealt the sources of their
    split in turn, each round in another hashed order. So within one call the
    numbers of uses of two sources differ by at most one, equal identities get
    the same source, and the result does not depend on the order of ``ids``.

    Parameters
    ----------
    source_ids : ndarray of str, shape (m,)
        ``sources.ids``.
    split_of_source : ndarray of str, shape (m,)
        ``sources.split``.
    split : str
        ``train``, ``val`` or ``test``.
    ids : sequence of str, length n
        Task identities, all of that split.
    seed : int
        Seed of the experiment.

    Returns
    -------
    ndarray of int64, shape (n,)
        Rows of the source library.

    Raises
    ------
    DataError
        If the split has no source.
    """
    rows = rows_of_split(split_of_source, split)
    tasks, task_of_id = np.unique(np.asarray(ids, dtype=np.str_), return_inverse=True)
    rank = np.empty(len(tasks), dtype=np.int64)
    rank[np.argsort(uniform(seed, "source_rank", tasks.tolist()), kind="stable")] = np.arange(len(tasks))
    rounds = -(-len(tasks) // len(rows))
    names = np.asarray(source_ids)[rows].tolist()
    dealt = [
        rows[np.argsort(uniform(seed, f"source_round_{number}", names), kind="stable")]
        for number in range(rounds)
    ]
    return np.concatenate(dealt)[rank][task_of_id] if dealt else np.empty(0, dtype=np.int64)


def rows_of_split(split_of_source: NDArray[np.str_], split: str) -> NDArray[np.intp]:
    """Return the rows of the sources of a split.

    Raises
    ------
    DataError
        If there are none.
    """
    rows = np.flatnonzero(np.asarray(split_of_source) == split)
    if len(rows) == 0:
        raise DataError(
            describe(
                "No source in this split",
                field="split",
                expected="at least one source",
                got=f"0 in {split}",
                hint="build the bank from more galaxies",
            )
        )
    return rows


def _colours(
    sources: config.Sources, ids: Sequence[str], seed: int, galaxies: Galaxies | None
) -> tuple[FloatArray, FloatArray]:
    """Return g - r and r - z of every task."""
    if sources.colours == "galaxy":
        if galaxies is None:
            raise DataError(
                describe(
                    "Colours of the galaxies are not given",
                    field="galaxies",
                    expected="one per task with sources.colours galaxy",
                    got=None,
                )
            )
        return _finite(galaxies.g_r, "g_r", ids), _finite(galaxies.r_z, "r_z", ids)
    if sources.colours == "single":
        return np.full(len(ids), sources.g_r[0]), np.full(len(ids), sources.r_z[0])
    first, second = colour_deviates(ids, sources.colour_correlation, seed)
    return sources.g_r[0] + sources.g_r[1] * first, sources.r_z[0] + sources.r_z[1] * second


def _finite(values: ArrayLike, name: str, ids: Sequence[str]) -> FloatArray:
    array = np.broadcast_to(np.asarray(values, dtype=np.float64), (len(ids),))
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            describe(
                "Magnitude is not finite",
                field=name,
                row=ids[row],
                expected="a finite AB magnitude",
                got=float(array[row]),
            )
        )
    return array
