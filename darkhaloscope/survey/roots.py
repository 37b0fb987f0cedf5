"""Where the survey's files are: a local tree, an HPC file system, S3 or a web server, by one setting.

A root turns a path below it into a local file. Local roots give the file that
is there; remote ones fetch it into a bounded cache (``cache``). What the files
are called is said in ``layout``, what is in them elsewhere.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from darkhaloscope.errors import ConfigError, MissingDataError, describe
from darkhaloscope.survey.cache import FileCache
from darkhaloscope.survey.transport import Transport, open_transport

_REMOTE = ("https://", "http://", "s3://")


@dataclass(frozen=True)
class RootSettings:
    """What has to be said about a survey root; JSON-serialisable, so it travels with work units.

    Parameters
    ----------
    location : str
        Directory, ``s3://bucket/prefix`` or ``https://host/path``: the folder
        that holds ``survey-bricks.fits.gz``.
    cache : str
        Directory of fetched files; needed for remote locations.
    cache_gb : float
        Size the cache is kept below.
    in_flight : int
        Files fetched at once by all processes of this machine.
    checksums : str
        File of ``sha256sum`` lines with paths below the root; fetched files
        that it lists are verified. Empty: size and format are verified alone.
    s3_endpoint : str
        Address of an S3 server other than Amazon's, ``http://host:port``. Empty:
        the environment's ``AWS_ENDPOINT_URL``, or Amazon.
    """

    location: str
    cache: str = ""
    cache_gb: float = 50.0
    in_flight: int = 4
    checksums: str = ""
    s3_endpoint: str = ""

    @property
    def remote(self) -> bool:
        """Whether files have to be fetched."""
        return self.location.startswith(_REMOTE)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that :func:`open_root` takes."""
        return asdict(self)


class SurveyRoot(ABC):
    """Files below a survey root."""

    settings: RootSettings

    @abstractmethod
    def path(self, relative: str) -> Path:
        """Return the local path of a file, fetching it if need be.

        Parameters
        ----------
        relative : str
            Path below the root, with ``/``.

        Raises
        ------
        MissingDataError
            If the survey does not hold it.
        DataError
            If what was fetched is not the file, after every retry.
        EngineError
            If the server cannot be reached.
        """

    @abstractmethod
    def names(self, directory: str, pattern: str) -> list[str]:
        """Return the sorted names in a directory that match a shell pattern; none if it is absent."""

    @abstractmethod
    def present(self, directory: str) -> frozenset[str] | None:
        """Return the names in a directory; None where asking costs a request per directory."""

    @abstractmethod
    def size(self, relative: str) -> int | None:
        """Return the bytes of a file; None where asking costs a request per file."""

    def where(self, relative: str) -> str:
        """Return the full place of a file, for messages."""
        return f"{self.settings.location.rstrip('/')}/{relative}"


class LocalRoot(SurveyRoot):
    """A tree on a file system of this machine."""

    def __init__(self, settings: RootSettings) -> None:
        self.settings = settings
        self._top = Path(settings.location)

    def path(self, relative: str) -> Path:
        """Return the path, whether or not a file is there: the reader says what it lacks."""
        return self._top / relative

    def names(self, directory: str, pattern: str) -> list[str]:
        """Return the sorted names in a directory that match a shell pattern."""
        return sorted(name for name in self.present(directory) if fnmatch(name, pattern))

    def present(self, directory: str) -> frozenset[str]:
        """Return the names in a directory; empty if it is absent."""
        try:
            return frozenset(entry.name for entry in (self._top / directory).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    def size(self, relative: str) -> int:
        """Return the bytes of a file."""
        return self.path(relative).stat().st_size


class RemoteRoot(SurveyRoot):
    """A tree behind a network, read through a cache of whole files."""

    def __init__(self, settings: RootSettings) -> None:
        if not settings.cache:
            raise ConfigError(
                describe(
                    "A remote survey root needs a cache",
                    field="coadd_cache",
                    expected="a directory on a local disk",
                    got="none",
                    hint="set coadd_cache; about 75 MB per brick are fetched",
                )
            )
        self.settings = settings
        self._transport: Transport = open_transport(settings.location, settings.s3_endpoint)
        self._cache = FileCache(
            settings.cache,
            self._transport,
            max_bytes=int(settings.cache_gb * 1e9),
            in_flight=settings.in_flight,
            sha256=_read_checksums(settings.checksums),
        )

    def path(self, relative: str) -> Path:
        """Return the cached file, fetched and verified first if it is not there."""
        return self._cache.fetch(relative)

    def names(self, directory: str, pattern: str) -> list[str]:
        """Return the sorted names that the server lists."""
        return sorted(name for name in self._transport.names(directory) if fnmatch(name, pattern))

    def present(self, directory: str) -> None:  # the interface names it
        """Return None: a request for each of 366,898 bricks is not asked of a server."""

    def size(self, relative: str) -> None:  # the interface names it
        """Return None."""


Root = str | Path | RootSettings | dict[str, Any] | SurveyRoot
"""What names a survey root: a location, its settings, their JSON form, or the root itself."""


def open_root(root: Root) -> SurveyRoot:
    """Return the root that a location, its settings or their JSON form stand for.

    Raises
    ------
    ConfigError
        If a remote location has no cache, or the scheme is unknown.
    """
    if isinstance(root, SurveyRoot):
        return root
    if isinstance(root, str | Path):
        return _opened(RootSettings(str(root)))
    return _opened(root if isinstance(root, RootSettings) else RootSettings(**root))


@cache
def _opened(settings: RootSettings) -> SurveyRoot:
    check_location(settings.location)
    if settings.remote:
        return RemoteRoot(settings)
    return LocalRoot(settings)


def check_location(location: str) -> None:
    """Refuse what can be no survey root; whether one is there shows when it is read.

    Raises
    ------
    ConfigError
        If the scheme is unknown, or an address names no host or bucket.
    """
    scheme = re.match(r"^([A-Za-z][A-Za-z0-9+.-]*):/", location)
    if location.startswith(_REMOTE):
        problem = "" if urlsplit(location).netloc else "no host or bucket"
    elif scheme:
        problem = f"the scheme {scheme[1]}"
    else:
        problem = "" if location.strip() else "nothing"
    if problem:
        raise ConfigError(
            describe(
                "Not a survey root",
                field="survey_root",
                expected="a directory, s3://bucket/prefix or https://host/path",
                got=f"{location!r}: {problem}",
                hint="name the folder that holds survey-bricks.fits.gz",
            )
        )


def _read_checksums(path: str) -> dict[str, str]:
    """Read ``sha256sum`` lines: digest, blanks, path."""
    if not path:
        return {}
    if not Path(path).is_file():
        raise MissingDataError(describe("List of checksums not found", file=path, field="checksums"))
    found = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        digest, _, name = line.strip().partition(" ")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digest) or not name.strip():
            raise ConfigError(
                describe(
                    "Not a line of sha256sum",
                    file=path,
                    line=number,
                    expected="64 hexadecimal digits and a path",
                    got=line[:80],
                )
            )
        found[name.strip().lstrip("*").removeprefix("./")] = digest.lower()
    return found
