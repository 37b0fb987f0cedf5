"""Getting one file from S3 or a web server, politely: retries, backoff, sizes.

A transport fetches and lists. Where files are kept, and whether they are the
right ones, is the concern of ``cache``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pyarrow.fs as pafs

from darkhaloscope.errors import ConfigError, DataError, EngineError, MissingDataError, describe

ATTEMPTS = 5
"""Times a transfer is tried."""

FIRST_WAIT_S = 1.0
"""Pause before the second try; doubled before each further one, unless the server names its own."""

LONGEST_WAIT_S = 60.0

TIMEOUT_S = (10.0, 60.0)
"""To connect, and between two pieces of a body."""

_BUSY = (429, 500, 502, 503, 504)
_PIECE = 1 << 20
_S3_OPTIONS = ("region", "anonymous")
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
    """Files in an S3 bucket, with Arrow's own client and its retries.

    Credentials, region and addresses are those of the AWS tools: environment,
    ``~/.aws``, or the role of the machine.

    Parameters
    ----------
    location : str
        ``s3://bucket/prefix``; for a bucket that anybody may read with
        ``?anonymous=true``, and ``&region=us-west-2`` if the environment names none.
    endpoint : str
        ``http://host:port`` of a server other than Amazon's; empty: that of the
        environment.
    filesystem : pyarrow.fs.FileSystem, optional
        Another file system, on which ``location`` is a directory.

    Raises
    ------
    ConfigError
        If the location has no bucket or an unknown option.
    """

    def __init__(
        self,
        location: str,
        endpoint: str = "",
        filesystem: pafs.FileSystem | None = None,
        pause: Pause = time.sleep,
    ) -> None:
        self._pause = pause
        if filesystem is None:
            filesystem, self._base = _open_s3(location, endpoint or os.environ.get("AWS_ENDPOINT_URL", ""))
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
                with self._stream(key) as stream, target.open("wb") as handle:
                    while piece := stream.read(_PIECE):
                        handle.write(piece)
            except MissingDataError:
                raise
            except OSError as error:
                raise Interrupted(str(error).splitlines()[0][:200]) from error
            return int(info.size)

        return int(with_retries(key, attempt, self._pause))

    def _stream(self, key: str) -> Any:
        # By default Arrow unpacks what is called .gz, and files must arrive as they are.
        return self._files.open_input_stream(key, compression=None)

    def names(self, directory: str) -> list[str]:
        """Return the names below a prefix."""
        key = f"{self._base.rstrip('/')}/{directory.rstrip('/')}"
        infos = self._files.get_file_info(pafs.FileSelector(key, allow_not_found=True))
        return sorted(info.base_name for info in infos)


def open_transport(location: str, s3_endpoint: str = "") -> Transport:
    """Return the transport of an ``s3://``, ``http://`` or ``https://`` location."""
    if location.startswith("s3://"):
        return S3Transport(location, s3_endpoint)
    return WebTransport(location)


def _open_s3(location: str, endpoint: str) -> tuple[pafs.S3FileSystem, str]:
    """Return the file system of an S3 location, and the path in it: bucket/prefix."""
    address = urlsplit(location)
    options = dict(parse_qsl(address.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_S3_OPTIONS))
    if unknown or not address.netloc:
        raise ConfigError(
            describe(
                "S3 location",
                field="survey_root",
                expected=f"s3://bucket/prefix, options {', '.join(_S3_OPTIONS)}",
                got=f"{location}: " + (f"unknown option {unknown[0]}" if unknown else "no bucket"),
            )
        )
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    how: dict[str, Any] = {"anonymous": options.get("anonymous") == "true"}
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        how |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
    elif region is None:
        region = pafs.resolve_s3_region(address.netloc)
    return pafs.S3FileSystem(region=region or "us-east-1", **how), address.netloc + address.path


def linked_names(page: str) -> list[str]:
    """Return the file names that the index page of a web directory links to."""
    names = (unquote(unescape(link)).removeprefix("./") for link in _LINK.findall(page))
    return sorted({name for name in names if name and "/" not in name and not name.startswith(".")})
