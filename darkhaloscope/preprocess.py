"""What the model sees: the one definition used by training, gates, inference and anchors.

A :class:`PreprocessSpec` is made from the experiment, fitted once on the
training metadata, stored in the checkpoint and hashed into every score file.
It turns stamps into normalised images and condition columns into standardised
features, and it refuses any column that is not known at inference. Reading
stamps and augmenting them are not its business.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from darkhaloscope.config import Preprocess
from darkhaloscope.errors import ConfigError, ContractError, DataError, describe
from darkhaloscope.hashing import hash_json
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.schema import BANDS, STAMPS, Role
from darkhaloscope.statistics.robust import median_and_sigma

FloatImages = NDArray[np.float32]

_VERSION = 1
_METADATA_LIMIT_SIGMA = 5.0
_BLUR_SIGMA_PX = 3.0


@dataclass(frozen=True)
class PreprocessSpec:
    """How stamps and conditions become the model's input.

    Parameters
    ----------
    bands : tuple of str
        Bands of the input images, in order.
    crop_px : int
        Side of the square the model sees; larger stamps are cropped about their centre.
    normalisation : str
        ``outer_mad`` subtracts the median and divides by 1.4826 MAD of the
        pixels at r > ``crop_px`` / 4, per stamp and band; ``raw_mad`` takes all
        pixels.
    clip : float
        Normalised values are clipped to [-clip, clip].
    centre : str
        ``none``; ``mask`` sets r < ``centre_radius_px`` to 0; ``blur`` replaces
        it by the image smoothed with a Gaussian of 3 px; ``noise`` replaces it
        by unit normal noise keyed by the stamp's own content.
    centre_radius_px : float
        Radius of the centre treatment; without effect for ``none``.
    metadata_columns : tuple of str
        Columns of the stamp schema with role ``condition``.
    metadata_mean, metadata_scale : tuple of float
        Mean and standard deviation of each column over the training rows;
        empty until :meth:`fit_metadata`.

    Raises
    ------
    ConfigError
        If a metadata column is unknown, not numeric, or not a condition.
    """

    bands: tuple[str, ...]
    crop_px: int
    normalisation: str
    clip: float
    centre: str
    centre_radius_px: float
    metadata_columns: tuple[str, ...]
    metadata_mean: tuple[float, ...] = ()
    metadata_scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in self.metadata_columns:
            _require_condition(name)
        if len(self.metadata_mean) != len(self.metadata_scale):
            raise ContractError("metadata_mean and metadata_scale must have one length")

    @classmethod
    def from_config(
        cls, preprocess: Preprocess, *, crop_px: int, bands: tuple[str, ...] = BANDS
    ) -> PreprocessSpec:
        """Build an unfitted spec from an experiment's section and the stamp side in pixels."""
        return cls(
            bands=bands,
            crop_px=crop_px,
            normalisation=preprocess.normalisation,
            clip=preprocess.clip,
            centre=preprocess.centre,
            centre_radius_px=preprocess.centre_radius_px,
            metadata_columns=preprocess.metadata,
        )

    @property
    def fitted(self) -> bool:
        """Whether the metadata scaling is known."""
        return len(self.metadata_mean) == len(self.metadata_columns)

    @property
    def sha256(self) -> str:
        """Hash of every field: equal hash, equal input to the model."""
        return hash_json(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values with a format version."""
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {"version": _VERSION, **fields}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Restore a spec from :meth:`to_dict`.

        Raises
        ------
        DataError
            If the dict was written by another version or its fields differ.
        """
        fields = dict(value)
        version = fields.pop("version", None)
        known = set(cls.__dataclass_fields__)
        if version != _VERSION or set(fields) != known:
            raise DataError(
                describe(
                    "Preprocess spec",
                    expected=f"version {_VERSION} with fields {sorted(known)}",
                    got=f"version {version} with fields {sorted(fields)}",
                    hint="train again with this version",
                )
            )
        restored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**restored)

    def fit_metadata(self, table: pa.Table) -> PreprocessSpec:
        """Return a copy whose metadata scaling is that of ``table``.

        Parameters
        ----------
        table : pyarrow.Table
            Training rows with the metadata columns.

        Raises
        ------
        DataError
            If a column is missing, null or not finite somewhere, constant, or
            if there are fewer than two rows.
        """
        raw = self._raw_metadata(table)
        if self.metadata_columns and len(raw) < 2:
            raise DataError(describe("Metadata cannot be scaled", expected="two rows or more", got=len(raw)))
        mean = raw.mean(axis=0)
        scale = raw.std(axis=0)
        for name, centre, width in zip(self.metadata_columns, mean, scale, strict=True):
            # a column of equal values has a width of rounding errors, not exactly zero
            if width <= 1e-9 * max(1.0, abs(centre)):
                raise DataError(
                    describe(
                        "Metadata column is constant over the training rows",
                        field=name,
                        expected="values that vary",
                        got=f"{centre:g} in {len(raw)} rows",
                        hint="take it out of preprocess.metadata",
                    )
                )
        return replace(
            self,
            metadata_mean=tuple(float(v) for v in mean),
            metadata_scale=tuple(float(v) for v in scale),
        )

    def metadata(self, table: pa.Table) -> FloatImages:
        """Return the standardised condition columns of ``table``.

        Values further than 5 standard deviations from the training mean are
        taken to lie at 5, where the model has at least seen its neighbours.

        Parameters
        ----------
        table : pyarrow.Table
            Rows with the metadata columns.

        Returns
        -------
        ndarray of float32, shape (n, k)
            One column per metadata column, in order; k may be 0.

        Raises
        ------
        ContractError
            If the spec has not been fitted.
        DataError
            If a column is missing, or null or not finite in some row.
        """
        if not self.fitted:
            raise ContractError("PreprocessSpec must be fitted on training metadata before use")
        raw = self._raw_metadata(table)
        scaled = (raw - np.asarray(self.metadata_mean)) / np.asarray(self.metadata_scale)
        limited = np.clip(scaled, -_METADATA_LIMIT_SIGMA, _METADATA_LIMIT_SIGMA)
        return np.ascontiguousarray(limited, dtype=np.float32)

    def images(self, stamps: NDArray[Any]) -> FloatImages:
        """Normalise stamps.

        Each row depends on itself alone, so any batching gives the same bits.

        Parameters
        ----------
        stamps : ndarray, shape (n, bands, side, side)
            nMgy per pixel; side >= ``crop_px``.

        Returns
        -------
        ndarray of float32, shape (n, bands, crop_px, crop_px)
            In units of the sky's standard deviation, clipped.

        Raises
        ------
        DataError
            Naming the first row that is not finite or has a band without any
            scatter in the normalisation region, or the wrong shape.
        """
        cropped = self._crop(stamps)
        self._require(_rowwise_all(np.isfinite(cropped)), "Stamp has NaN or infinite pixels")
        median, sigma = median_and_sigma(cropped, self._region())
        self._require(_rowwise_all(sigma > 0.0), "Stamp has a band without scatter")
        out = (cropped - median[:, :, None, None]) * (np.float32(1.0) / sigma[:, :, None, None])
        if self.centre != "none":
            self._treat_centre(out)
        clipped: FloatImages = np.clip(out, -self.clip, self.clip, out=out)
        return clipped

    def statistics(self, stamps: NDArray[Any]) -> tuple[FloatImages, FloatImages]:
        """Return the per-band median and 1.4826 MAD that :meth:`images` would use.

        Parameters
        ----------
        stamps : ndarray, shape (n, bands, side, side)
            nMgy per pixel.

        Returns
        -------
        median, sigma : ndarray of float32, shape (n, bands)
            nMgy per pixel.
        """
        return median_and_sigma(self._crop(stamps), self._region())

    def valid_rows(self, stamps: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which stamps :meth:`images` accepts, so that the others get a status.

        Parameters
        ----------
        stamps : ndarray, shape (n, bands, side, side)
            nMgy per pixel.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        cropped = self._crop(stamps)
        valid = _rowwise_all(np.isfinite(cropped))
        _, sigma = median_and_sigma(cropped[valid], self._region())
        valid[valid] = _rowwise_all(sigma > 0.0)
        return valid

    def _crop(self, stamps: NDArray[Any]) -> FloatImages:
        expected = f"(n, {len(self.bands)}, side >= {self.crop_px}, same side)"
        shape = stamps.shape
        wrong = stamps.ndim != 4 or shape[1] != len(self.bands) or shape[2] != shape[3]
        if wrong or shape[2] < self.crop_px:
            raise DataError(describe("Stamps have the wrong shape", expected=expected, got=shape))
        # with sides of different parity the centre moves by half a pixel
        start = (shape[2] - self.crop_px) // 2
        window = slice(start, start + self.crop_px)
        return np.asarray(stamps[:, :, window, window], dtype=np.float32)

    def _region(self) -> NDArray[np.intp]:
        return outer_pixels(self.crop_px) if self.normalisation == "outer_mad" else _all_pixels(self.crop_px)

    def _require(self, good: NDArray[np.bool_], what: str) -> None:
        if not good.all():
            rows = np.flatnonzero(~good)
            raise DataError(
                describe(
                    what,
                    row=int(rows[0]),
                    expected="finite, noisy pixels in every band",
                    got=f"{len(rows)} such stamps of {len(good)}",
                    hint="give these rows a status; PreprocessSpec.valid_rows finds them",
                )
            )

    def _treat_centre(self, normalised: FloatImages) -> None:
        centre = _centre_pixels(self.crop_px, self.centre_radius_px)
        if self.centre == "mask":
            normalised[:, :, centre] = 0.0
        elif self.centre == "blur":
            for stamp in normalised:
                for plane in stamp:
                    plane[centre] = gaussian_filter(plane, _BLUR_SIGMA_PX)[centre]
        else:
            shape = (len(self.bands), int(centre.sum()))
            for stamp in normalised:
                stamp[:, centre] = _content_noise(stamp, shape)

    def _raw_metadata(self, table: pa.Table) -> NDArray[np.float64]:
        columns = []
        for name in self.metadata_columns:
            if name not in table.column_names:
                raise DataError(
                    describe("Metadata column is missing", field=name, expected=list(self.metadata_columns))
                )
            values = pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False)
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise DataError(
                    describe(
                        "Metadata is null or not finite",
                        field=name,
                        row=int(bad[0]),
                        expected="a number in every row",
                        got=f"{len(bad)} rows of {len(values)} without one",
                        hint="a missing condition is never filled in; give the row a status",
                    )
                )
            columns.append(values)
        if not columns:
            return np.empty((table.num_rows, 0), dtype=np.float64)
        return np.stack(columns, axis=1)


def _require_condition(name: str) -> None:
    if name not in STAMPS.names(Role.CONDITION):
        role = STAMPS[name].role.value if name in STAMPS.names() else "no column of the stamp schema"
        raise ConfigError(
            describe(
                "Column may not be given to the model",
                field=name,
                expected="a column with role condition",
                got=role,
                hint=f"choose from {STAMPS.names(Role.CONDITION)}",
            )
        )
    if not (pa.types.is_floating(STAMPS[name].type) or pa.types.is_integer(STAMPS[name].type)):
        raise ConfigError(describe("Metadata column", field=name, expected="a number", got=STAMPS[name].type))


def _rowwise_all(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Reduce (n, ...) to (n,): whether all flags of a row are set."""
    flat = flags.reshape(len(flags), math.prod(flags.shape[1:]))
    return np.asarray(np.all(flat, axis=1), dtype=np.bool_)


@lru_cache(maxsize=16)
def _all_pixels(side: int) -> NDArray[np.intp]:
    return np.arange(side * side)


@lru_cache(maxsize=16)
def _centre_pixels(side: int, radius_px: float) -> NDArray[np.bool_]:
    return np.asarray(StampGeometry(side, 1.0).radius_px() < radius_px)


def _content_noise(stamp: FloatImages, shape: tuple[int, ...]) -> FloatImages:
    """Return unit normal noise that is a function of the stamp's bytes alone."""
    key = np.frombuffer(hashlib.blake2b(stamp.tobytes(), digest_size=16).digest(), dtype=np.uint64)
    uniform = np.random.Generator(np.random.Philox(key=key)).random(shape)
    # the generator yields [0, 1); half a step keeps 0 out of the inverse
    return np.asarray(ndtri(uniform + 2.0**-54), dtype=np.float32)
