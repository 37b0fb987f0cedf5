"""Fetched survey files on a local disk: verified, shared by processes, bounded.

A file enters complete or not at all. Any number of processes may ask for the
same file; one fetches, the others wait. The least recently used files leave
when the cache outgrows its limit. How bytes travel is said in ``transport``.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.errors import DataError, StorageError, describe
from darkhaloscope.hashing import sha256_bytes, sha256_file
from darkhaloscope.survey.transport import ATTEMPTS, Transport

_FITS_BLOCK = 2880
_LOCKS = ".locks"
_POLL_S = 0.05


class FileCache:
    """Whole files of a remote root.

    Parameters
    ----------
    directory : path
        Where they are kept, below it as below the root.
    transport : Transport
        How they are fetched.
    max_bytes : int
        Size the cache is kept below; one file may exceed it alone.
    in_flight : int
        Transfers at once, over all processes that use the directory.
    sha256 : mapping from relative path to digest
        Known digests; others are verified by size and format.
    """

    def __init__(
        self,
        directory: str | Path,
        transport: Transport,
        *,
        max_bytes: int,
        in_flight: int,
        sha256: Mapping[str, str],
    ) -> None:
        self._top = Path(directory)
        self._transport = transport
        self._max_bytes = max_bytes
        self._in_flight = in_flight
        self._sha256 = dict(sha256)
        (self._top / _LOCKS).mkdir(parents=True, exist_ok=True)

    def fetch(self, relative: str) -> Path:
        """Return the local copy of a file.

        Raises
        ------
        MissingDataError
            If the survey does not hold it.
        DataError
            If it arrives damaged every time.
        EngineError
            If it cannot be reached.
        StorageError
            If the disk is full.
        """
        final = self._top / relative
        if self._touch(final):
            return final
        with self._locked(f"file-{sha256_bytes(relative.encode())[:32]}"):
            if self._touch(final):  # another process fetched it meanwhile
                return final
            with self._slot():
                self._download(relative, final)
        self._evict(keep=final)
        return final

    def size_bytes(self) -> int:
        """Return the bytes held."""
        return sum(size for _, size, _ in self._held())

    def _download(self, relative: str, final: Path) -> None:
        problem = ""
        for _ in range(ATTEMPTS):
            with _discarded(final) as temporary:
                promised = self._transport.download(relative, temporary)
                problem = self._fault(relative, temporary, promised)
                if not problem:
                    with atomic_path(final) as target:
                        temporary.replace(target)
                    return
        raise DataError(
            describe(
                "Fetched file is damaged",
                file=relative,
                got=f"{problem}, {ATTEMPTS} times",
                hint="the mirror's copy is faulty: report it, or use another root",
            )
        )

    def _fault(self, relative: str, path: Path, promised: int) -> str:
        """Say what is wrong with a fetched file; empty if nothing is."""
        size = path.stat().st_size
        if size != promised:
            return f"{size} of {promised} bytes"
        known = self._sha256.get(relative)
        if known is not None:
            got = sha256_file(path)
            return "" if got == known else f"sha256 {got[:12]}..., not {known[:12]}..."
        with path.open("rb") as handle:
            start = handle.read(9)
        if relative.endswith(".gz"):
            return "" if start[:2] == b"\x1f\x8b" else "no gzip file (an error page?)"
        if relative.endswith((".fits", ".fits.fz")):
            if start != b"SIMPLE  =":
                return "no FITS file (an error page?)"
            if size % _FITS_BLOCK:
                return f"{size} bytes, not whole FITS blocks"
        return ""

    def _touch(self, path: Path) -> bool:
        """Note that a file is used; False if it is not there."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _held(self) -> list[tuple[float, int, Path]]:
        """Return (last use, bytes, path) of every file, oldest first."""
        found = []
        for path in self._top.rglob("*"):
            if _LOCKS in path.parts or path.name.startswith("."):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:  # evicted by another process
                continue
            if path.is_file():
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _evict(self, keep: Path) -> None:
        """Remove the least recently used files until the rest fits; a reader that has one open keeps it."""
        with self._locked("evict"):
            held = self._held()
            total = sum(size for _, size, _ in held)
            for _, size, path in held:
                if total <= self._max_bytes:
                    return
                if path != keep:
                    path.unlink(missing_ok=True)
                    total -= size

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock shared by processes; it falls with the process that holds it."""
        with (self._top / _LOCKS / name).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Hold one of the ``in_flight`` places."""
        while True:
            for number in range(self._in_flight):
                handle = (self._top / _LOCKS / f"slot-{number}").open("w")
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    handle.close()
                    continue
                try:
                    yield
                finally:
                    handle.close()
                return
            time.sleep(_POLL_S)


@contextmanager
def _discarded(final: Path) -> Iterator[Path]:
    """Yield a path beside ``final`` that is gone afterwards unless it was moved away."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        yield temporary
    except OSError as error:
        if isinstance(error, StorageError) or error.errno is None:
            raise
        raise StorageError(
            describe("Cannot keep a fetched file", file=final, got=str(error), hint="free disk space")
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
