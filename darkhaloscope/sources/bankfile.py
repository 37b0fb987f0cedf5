"""The bank file: source templates and what is known of them, in one HDF5 file.

``/templates`` is one contiguous float32 array, so every worker of a machine
maps the same pages read-only; ``/columns`` holds one array per quantity;
``/rejected`` every galaxy that was left out and why; the file attribute
``metadata`` is JSON. Nothing in the file depends on when or where it was
written. How a galaxy becomes a template is no concern of this module.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.hashing import canonical_json

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FORMAT_VERSION = 2

TEMPLATE_PX = 96
"""Side of a template."""

TEMPLATE_SCALE_ARCSEC = 0.03
"""Pixel scale of a template: the scale of the COSMOS mosaics."""

SPLITS = ("train", "val", "test")

TEXT_COLUMNS = ("source_id", "split", "background_from")
NUMBER_COLUMNS = (
    "hlr_arcsec",
    "hlr_catalogue_arcsec",
    "mag_f814w",
    "mag_auto",
    "z_phot",
    "g_r",
    "r_z",
    "snr",
    "flux",
    "flux_catalogue",
    "flux_fraction_in_box",
    "blended_flux_fraction",
    "negative_flux_fraction",
    "concentration",
    "clumpiness",
    "segment_px",
    "background",
    "noise_sigma",
    "ra_deg",
    "dec_deg",
)
_METADATA = ("bank_id", "pixel_scale_arcsec", "template_px", "psf_fwhm_arcsec", "deconvolved", "limits")
"""What every bank says of itself."""

_BLOCK = 512
_PAGE_BYTES = 4096


def write_bank(
    path: str | Path,
    *,
    templates: NDArray[np.float32],
    order: IntArray,
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    rejected: Sequence[tuple[str, str]],
    metadata: Mapping[str, Any],
) -> None:
    """Write a bank atomically; equal arguments give equal bytes.

    Parameters
    ----------
    path : path
        Destination.
    templates : ndarray of float32, shape (n, 96, 96)
        May be memory-mapped; it is copied block by block.
    order : ndarray of int64, shape (n,)
        Row i of the bank is ``templates[order[i]]``.
    columns : mapping
        ``TEXT_COLUMNS`` and ``NUMBER_COLUMNS``, each of length n.
    rejected : sequence of (identifier, reason)
        Galaxies left out.
    metadata : mapping
        JSON values.

    Raises
    ------
    StorageError
        If the disk is full.
    """
    with (
        atomic_path(path) as temporary,
        # Large arrays begin on a page: a map of floats at odd addresses would be copied before any use.
        h5py.File(
            temporary,
            "w",
            libver="v110",
            track_order=False,
            alignment_threshold=_PAGE_BYTES,
            alignment_interval=_PAGE_BYTES,
        ) as file,
    ):
        file.attrs["format"] = np.bytes_("dhs-source-bank")
        file.attrs["format_version"] = np.int64(FORMAT_VERSION)
        file.attrs["metadata"] = np.bytes_(canonical_json(dict(metadata)))
        data = file.create_dataset(
            "templates", shape=templates.shape, dtype=np.float32, track_times=False, fillvalue=0.0
        )
        for start in range(0, len(templates), _BLOCK):
            data[start : start + _BLOCK] = templates[order[start : start + _BLOCK]]
        group = file.create_group("columns", track_order=False)
        for name in TEXT_COLUMNS:
            group.create_dataset(name, data=_text(columns[name]), track_times=False)
        for name in NUMBER_COLUMNS:
            values = np.asarray(columns[name], dtype=np.float64)
            group.create_dataset(name, data=values, track_times=False)
        group = file.create_group("rejected", track_order=False)
        group.create_dataset("ident", data=_text([i for i, _ in rejected]), track_times=False)
        group.create_dataset("reason", data=_text([r for _, r in rejected]), track_times=False)


class SourceBank:
    """Source templates with their catalogue truth, read through a memory map.

    Made by :meth:`open`; a context manager.

    Parameters
    ----------
    path : Path
        The bank file.
    metadata : dict
        Configuration, provenance and counts of the build.
    columns : dict
        Arrays by column name.
    templates : ndarray of float32, shape (n, 96, 96)
        Read-only map of the file.
    """

    def __init__(
        self,
        path: Path,
        metadata: dict[str, Any],
        columns: dict[str, NDArray[Any]],
        templates: NDArray[np.float32],
    ) -> None:
        self.path = path
        self.metadata = metadata
        self.columns = columns
        self._templates = templates
        self._row_of = {source_id: row for row, source_id in enumerate(columns["source_id"].tolist())}

    @classmethod
    def open(cls, path: str | Path) -> SourceBank:
        """Open a bank file.

        Raises
        ------
        MissingDataError
            If there is no file.
        DataError
            If it is not a complete bank of this format version, its metadata lacks
            a key, or its templates have another pixel scale.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingDataError(
                describe("Source bank not found", file=path, hint="materialise cosmos_bank first")
            )
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != b"dhs-source-bank":
                    raise DataError(describe("Not a source bank", file=path, field="attribute format"))
                version = int(file.attrs["format_version"])
                if version != FORMAT_VERSION:
                    raise DataError(
                        describe(
                            "Source bank has another format version",
                            file=path,
                            expected=FORMAT_VERSION,
                            got=version,
                            hint="materialise cosmos_bank again",
                        )
                    )
                metadata = json.loads(file.attrs["metadata"])
                columns: dict[str, NDArray[Any]] = {
                    name: file[f"columns/{name}"][:].astype(np.str_) for name in TEXT_COLUMNS
                }
                columns |= {name: file[f"columns/{name}"][:] for name in NUMBER_COLUMNS}
                shape, offset = file["templates"].shape, file["templates"].id.get_offset()
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                describe(
                    "Source bank cannot be read",
                    file=path,
                    got=str(error),
                    hint="the file is truncated or damaged: materialise cosmos_bank again",
                )
            ) from error
        _check_metadata(metadata, path)
        count = len(columns["source_id"])
        if offset is None or shape != (count, TEMPLATE_PX, TEMPLATE_PX):
            raise DataError(
                describe(
                    "Templates do not match the columns",
                    file=path,
                    field="templates",
                    expected=(count, TEMPLATE_PX, TEMPLATE_PX),
                    got=shape,
                )
            )
        templates = np.memmap(path, dtype=np.float32, mode="r", offset=offset, shape=shape)
        return cls(path, metadata, columns, templates)

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def ids(self) -> NDArray[np.str_]:
        """Source identities, shape (n,), sorted."""
        return self.columns["source_id"]

    @property
    def split(self) -> NDArray[np.str_]:
        """``train``, ``val`` or ``test`` for every source, shape (n,)."""
        return self.columns["split"]

    @property
    def hlr_arcsec(self) -> FloatArray:
        """Half-light radius measured on the unlensed source, shape (n,)."""
        return self.columns["hlr_arcsec"]

    @property
    def mag_f814w(self) -> FloatArray:
        """Catalogued F814W magnitude (AB), shape (n,)."""
        return self.columns["mag_f814w"]

    @property
    def z_phot(self) -> FloatArray:
        """Photometric redshift, NaN where unknown, shape (n,)."""
        return self.columns["z_phot"]

    @property
    def g_r(self) -> FloatArray:
        """Measured g - r (AB), NaN where there is no photometry, shape (n,)."""
        return self.columns["g_r"]

    @property
    def r_z(self) -> FloatArray:
        """Measured r - z (AB), NaN where there is no photometry, shape (n,)."""
        return self.columns["r_z"]

    @property
    def snr(self) -> FloatArray:
        """Flux in the segmentation over its white-noise error, shape (n,)."""
        return self.columns["snr"]

    @property
    def pixel_scale_arcsec(self) -> float:
        """Pixel scale of the templates."""
        return float(self.metadata["pixel_scale_arcsec"])

    @property
    def bank_id(self) -> str:
        """Hash of the build's configuration, input files and templates."""
        return str(self.metadata["bank_id"])

    def templates(self, indices: Sequence[int] | IntArray) -> NDArray[np.float32]:
        """Return templates by row.

        Parameters
        ----------
        indices : sequence of int, length k
            Rows; may repeat.

        Returns
        -------
        ndarray of float32, shape (k, 96, 96)
            Each sums to 1; y up and x right as in the catalogue's stamps.
        """
        # Indexing copies the chosen rows alone; np.take would first align, and so read, the whole map.
        chosen = np.asarray(self._templates[np.asarray(indices, dtype=np.int64)])
        if hasattr(mmap, "MADV_DONTNEED"):
            # The system keeps the pages for every process; this one would otherwise grow to the bank's size.
            _map_of(self._templates).madvise(mmap.MADV_DONTNEED)
        return chosen

    def index_of(self, source_id: str) -> int:
        """Return the row of a source.

        Raises
        ------
        DataError
            If the bank does not hold it.
        """
        if source_id not in self._row_of:
            raise DataError(
                describe(
                    "Source is not in the bank",
                    file=self.path,
                    field="source_id",
                    got=repr(source_id),
                    hint="the manifest was made with another bank: materialise manifest again",
                )
            )
        return self._row_of[source_id]

    def close(self) -> None:
        """Drop the memory map; arrays already returned stay valid."""
        self._templates = np.empty((0, TEMPLATE_PX, TEMPLATE_PX), dtype=np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _map_of(array: NDArray[Any]) -> mmap.mmap:
    """Return the map below a memory-mapped array, which numpy keeps as its base."""
    base: Any = array
    while not isinstance(base, mmap.mmap):
        base = base.base
    return base


def _check_metadata(metadata: Mapping[str, Any], path: Path) -> None:
    for key in _METADATA:
        if key not in metadata:
            raise DataError(
                describe(
                    "Source bank lacks metadata",
                    file=path,
                    field=key,
                    got=f"only {sorted(metadata)}",
                    hint="materialise cosmos_bank again",
                )
            )
    for key, expected in (("pixel_scale_arcsec", TEMPLATE_SCALE_ARCSEC), ("template_px", TEMPLATE_PX)):
        if metadata[key] != expected:
            raise DataError(
                describe(
                    "Source bank has templates of another geometry",
                    file=path,
                    field=key,
                    expected=expected,
                    got=metadata[key],
                    hint="the renderer takes templates of this geometry only: materialise cosmos_bank again",
                )
            )


def _text(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.bytes_]:
    encoded = [str(value).encode() for value in values]
    return np.array(encoded, dtype=f"S{max((len(value) for value in encoded), default=1) or 1}")
