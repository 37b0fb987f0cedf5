"""Seconds and peak memory of a stage, over the process and all its children.

Memory is the proportional set size where the kernel reports it, so pages that
workers share (a memory-mapped bank) count once; elsewhere the resident size.
"""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_INTERVAL_S = 0.25
_PROC = Path("/proc")


class StageMeter:
    """Measure the block it encloses.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    peak_mb : float
        Largest memory of the process tree seen, in MB (2**20 bytes).
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._started

    def _sample(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, tree_memory_mb())
            if self._stop.wait(_INTERVAL_S):
                return


def process_peak_mb() -> float:
    """Return the largest resident size this process has had, in MB.

    The kernel's high-water mark of this program is preferred: ``ru_maxrss`` of a
    spawned process starts from its parent's.
    """
    try:
        for line in (_PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024.0
    except OSError:  # no /proc here
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def tree_memory_mb() -> float:
    """Return the memory of this process and its descendants now, in MB."""
    if not (_PROC / "self" / "task").is_dir():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return sum(_memory_kb(pid) for pid in _descendants("self")) / 1024.0


def _descendants(pid: str) -> list[str]:
    found = [pid]
    for task in (_PROC / pid / "task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:  # the thread has ended between listing and reading
            continue
        for child in children:
            try:
                found += _descendants(child)
            except OSError:  # the child has ended
                continue
    return found


def _memory_kb(pid: str) -> int:
    try:
        for line in (_PROC / pid / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
        for line in (_PROC / pid / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:  # the process has ended
        return 0
    return 0
