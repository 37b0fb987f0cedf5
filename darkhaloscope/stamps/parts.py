"""What one stamp is made of: its host, the light that was added, and where that light comes from.

For figures and for whoever wants to look inside a row. Nothing is drawn or
measured here; the stamp itself is made in ``compose``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.schema import STAMPS, Role, per_band
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for
from darkhaloscope.stamps.kinds import POSITIVE
from darkhaloscope.stamps.scenes import LENS_COLUMNS
from darkhaloscope.survey.release import get_release

Images = NDArray[np.float32]


@dataclass(frozen=True)
class StampParts:
    """One stamp and what it is made of.

    Parameters
    ----------
    row : dict of str to value
        Every column of the row but its pixels; None where it has no value.
    image, invvar : ndarray of float32, shape (bands, size, size)
        The stamp. Unit: nMgy/px and 1/nMgy^2. Axes (y, x), y north, x west.
    host, host_invvar : ndarray of float32, shape (bands, size, size)
        Its host before anything was added. Unit: nMgy/px and 1/nMgy^2.
    good : ndarray of bool, shape (bands, size, size)
        Pixels with data and without a bad mask bit.
    sky_nmgy : ndarray of float64, shape (bands,)
        Sky level that was removed from the coadd. Unit: nMgy/px.
    pixel_scale_arcsec : float
        Side of a pixel.
    galaxy_arcsec : (float, float)
        Host galaxy relative to the stamp centre, x and y.
    template : ndarray of float32, shape (t, t), or None
        Source of the added light, share of its flux per template pixel.
    template_scale_arcsec : float
        Side of a template pixel.
    """

    row: dict[str, Any]
    image: Images
    invvar: Images
    host: Images
    host_invvar: Images
    good: NDArray[np.bool_]
    sky_nmgy: NDArray[np.float64]
    pixel_scale_arcsec: float
    galaxy_arcsec: tuple[float, float]
    template: Images | None
    template_scale_arcsec: float

    @property
    def is_lensed(self) -> bool:
        """Whether the added light is that of a lensed source."""
        return self.template is not None and self.row["control_kind"] == POSITIVE

    @property
    def added(self) -> Images:
        """Light that was added, photon noise included. Unit: nMgy/px."""
        return self.image - self.host

    def deflector(self) -> dict[str, Any]:
        """Return the arguments of ``lensing.critical`` for the deflector of this row.

        Raises
        ------
        DataError
            If the row carries no lensed light.
        """
        scene = self.scene()
        shared = ("theta_e_arcsec", "gamma1", "gamma2", "lens_x_arcsec", "lens_y_arcsec")
        return {
            "q": scene["lens_q"],
            "phi_rad": scene["lens_phi_rad"],
            **{name: scene[name] for name in shared},
        }

    def scene(self) -> dict[str, Any]:
        """Return the arguments of ``render_lensed`` that make the arc of this row.

        Raises
        ------
        DataError
            If the row carries no lensed light.
        """
        if self.template is None or not self.is_lensed:
            raise DataError(
                describe(
                    "The row carries no lensed light",
                    field="control_kind",
                    row=self.row["task_id"],
                    expected=POSITIVE,
                    got=self.row["control_kind"],
                )
            )
        x_arcsec, y_arcsec = self.galaxy_arcsec
        mag = np.array([self.row[name] for name in per_band("src_mag_{b}")])
        return {
            "templates": self.template[None],
            "template_scale_arcsec": self.template_scale_arcsec,
            "size_px": self.image.shape[-1],
            "pixel_scale_arcsec": self.pixel_scale_arcsec,
            "lens_x_arcsec": x_arcsec + self.row["lens_x_arcsec"],
            "lens_y_arcsec": y_arcsec + self.row["lens_y_arcsec"],
            "src_flip": self.row["src_flip"],
            "psf_fwhm_arcsec": np.array([[self.row[name] for name in per_band("psf_fwhm_{b}_arcsec")]]),
            "flux_nmgy": 10.0 ** (0.4 * (22.5 - mag[None])),
            **{name: self.row[name] for name in LENS_COLUMNS},
        }


def take_apart(
    stamp: pa.Table,
    *,
    experiment: Experiment,
    host_paths: Sequence[str | Path],
    bank_path: str | Path,
) -> StampParts:
    """Find what a stamp is made of.

    Parameters
    ----------
    stamp : pyarrow.Table
        STAMPS, one row that has pixels.
    experiment : Experiment
        The one it belongs to.
    host_paths : sequence of path
        Host cutouts of its tile.
    bank_path : path
        Source bank.

    Returns
    -------
    StampParts

    Raises
    ------
    DataError
        If the row has no pixels.
    """
    scalars = [column.name for column in STAMPS if column.role is not Role.PIXELS]
    (row,) = stamp.select(scalars).to_pylist()
    if row["status"] != "ok":
        raise DataError(
            describe(
                "Stamp has no pixels", field="status", row=row["task_id"], expected="ok", got=row["status"]
            )
        )
    image = tabular.pixels(stamp, "image")[0]
    scale_arcsec = get_release(experiment.survey.release).pixel_scale_arcsec
    hosts = load_hosts_for(experiment, locate_hosts(host_paths, [row["host_id"]]), size_px=image.shape[-1])
    at = hosts.row_of[row["host_id"]]
    x_px, y_px = hosts.offset_px[at]
    template, template_scale_arcsec = None, 0.0
    if row["source_id"] is not None and row["src_flip"] is not None:
        with open_sources(experiment.sources.kind, bank_path) as sources:
            template = sources.templates([sources.index_of(row["source_id"])])[0]
            template_scale_arcsec = sources.pixel_scale_arcsec
    return StampParts(
        row=row,
        image=image,
        invvar=tabular.pixels(stamp, "invvar")[0],
        host=hosts.image[at],
        host_invvar=hosts.invvar[at],
        good=hosts.good[at],
        sky_nmgy=hosts.sky_nmgy[at],
        pixel_scale_arcsec=scale_arcsec,
        galaxy_arcsec=(float(x_px) * scale_arcsec, float(y_px) * scale_arcsec),
        template=template,
        template_scale_arcsec=template_scale_arcsec,
    )
