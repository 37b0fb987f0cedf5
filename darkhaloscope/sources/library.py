"""What a set of sources offers, whoever made it, and how one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.sources.bankfile import SourceBank
from darkhaloscope.sources.sersic import SersicSources


class SourceLibrary(Protocol):
    """Source templates by row, with identity, split, size, magnitude and redshift.

    Arrays have shape (n,), templates (k, 96, 96); see :class:`SourceBank`.
    """

    metadata: dict[str, Any]

    @property
    def ids(self) -> NDArray[np.str_]:
        """Source identities."""
        ...

    @property
    def split(self) -> NDArray[np.str_]:
        """``train``, ``val`` or ``test``."""
        ...

    @property
    def hlr_arcsec(self) -> NDArray[np.float64]:
        """Half-light radius of the unlensed source."""
        ...

    @property
    def mag_f814w(self) -> NDArray[np.float64]:
        """F814W magnitude (AB)."""
        ...

    @property
    def z_phot(self) -> NDArray[np.float64]:
        """Photometric redshift, NaN where unknown."""
        ...

    @property
    def g_r(self) -> NDArray[np.float64]:
        """Measured g - r (AB), NaN where there is no photometry."""
        ...

    @property
    def r_z(self) -> NDArray[np.float64]:
        """Measured r - z (AB), NaN where there is no photometry."""
        ...

    @property
    def snr(self) -> NDArray[np.float64]:
        """Signal-to-noise ratio of the template."""
        ...

    @property
    def pixel_scale_arcsec(self) -> float:
        """Pixel scale of the templates."""
        ...

    @property
    def bank_id(self) -> str:
        """Hash of what made the sources."""
        ...

    def templates(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return templates by row."""
        ...

    def index_of(self, source_id: str) -> int:
        """Return the row of a source."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __len__(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_sources(kind: Literal["cosmos", "sersic"], bank_path: str | Path) -> SourceLibrary:
    """Open the sources that an experiment asks for.

    Parameters
    ----------
    kind : str
        ``cosmos`` for the bank's templates, ``sersic`` for analytic ones of
        the same sizes and magnitudes.
    bank_path : path
        Bank file.

    Returns
    -------
    SourceLibrary

    Raises
    ------
    ConfigError
        If the kind is unknown.
    DataError
        If the bank cannot be read.
    """
    if kind == "cosmos":
        return SourceBank.open(bank_path)
    if kind == "sersic":
        return SersicSources.open(bank_path)
    raise ConfigError(
        describe("Unknown kind of sources", field="sources.kind", expected="cosmos or sersic", got=repr(kind))
    )


def shared_sources(kind: Literal["cosmos", "sersic"], bank_path: str | Path) -> SourceLibrary:
    """Return the sources of :func:`open_sources`, kept open for the next unit of this process.

    A bank of other content is another file to the system, and is opened anew.
    """
    try:
        status = Path(bank_path).stat()
    except OSError:
        return open_sources(kind, bank_path)  # which says what is wrong
    return _kept_open(kind, str(bank_path), status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _kept_open(
    kind: Literal["cosmos", "sersic"], bank_path: str, *_identity_of_the_file: int
) -> SourceLibrary:
    return open_sources(kind, bank_path)
