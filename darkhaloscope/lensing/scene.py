"""Scenes: the parameters of a batch of lensed sources, checked, and what follows from them.

A scene is one deflector, one source and one PSF per band. Everything here is
double precision and once per scene; the loops over rays are in ``kernels``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, DataError, describe
from darkhaloscope.lensing import shear, sie
from darkhaloscope.lensing.geometry import StampGeometry

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FWHM_RANGE_ARCSEC = (0.4, 4.0)
SHEAR_MAX = 0.5
TEMPLATE_SUM_TOLERANCE = 2e-3
UNLENSED_FLUX_TOLERANCE = 0.1
_DIRECTIONS = 256


class _Rule(NamedTuple):
    """What one field of every scene must be."""

    field: str
    good: BoolArray
    expected: str
    hint: str | None = None


@dataclass(frozen=True)
class Scenes:
    """Parameters of n scenes with b bands, each field of shape (n,) unless stated.

    Parameters
    ----------
    theta_e_arcsec, lens_q, lens_phi_rad : ndarray
        SIE of the deflector.
    gamma1, gamma2 : ndarray
        Shear, centred on the deflector.
    lens_x_arcsec, lens_y_arcsec : ndarray
        Deflector relative to the stamp centre.
    src_x_arcsec, src_y_arcsec : ndarray
        Source relative to the deflector, in the source plane.
    src_rotation_rad : ndarray
        Template x axis from +x towards +y.
    src_flip : ndarray of bool
        Template mirrored in its x before it is rotated.
    psf_fwhm_arcsec : ndarray, shape (n, b)
        Moffat FWHM.
    flux_nmgy : ndarray, shape (n, b)
        Unlensed flux of the source.
    """

    theta_e_arcsec: FloatArray
    lens_q: FloatArray
    lens_phi_rad: FloatArray
    gamma1: FloatArray
    gamma2: FloatArray
    lens_x_arcsec: FloatArray
    lens_y_arcsec: FloatArray
    src_x_arcsec: FloatArray
    src_y_arcsec: FloatArray
    src_rotation_rad: FloatArray
    src_flip: BoolArray
    psf_fwhm_arcsec: FloatArray
    flux_nmgy: FloatArray

    @classmethod
    def of(cls, n: int, **values: Any) -> Self:
        """Broadcast scalars to n scenes and check every value.

        Raises
        ------
        ContractError
            If a name is missing or unknown, or a shape is not (n,) or, for the two
            per-band fields, (n, b).
        DataError
            If a value is not finite or out of range, naming field and row.
        """
        scenes = cls.unchecked(n, **values)
        scenes.require()
        return scenes

    @classmethod
    def unchecked(cls, n: int, **values: Any) -> Self:
        """Broadcast scalars to n scenes; values may be out of range, as :meth:`faults` tells.

        Raises
        ------
        ContractError
            As :meth:`of`.
        """
        known = {field.name for field in fields(cls)}
        if values.keys() != known:
            difference = sorted(values.keys() ^ known)
            raise ContractError(
                describe("Scenes", field=", ".join(difference), expected=f"exactly {sorted(known)}")
            )
        arrays: dict[str, Any] = {}
        for field in fields(cls):
            dtype = np.bool_ if field.name == "src_flip" else np.float64
            array: NDArray[Any] = np.asarray(values[field.name], dtype=dtype)
            per_band = field.name in {"psf_fwhm_arcsec", "flux_nmgy"}
            if array.ndim == 0 and not per_band:
                array = np.full(n, array)
            if array.ndim != 1 + per_band or array.shape[0] != n:
                raise ContractError(
                    describe(
                        "Scenes",
                        field=field.name,
                        expected=f"shape ({n}, bands)" if per_band else f"shape ({n},)",
                        got=array.shape,
                    )
                )
            arrays[field.name] = array
        scenes = cls(**arrays)
        if scenes.psf_fwhm_arcsec.shape != scenes.flux_nmgy.shape:
            raise ContractError(
                describe(
                    "Scenes",
                    field="psf_fwhm_arcsec",
                    expected=f"the shape of flux_nmgy, {scenes.flux_nmgy.shape}",
                    got=scenes.psf_fwhm_arcsec.shape,
                )
            )
        return scenes

    def _rules(self) -> Iterator[_Rule]:
        """Yield what every value must satisfy, in the order of report."""
        for field in fields(self):
            yield _Rule(field.name, np.isfinite(getattr(self, field.name)), "finite")
        yield _Rule("theta_e_arcsec", self.theta_e_arcsec >= 0.0, "at least 0")
        yield _Rule("lens_q", (self.lens_q >= sie.Q_MIN) & (self.lens_q <= 1.0), f"in [{sie.Q_MIN}, 1]")
        gamma = shear.modulus(self.gamma1, self.gamma2)
        yield _Rule("gamma1", gamma <= SHEAR_MAX, f"a shear of at most {SHEAR_MAX}")
        low, high = FWHM_RANGE_ARCSEC
        fwhm = self.psf_fwhm_arcsec
        yield _Rule(
            "psf_fwhm_arcsec",
            (fwhm >= low) & (fwhm <= high),
            f"in [{low}, {high}] arcsec",
            "a seeing in pixels, or a standard deviation, must be converted",
        )
        yield _Rule("flux_nmgy", self.flux_nmgy >= 0.0, "at least 0")

    def faults(self) -> NDArray[np.object_]:
        """Return for every scene the first field that :meth:`of` would refuse, ``""`` for none."""
        found = np.full(len(self.lens_q), "", dtype=object)
        with np.errstate(invalid="ignore"):  # a value that is not finite fails every rule
            for rule in self._rules():
                good = rule.good if rule.good.ndim == 1 else rule.good.all(axis=1)
                found[~good & (found == "")] = rule.field
        return found

    def require(self) -> None:
        """Refuse values out of range.

        Raises
        ------
        DataError
            Naming field and row of the first.
        """
        for rule in self._rules():
            if not rule.good.all():
                position = tuple(int(i) for i in np.argwhere(~rule.good)[0])
                raise DataError(
                    describe(
                        "Scene parameter out of range",
                        field=rule.field,
                        row=position[0],
                        expected=rule.expected,
                        got=getattr(self, rule.field)[position],
                        hint=rule.hint,
                    )
                )

    def reach_arcsec(self, source_extent_arcsec: Any) -> FloatArray:
        """Return a radius about each deflector beyond which no ray meets the template.

        With position theta relative to the deflector, a ray that meets the
        template satisfies |theta - alpha - shear| <= |source| + extent, so
        |theta| (1 - |gamma|) <= |source| + extent + max |alpha|.

        Parameters
        ----------
        source_extent_arcsec : array_like
            Radius about the centre of the template beyond which it is zero.
        """
        deflection = sie.maximum_deflection(theta_e_arcsec=self.theta_e_arcsec, q=self.lens_q)
        source = np.hypot(self.src_x_arcsec, self.src_y_arcsec) + source_extent_arcsec
        return np.asarray((source + deflection) / (1.0 - shear.modulus(self.gamma1, self.gamma2)))


def check_scales(*, template_scale_arcsec: float, pixel_scale_arcsec: float, size_px: int) -> None:
    """Check the sides of template and output pixels, and the number of output pixels.

    Raises
    ------
    DataError
        If one of them is not positive, or template pixels are not finer than those of
        the survey, which is what swapping the two scales looks like.
    """
    StampGeometry(size_px, pixel_scale_arcsec)  # checks both
    if not 0.0 < template_scale_arcsec < pixel_scale_arcsec:
        raise DataError(
            describe(
                "Templates",
                field="template_scale_arcsec",
                expected=f"between 0 and the pixel scale, {pixel_scale_arcsec} arcsec",
                got=template_scale_arcsec,
                hint="give the side of a template pixel, for example 0.03 arcsec",
            )
        )


def check_templates(templates: NDArray[Any], sums: FloatArray | None = None) -> None:
    """Check that templates are square, finite and sum to 1.

    A template is the share of the source's flux per template pixel. Giving
    surface brightness or counts instead is refused here.

    Parameters
    ----------
    templates : ndarray, shape (n, t, t)
        Templates.
    sums : ndarray, shape (n,), optional
        Their sums, if they are known.

    Raises
    ------
    ContractError
        If the shape is not (n, t, t).
    DataError
        If a template holds a non-finite value or does not sum to 1.
    """
    if templates.ndim != 3 or templates.shape[1] != templates.shape[2]:
        raise ContractError(describe("Templates", expected="shape (n, t, t)", got=templates.shape))
    if sums is None:
        sums = templates.sum(axis=(1, 2), dtype=np.float64)
    good = np.abs(sums - 1.0) <= TEMPLATE_SUM_TOLERANCE
    if not good.all():  # a NaN or infinity makes the sum non-finite and lands here too
        row = int(np.argmin(good))
        raise DataError(
            describe(
                "Template",
                row=row,
                expected="a sum of 1 (share of the flux per template pixel)",
                got=float(sums[row]),
            )
        )


def unlensed_scene(x_arcsec: Any, y_arcsec: Any, rotation_rad: Any, flip: Any) -> dict[str, Any]:
    """Return the scene parameters of a source as it would look without a deflector.

    Parameters
    ----------
    x_arcsec, y_arcsec : array_like, shape (n,) or scalar
        Source relative to the stamp centre.
    rotation_rad, flip : array_like, shape (n,) or scalar
        Orientation of the template.

    Returns
    -------
    dict
        Every field of :class:`Scenes` but the two per band: a deflector without
        mass at the place of the source.
    """
    return {
        "theta_e_arcsec": 0.0,
        "lens_q": 1.0,
        "lens_phi_rad": 0.0,
        "gamma1": 0.0,
        "gamma2": 0.0,
        "lens_x_arcsec": x_arcsec,
        "lens_y_arcsec": y_arcsec,
        "src_x_arcsec": 0.0,
        "src_y_arcsec": 0.0,
        "src_rotation_rad": rotation_rad,
        "src_flip": flip,
    }


def require_sampled(flux_ratio: FloatArray, rows: NDArray[np.intp] | None = None) -> None:
    """Check that the rays through an unlensed source met its flux.

    Parameters
    ----------
    flux_ratio : ndarray, shape (n,)
        Sampled flux over flux of the source.
    rows : ndarray of int, shape (n,), optional
        What the scenes are called in a message; their place unless given.

    Raises
    ------
    DataError
        If a source is so small against the ray spacing that rays miss part of it.
    """
    good = np.abs(flux_ratio - 1.0) < UNLENSED_FLUX_TOLERANCE
    if not good.all():
        worst = int(np.argmin(good))
        raise DataError(
            describe(
                "Unlensed source is smaller than the ray spacing",
                row=worst if rows is None else int(rows[worst]),
                expected=f"sampled flux within {UNLENSED_FLUX_TOLERANCE:.0%} of the source's",
                got=float(flux_ratio[worst]),
                hint="use a larger template scale or more rays per cell",
            )
        )


def scene_constants(
    scenes: Scenes, template_scale_arcsec: float, padded_px: int, extent_px: Any
) -> FloatArray:
    """Reduce each scene to the constants of the ray loop.

    In the frame of the major axis, rotation matrix P (stamp to lens frame), a
    ray at x meets the source plane, relative to the source, in stamp axes, at
    (I - Gamma) P^T x - P^T alpha - s. The matrix T turns that into template
    pixels: rotate by the source angle, mirror, divide by the template scale.

    Parameters
    ----------
    scenes : Scenes
        n scenes.
    template_scale_arcsec : float
        Side of a template pixel.
    padded_px : int
        Side of the templates with the ring of zeros around them.
    extent_px : array_like
        Radius beyond which a template is zero, in template pixels.

    Returns
    -------
    ndarray, shape (n, 20)
        lens x, y; cos, sin phi; q; 1 - q^2; T (I - Gamma) P^T (4); 2 b T P^T (4);
        template pixel of the undeflected centre (2); reach from the stamp centre, along
        x or y (arcsec); b (arcsec);
        modulus of the shear; extent (template pixels).
    """
    n = scenes.lens_q.shape[0]
    cos, sin = np.cos(scenes.lens_phi_rad), np.sin(scenes.lens_phi_rad)
    from_lens = np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1)
    one = np.ones(n)
    mapping = np.array(
        [[one - scenes.gamma1, -scenes.gamma2], [-scenes.gamma2, one + scenes.gamma1]]
    ).transpose(2, 0, 1)
    cos_s, sin_s = np.cos(scenes.src_rotation_rad), np.sin(scenes.src_rotation_rad)
    mirror = np.where(scenes.src_flip, -1.0, 1.0)
    to_template = np.array([[mirror * cos_s, mirror * sin_s], [-sin_s, cos_s]]).transpose(2, 0, 1)
    to_template = to_template / template_scale_arcsec
    two_b = 2.0 * scenes.theta_e_arcsec * np.sqrt(scenes.lens_q)
    source = np.stack([scenes.src_x_arcsec, scenes.src_y_arcsec], axis=1)
    centre = (padded_px - 1) / 2.0 - np.einsum("nij,nj->ni", to_template, source)
    constants = np.concatenate(
        [
            np.stack(
                [
                    scenes.lens_x_arcsec,
                    scenes.lens_y_arcsec,
                    cos,
                    sin,
                    scenes.lens_q,
                    1.0 - scenes.lens_q**2,
                ],
                axis=1,
            ),
            (to_template @ mapping @ from_lens).reshape(n, 4),
            (two_b[:, None, None] * (to_template @ from_lens)).reshape(n, 4),
            centre,
            np.stack(
                [
                    scenes.reach_arcsec(np.asarray(extent_px) * template_scale_arcsec),
                    0.5 * two_b,
                    shear.modulus(scenes.gamma1, scenes.gamma2),
                    np.broadcast_to(np.asarray(extent_px, dtype=np.float64), (n,)),
                ],
                axis=1,
            ),
        ],
        axis=1,
    )
    from darkhaloscope.lensing.template_kernels import measure_reach  # machine code: loaded when needed

    loose = np.ascontiguousarray(constants[:, 16])
    tight = np.empty(n)
    measure_reach(constants, loose, template_scale_arcsec, (padded_px - 1) / 2.0, _directions(), tight)
    constants[:, 16] = tight
    return constants


@cache
def _directions() -> FloatArray:
    angle = np.arange(_DIRECTIONS) * (2.0 * np.pi / _DIRECTIONS)
    return np.stack([np.cos(angle), np.sin(angle)])
