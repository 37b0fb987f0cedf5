"""Trying galaxies one by one, in this process or in several: the outcome of each, in order.

A block of galaxies is tried by one process and its outcomes come back in the
order asked, so what is built from them does not depend on the number of
workers. Which galaxies are kept of those that pass is decided in ``bank``.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from darkhaloscope.hashing import sha256_bytes
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.sources.selection import BankLimits, Measured, first_failed_cut, measure, read_images

BLOCK_GALAXIES = 64
"""Galaxies that a process tries at a time: about a second of work."""

_LOOKAHEAD = 3  # blocks per worker that wait or are being tried

_open_catalog: RealGalaxyCatalog | None = None


class Outcome(NamedTuple):
    """What became of one galaxy.

    Parameters
    ----------
    row : int
        Row in the catalogue.
    digest : str
        Hash of its pixels; empty if they could not be read.
    reason : str
        Why it was left out; empty if it passes every cut.
    measured : Measured or None
        None if it was left out.
    log_hlr_ratio : float
        log10 of measured over catalogued half-light radius; NaN if not measured.
    """

    row: int
    digest: str
    reason: str
    measured: Measured | None
    log_hlr_ratio: float


def try_galaxies(
    catalog: RealGalaxyCatalog, rows: Sequence[int], limits: BankLimits, *, workers: int
) -> Iterator[Outcome]:
    """Yield the outcome of every galaxy in the order of ``rows``.

    Parameters
    ----------
    catalog : RealGalaxyCatalog
        Opened again in every worker.
    rows : sequence of int
        Rows to try.
    limits : BankLimits
        The cuts.
    workers : int
        Processes; never more than one per two blocks. 1 tries here.

    Raises
    ------
    MissingDataError
        If an image file is absent.
    """
    workers = min(workers, len(rows) // (2 * BLOCK_GALAXIES))
    if workers <= 1:
        for row in rows:
            yield try_galaxy(catalog, row, limits)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_open, initargs=(catalog.path,)) as pool:
        waiting: deque[Future[list[Outcome]]] = deque()
        try:
            for start in range(0, len(rows), BLOCK_GALAXIES):
                waiting.append(pool.submit(_try_block, rows[start : start + BLOCK_GALAXIES], limits))
                if len(waiting) > _LOOKAHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def try_galaxy(catalog: RealGalaxyCatalog, row: int, limits: BankLimits) -> Outcome:
    """Read one galaxy, measure it and hold it against the cuts."""
    unmeasured = float("nan")
    images = read_images(catalog, row)
    if isinstance(images, str):
        return Outcome(row, "", images, None, unmeasured)
    digest = sha256_bytes(images.stamp.tobytes())
    measured = measure(catalog, row, images)
    if isinstance(measured, str):
        return Outcome(row, digest, measured, None, unmeasured)
    numbers = measured.numbers
    ratio = float(np.log10(numbers["hlr_arcsec"] / numbers["hlr_catalogue_arcsec"]))
    reason = first_failed_cut(numbers, limits) or ""
    return Outcome(row, digest, reason, None if reason else measured, ratio)


def _open(path: Path) -> None:
    global _open_catalog  # noqa: PLW0603  one catalogue per worker process, for all its blocks
    _open_catalog = RealGalaxyCatalog.open(path)


def _try_block(rows: Sequence[int], limits: BankLimits) -> list[Outcome]:
    assert _open_catalog is not None  # set by the pool's initialiser
    return [try_galaxy(_open_catalog, row, limits) for row in rows]
