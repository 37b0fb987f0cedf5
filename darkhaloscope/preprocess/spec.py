"""The record of what a model sees, stored in its checkpoint and hashed into every score file.

A :class:`PreprocessSpec` is made from the experiment and fitted once on the
training metadata. It turns stamps into normalised images and condition columns
into standardised features, and it refuses any column that is not known at
inference, stamps it has already seen, and steps out of order. The steps
themselves are in ``linear`` and ``centre``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Preprocess
from darkhaloscope.errors import ConfigError, ContractError, DataError, describe
from darkhaloscope.hashing import hash_json
from darkhaloscope.preprocess import centre, linear
from darkhaloscope.schema import BANDS, STAMPS, Role
from darkhaloscope.statistics.robust import median_and_sigma

FloatImages = NDArray[np.float32]

_VERSION = 2
_METADATA_LIMIT_SIGMA = 5.0
_ALREADY = 1e-5
"""Median and scatter of a stamp in nMgy are never this near to 0 and 1; those of a normalised one are."""


@dataclass(frozen=True)
class LinearImages:
    """Images between the two halves of a spec: scaled, not yet treated and clipped.

    Parameters
    ----------
    values : ndarray of float32, shape (n, bands, side, side)
        Unclipped.
    scale_sha256 : str
        :attr:`PreprocessSpec.scale_sha256` of the spec that made them.
    """

    values: FloatImages
    scale_sha256: str


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
        pixels; ``residual_radial`` subtracts the median of each ring of 1 px
        first and then does as ``outer_mad``; ``snr`` is image x sqrt(invvar).
    clip : float
        Normalised values are clipped to [-clip, clip].
    centre : str
        ``none``, ``mask``, ``blur`` or ``noise``, see :func:`preprocess.centre.treat`.
    centre_radius_px : float
        Radius of the centre treatment; without effect for ``none``.
    centre_probability : float
        Share of training rows whose centre is treated. Below 1 the treatment is
        an augmentation, and nothing is treated at inference.
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
    centre_probability: float = 1.0
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
            centre_probability=preprocess.centre_probability,
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
        for name, middle, width in zip(self.metadata_columns, mean, scale, strict=True):
            # a column of equal values has a width of rounding errors, not exactly zero
            if width <= 1e-9 * max(1.0, abs(middle)):
                raise DataError(
                    describe(
                        "Metadata column is constant over the training rows",
                        field=name,
                        expected="values that vary",
                        got=f"{middle:g} in {len(raw)} rows",
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

    @property
    def needs_invvar(self) -> bool:
        """Whether images are made from inverse variances as well."""
        return self.normalisation == "snr"

    @property
    def treats_always(self) -> bool:
        """Whether the centre is treated at inference too."""
        return self.centre != "none" and self.centre_probability >= 1.0

    @property
    def scale_sha256(self) -> str:
        """Hash of what :meth:`linear` depends on: specs of equal hash share their linear images."""
        return hash_json([_VERSION, list(self.bands), self.crop_px, self.normalisation])

    def images(self, stamps: NDArray[Any], invvar: NDArray[Any] | None = None) -> FloatImages:
        """Return what the model sees at inference.

        Each row depends on itself alone, so any batching gives the same bits.

        Parameters
        ----------
        stamps : ndarray, shape (n, bands, side, side)
            nMgy per pixel; side >= ``crop_px``.
        invvar : ndarray, shape (n, bands, side, side), optional
            1/nMgy^2; needed by ``snr`` alone.

        Returns
        -------
        ndarray of float32, shape (n, bands, crop_px, crop_px)
            In units of the sky's standard deviation, clipped.

        Raises
        ------
        DataError
            Naming the first row that is not finite, has a band without any
            scatter in the normalisation region, or was normalised before, or
            the wrong shape.
        ContractError
            If inverse variances are needed and not given.
        """
        scaled = self.linear(stamps, invvar)
        return self.finish(scaled, np.full(len(stamps), self.treats_always), stamps)

    def linear(self, stamps: NDArray[Any], invvar: NDArray[Any] | None = None) -> LinearImages:
        """Crop and scale stamps; parameters and errors as in :meth:`images`."""
        cropped = self.cropped(stamps)
        self._require(linear.finite_rows(cropped), "Stamp has NaN or infinite pixels")
        if self.normalisation == "snr":
            return self._as_linear(linear.signal_to_noise(cropped, self._noise_of(invvar, stamps.shape)))
        if self.normalisation == "residual_radial":
            cropped = linear.less_radial_profile(cropped)
        median, sigma = median_and_sigma(cropped, self._region())
        self._require(np.all(sigma > 0.0, axis=1), "Stamp has a band without scatter")
        again = (np.abs(median) < _ALREADY) & (np.abs(sigma - 1.0) < _ALREADY)
        self._require(~np.all(again, axis=1), "Stamp was normalised before")
        return self._as_linear(linear.scaled(cropped, median, sigma))

    def finish(
        self, images: LinearImages, treated: NDArray[np.bool_], stamps: NDArray[Any] | None = None
    ) -> FloatImages:
        """Treat the centre of the chosen rows and clip.

        Parameters
        ----------
        images : LinearImages
            From :meth:`linear` of a spec with the same :attr:`scale_sha256`.
        treated : ndarray of bool, shape (n,)
            Rows whose centre is treated.
        stamps : ndarray, shape (n, bands, side, side), optional
            The stamps the images were made from; they key the noise of ``noise``.

        Raises
        ------
        ContractError
            If the images are not those of :meth:`linear`, or of another scale,
            or noise is asked for without the stamps.
        """
        if not isinstance(images, LinearImages):
            raise ContractError("finish takes what linear returned; stamps go through linear first")
        if images.scale_sha256 != self.scale_sha256:
            raise ContractError("linear images of another spec: crop, bands or normalisation differ")
        out = images.values
        if self.centre != "none" and treated.any():
            if self.centre == "noise" and stamps is None:
                raise ContractError("the noise of a centre is keyed by the stamps, which were not given")
            raw = None if stamps is None else self.cropped(stamps)[treated]
            out = out.copy()
            out[treated] = centre.treat(out[treated], self.centre, self.centre_radius_px, raw)
        clipped: FloatImages = np.clip(out, -self.clip, self.clip)
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
        return median_and_sigma(self.cropped(stamps), self._region())

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
        cropped = self.cropped(stamps)
        valid = linear.finite_rows(cropped)
        if self.normalisation != "snr":
            _, sigma = median_and_sigma(cropped[valid], self._region())
            valid[valid] = np.all(sigma > 0.0, axis=1)
        return valid

    def cropped(self, stamps: NDArray[Any]) -> FloatImages:
        """Return the central square of stamps, in nMgy, shape (n, bands, crop_px, crop_px)."""
        if isinstance(stamps, LinearImages):
            raise ContractError("stamps in nMgy are normalised once; these images have been already")
        return linear.crop(stamps, self.crop_px, len(self.bands))

    def _region(self) -> NDArray[np.intp]:
        return linear.region_of(self.normalisation, self.crop_px)

    def _as_linear(self, values: FloatImages) -> LinearImages:
        return LinearImages(values, self.scale_sha256)

    def _noise_of(self, invvar: NDArray[Any] | None, shape: tuple[int, ...]) -> FloatImages:
        if invvar is None:
            raise ContractError("normalisation snr needs the inverse variances of the stamps")
        if invvar.shape != shape:
            raise ContractError(f"inverse variances must have the shape of the stamps, {shape}")
        return self.cropped(invvar)

    def _require(self, good: NDArray[np.bool_], what: str) -> None:
        if not good.all():
            rows = np.flatnonzero(~good)
            raise DataError(
                describe(
                    what,
                    row=int(rows[0]),
                    expected="finite, noisy pixels in nMgy in every band",
                    got=f"{len(rows)} such stamps of {len(good)}",
                    hint="give these rows a status; PreprocessSpec.valid_rows finds them",
                )
            )

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
