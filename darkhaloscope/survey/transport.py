"""Getting one file from S3 or a web server, politely: retries, backoff, sizes.

A transport fetches and lists. Where files are kept, and whether they are the
right ones, is the concern of ``cache``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

import pyarrow.fs as pafs

from darkhaloscope.errors import DataError, EngineError, MissingDataError, describe

ATTEMPTS = 5
"""Times a transfer is tried."""

FIRST_WAIT_S = 1.0
"""Pause before the second try; doubled before each further one, unless the server names its own."""

LONGEST_WAIT_S = 60.0

TIMEOUT_S = (10.0, 60.0)
"""To connect, and between two pieces of a body."""

_BUSY = (429, 500, 502, 503, 504)
_PIECE = 1 << 20
_LINK = re.compile(r'href="([^"?#]+)"', re.IGNORECASE)

Pause = Callable[[float], None]


class Transport(Protocol):
    """How files of a remote root are reached."""

    def download(self, relative: str, target: Path) -> int:
        """Write a file to ``target`` and return the number of bytes the server promised."""
        ...

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory."""
        ...


class Interrupted(Exception):  # noqa: N818 # a state of one transfer, not an error of the program
    """A transfer that is worth another try.

    Parameters
    ----------
    reason : str
        What happened.
    wait_s : float or None
        Pause the server asked for.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def with_retries(what: str, attempt: Callable[[], Any], pause: Pause = time.sleep) -> Any:
    """Run ``attempt`` until it is not interrupted, waiting longer each time.

    Raises
    ------
    EngineError
        If the last of ``ATTEMPTS`` is interrupted, too.
    """
    wait = FIRST_WAIT_S
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except Interrupted as interruption:
            if number == ATTEMPTS:
                raise EngineError(
                    describe(
                        "Cannot fetch from the survey",
                        file=what,
                        got=f"{interruption} on the last of {ATTEMPTS} tries",
                        hint="check the network; what was fetched so far is kept and the step resumes",
                    )
                ) from interruption
            asked = interruption.wait_s
            pause(min(wait if asked is None else asked, LONGEST_WAIT_S))
            wait *= 2.0
    raise AssertionError


class WebTransport:
    """Files behind http or https."""

    def __init__(self, location: str, pause: Pause = time.sleep) -> None:
        import requests  # only remote roots need it

        self.base = location.rstrip("/")
        self._pause = pause
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "dark-halo-scope"
        self._session.headers["Accept-Encoding"] = "identity"  # sizes must be those of the files
        self._failures = (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        )

    def download(self, relative: str, target: Path) -> int:
        """Write a file; a transfer that breaks is started again."""
        return self.download_url(f"{self.base}/{quote(relative)}", target)

    def download_url(self, url: str, target: Path) -> int:
        """Write what an address answers."""

        def attempt() -> int:
            with self._get(url) as response:
                promised = response.headers.get("Content-Length")
                with target.open("wb") as handle:
                    for piece in response.iter_content(_PIECE):
                        handle.write(piece)
            got = target.stat().st_size
            if promised is not None and got != int(promised):
                raise Interrupted(f"connection cut after {got} of {promised} bytes")
            return got

        return int(with_retries(url, self._guarded(attempt), self._pause))

    def names(self, directory: str) -> list[str]:
        """Return the names an index page links to."""
        url = f"{self.base}/{quote(directory.rstrip('/'))}/"

        def attempt() -> str:
            with self._get(url) as response:
                return str(response.text)

        try:
            page = with_retries(url, self._guarded(attempt), self._pause)
        except MissingDataError:
            return []
        return linked_names(page)

    def _get(self, url: str) -> Any:
        response = self._session.get(url, stream=True, timeout=TIMEOUT_S)
        if response.status_code in _BUSY:
            asked = response.headers.get("Retry-After", "")
            response.close()
            raise Interrupted(f"HTTP {response.status_code}", float(asked) if asked.isdigit() else None)
        if response.status_code in (404, 410):
            response.close()
            raise MissingDataError(describe("The survey does not hold this file", file=url))
        if response.status_code != 200:
            response.close()
            raise DataError(
                describe(
                    "The server refuses this file",
                    file=url,
                    got=f"HTTP {response.status_code} {response.reason}",
                    hint="open the address in a browser: the mirror may need another path or a login",
                )
            )
        return response

    def _guarded(self, attempt: Callable[[], Any]) -> Callable[[], Any]:
        def guarded() -> Any:
            try:
                return attempt()
            except self._failures as error:
                raise Interrupted(str(error).splitlines()[0][:200]) from error

        return guarded


class S3Transport:
    """Files in an S3 bucket, with Arrow's own client and its retries."""

    def __init__(self, location: str, filesystem: pafs.FileSystem | None = None) -> None:
        if filesystem is None:
            filesystem, self._base = pafs.FileSystem.from_uri(location)
        else:
            self._base = location
        self._files: pafs.FileSystem = filesystem

    def download(self, relative: str, target: Path) -> int:
        """Write a file."""
        key = f"{self._base.rstrip('/')}/{relative}"

        def attempt() -> int:
            try:
                info = self._files.get_file_info(key)
                if info.type != pafs.FileType.File:
                    raise MissingDataError(describe("The survey does not hold this file", file=key))
                with self._files.open_input_stream(key) as stream, target.open("wb") as handle:
                    while piece := stream.read(_PIECE):
                        handle.write(piece)
            except MissingDataError:
                raise
            except OSError as error:
                raise Interrupted(str(error).splitlines()[0][:200]) from error
            return int(info.size)

        return int(with_retries(key, attempt))

    def names(self, directory: str) -> list[str]:
        """Return the names below a prefix."""
        key = f"{self._base.rstrip('/')}/{directory.rstrip('/')}"
        infos = self._files.get_file_info(pafs.FileSelector(key, allow_not_found=True))
        return sorted(info.base_name for info in infos)


def open_transport(location: str) -> Transport:
    """Return the transport of an ``s3://``, ``http://`` or ``https://`` location."""
    return S3Transport(location) if location.startswith("s3://") else WebTransport(location)


def linked_names(page: str) -> list[str]:
    """Return the file names that the index page of a web directory links to."""
    names = (unquote(unescape(link)).removeprefix("./") for link in _LINK.findall(page))
    return sorted({name for name in names if name and "/" not in name and not name.startswith(".")})
