"""Progress of long work: stage, rate and time left, on a terminal or in a log.

On a terminal a bar is drawn; elsewhere a line is logged at most every ten
seconds, so that a log of an hour stays readable.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_LOG_INTERVAL_S = 10.0


class _RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """Return the current rate as text."""
        return Text(f"{task.speed or 0.0:,.1f}/s", style="progress.data.speed")


def track(items: Iterable[T], *, total: int, label: str, weight: int = 1) -> Iterator[T]:
    """Yield from ``items`` while showing progress.

    Parameters
    ----------
    items : iterable
        What to go through.
    total : int
        Expected number of items times ``weight``.
    label : str
        Stage and unit, for example ``"inject gen6 [stamps]"``.
    weight : int
        Units of progress per item.
    """
    if sys.stderr.isatty():
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
            task = bar.add_task(label, total=total)
            for item in items:
                yield item
                bar.advance(task, weight)
        return
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += weight
        now = time.monotonic()
        if now - last >= _LOG_INTERVAL_S:
            rate = done / (now - started)
            left = (total - done) / rate if rate else float("inf")
            _LOG.info("%s: %d of %d, %.1f/s, %.0f s left", label, done, total, rate, left)
            last = now
