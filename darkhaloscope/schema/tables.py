"""The tables of the system, column by column.

Conventions: RA and Dec are ICRS degrees; magnitudes are AB; fluxes are
nanomaggies (AB zero point 22.5); images are nanomaggies per pixel, inverse
variances 1/nMgy^2 per pixel, both (band, y, x) with bands g, r, z, y up (north)
and x right (west). Pixel offsets are measured from the geometric centre of the
stamp, ((size - 1) / 2, (size - 1) / 2). Angles run from +x towards +y.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from darkhaloscope.schema.columns import Column, PixelColumn, Role, TableSchema

BANDS: tuple[str, ...] = ("g", "r", "z")
"""Bands in storage order."""

_I, _C, _T, _R, _Q, _P = (
    Role.IDENTITY,
    Role.CONDITION,
    Role.TRUTH,
    Role.RESULT,
    Role.QUALITY,
    Role.PIXELS,
)
_F64, _F32, _I64, _I32, _BOOL, _STR = (
    pa.float64(),
    pa.float32(),
    pa.int64(),
    pa.int32(),
    pa.bool_(),
    pa.string(),
)
_BYTES = pa.binary()


def per_band(template: str) -> list[str]:
    """Expand ``"psf_fwhm_{b}_arcsec"`` into one name per band, in band order."""
    return [template.replace("{b}", band) for band in BANDS]


def _by_band(
    template: str,
    kind: pa.DataType,
    role: Role,
    unit: str,
    description: str,
    *,
    nullable: bool = False,
) -> list[Column]:
    return [
        Column(
            template.replace("{b}", band),
            kind,
            role,
            unit,
            description.replace("{b}", band),
            nullable,
        )
        for band in BANDS
    ]


def _pixels(*, image_stored: Literal["noise", "raw"] = "noise") -> list[Column]:
    """Return the pixel columns; rows without a stamp are null."""
    return [
        PixelColumn(
            "image", None, _P, "nMgy/px", "image (band, y, x)", True, len(BANDS), pa.float32(), image_stored
        ),
        PixelColumn(
            "invvar",
            None,
            _P,
            "1/nMgy^2",
            "inverse variance (band, y, x)",
            True,
            len(BANDS),
            pa.float32(),
            "map",
        ),
        PixelColumn("maskbits", None, _P, "", "DR10 MASKBITS (y, x)", True, 0, pa.int32(), "map"),
    ]


_POSITION = [
    Column("ra", _F64, _I, "deg", "right ascension"),
    Column("dec", _F64, _I, "deg", "declination"),
]

_CONDITIONS = [
    *_by_band("psf_fwhm_{b}_arcsec", _F64, _C, "arcsec", "PSF FWHM in {b} at the position"),
    *_by_band("psfdepth_{b}_mag", _F64, _C, "mag", "5-sigma point-source depth in {b}"),
    Column("ebv", _F64, _C, "mag", "Galactic reddening E(B-V), SFD98"),
    *_by_band("nexp_{b}", _I32, _C, "", "exposures in {b} at the position"),
    *_by_band("host_mag_{b}", _F64, _C, "mag", "raw host magnitude in {b}"),
]

_MAGNITUDES = {"raw": "catalogued magnitudes", "dered": "magnitudes corrected for Galactic extinction"}

SELECTIONS: tuple[str, ...] = (
    *(f"lrg_v{i}_{kind}" for kind in _MAGNITUDES for i in range(1, 6)),
    "lrg_desi",
    *(f"early_bright_{kind}" for kind in _MAGNITUDES),
)
"""Parent selections; each has a flag column ``is_<selection>``."""

_SELECTION_FLAGS = [
    *[
        Column(f"is_lrg_v{i}_{kind}", _BOOL, _Q, "", f"passes LRG cut v{i} in {magnitudes}")
        for kind, magnitudes in _MAGNITUDES.items()
        for i in range(1, 6)
    ],
    Column("is_lrg_desi", _BOOL, _Q, "", "passes the DESI main-survey LRG cut of its photometric system"),
    *[
        Column(f"is_early_bright_{kind}", _BOOL, _Q, "", f"DEV or SER with z < 20 mag in {magnitudes}")
        for kind, magnitudes in _MAGNITUDES.items()
    ],
]

_REDSHIFTS = [
    Column("z_spec", _F64, _C, "", "spectroscopic redshift, null if the survey gives none", nullable=True),
    Column("z_phot", _F64, _C, "", "median photometric redshift, null if there is none", nullable=True),
    Column("z_phot_l68", _F64, _C, "", "lower end of its 68 % interval", nullable=True),
    Column("z_phot_u68", _F64, _C, "", "upper end of its 68 % interval", nullable=True),
]

BRICKS = TableSchema(
    "bricks",
    1,
    (
        Column("brickname", _STR, _I, "", "brick name"),
        Column("brickid", _I32, _I, "", "brick id, unique on the sky"),
        *_POSITION,
        Column("ra1", _F64, _I, "deg", "lower RA of the primary box"),
        Column("ra2", _F64, _I, "deg", "upper RA of the primary box"),
        Column("dec1", _F64, _I, "deg", "lower Dec of the primary box"),
        Column("dec2", _F64, _I, "deg", "upper Dec of the primary box"),
        Column("area_deg2", _F64, _I, "deg^2", "area of the primary box"),
        Column("tile", _STR, _I, "", "tile key of the brick centre (HEALPix NESTED, nside 8)"),
        Column("n_galaxies", _I64, _I, "", "catalogued REX, EXP, DEV and SER sources"),
        *_by_band("psfsize_{b}_arcsec", _F64, _C, "arcsec", "median PSF FWHM in {b}"),
        *_by_band("psfdepth_{b}_mag", _F64, _C, "mag", "median 5-sigma depth in {b}"),
        *_by_band("nexp_{b}", _I32, _C, "", "median exposures in {b}"),
        *_by_band("sky_{b}_nmgy", _F64, _C, "nMgy/px", "sky level removed from the {b} coadd"),
        Column("ebv", _F64, _C, "mag", "median E(B-V)"),
        Column("status", _STR, _Q, "", "ok, or what is missing below the survey root"),
    ),
)

SKY_SPLITS = TableSchema(
    "sky_splits",
    1,
    (
        Column("healpix", _I64, _I, "", "HEALPix NESTED cell"),
        Column("nside", _I32, _I, "", "resolution of the cells"),
        Column("seed", _I64, _I, "", "seed of the assignment"),
        Column("split", _STR, _I, "", "train, val or test; never changes once published"),
        Column("fraction", _F64, _I, "", "share of galaxies and area promised to that split"),
        Column("n_galaxies", _F64, _Q, "", "galaxies of the usable bricks in the cell"),
        Column("area_deg2", _F64, _Q, "deg^2", "area of the usable bricks in the cell"),
    ),
)

PARENTS = TableSchema(
    "lrg_parents",
    3,
    (
        Column("host_id", _STR, _I, "", "release-brickid-objid"),
        Column("release", _I32, _I, "", "data release number"),
        Column("brickid", _I32, _I, "", "brick id"),
        Column("brickname", _STR, _I, "", "brick name"),
        Column("objid", _I32, _I, "", "object id in the brick"),
        *_POSITION,
        Column("tile", _STR, _I, "", "tile key"),
        Column("type", _STR, _C, "", "Tractor type"),
        *[Column(f"flux_{b}_nmgy", _F64, _C, "nMgy", f"raw flux in {b}") for b in ("g", "r", "z", "w1")],
        *[
            Column(f"mw_transmission_{b}", _F64, _C, "", f"Galactic transmission in {b}")
            for b in ("g", "r", "z", "w1")
        ],
        Column("sersic", _F64, _C, "", "Sersic index of the catalogue model"),
        Column("shape_r_arcsec", _F64, _C, "arcsec", "half-light radius of the catalogue model"),
        Column("shape_e1", _F64, _C, "", "ellipticity component 1, (1-q)/(1+q)"),
        Column("shape_e2", _F64, _C, "", "ellipticity component 2, (1-q)/(1+q)"),
        *[Column(f"nobs_{b}", _I32, _C, "", f"images in {b} at the position") for b in BANDS],
        *_by_band("psf_fwhm_{b}_arcsec", _F64, _C, "arcsec", "catalogue PSF FWHM in {b}"),
        *_by_band("psfdepth_{b}_mag", _F64, _C, "mag", "5-sigma point-source depth in {b}"),
        Column("ebv", _F64, _C, "mag", "E(B-V)"),
        *_REDSHIFTS,
        Column("maskbits", _I32, _Q, "", "catalogue MASKBITS"),
        *_SELECTION_FLAGS,
        *[
            Column(f"passes_{cut}", _BOOL, _Q, "", f"passes the quality cut on {of}")
            for cut, of in (
                ("primary", "the primary box of its brick"),
                ("type", "Tractor type"),
                ("nobs", "exposures in every band"),
                ("psf_fwhm", "seeing in every band"),
                ("psfdepth", "depth in every band"),
                ("ebv", "reddening"),
                ("maskbits", "mask bits"),
            )
        ],
        Column("reject_reason", _STR, _Q, "", "first quality cut that failed, empty if none"),
        Column(
            "anchor_separation_arcsec",
            _F64,
            _Q,
            "arcsec",
            "to the nearest known lens or look-alike, null beyond 60 arcsec",
            nullable=True,
        ),
    ),
)

HOSTS = TableSchema(
    "host_cutouts",
    3,
    (
        Column("host_id", _STR, _I, "", "release-brickid-objid"),
        Column("brickname", _STR, _I, "", "brick the pixels come from"),
        *_POSITION,
        Column("tile", _STR, _I, "", "tile key"),
        Column("x_offset_px", _F64, _I, "px", "galaxy minus stamp centre along x", nullable=True),
        Column("y_offset_px", _F64, _I, "px", "galaxy minus stamp centre along y", nullable=True),
        Column("type", _STR, _C, "", "Tractor type"),
        Column("shape_r_arcsec", _F64, _C, "arcsec", "catalogue half-light radius"),
        *_by_band(
            "psf_fwhm_{b}_arcsec",
            _F64,
            _C,
            "arcsec",
            "PSF FWHM in {b} at the position, from the psfsize map",
            nullable=True,
        ),
        *_by_band("psfdepth_{b}_mag", _F64, _C, "mag", "5-sigma point-source depth in {b}"),
        Column("ebv", _F64, _C, "mag", "E(B-V)"),
        *_by_band("nexp_{b}", _I32, _C, "", "images in {b} at the position"),
        *_by_band("host_mag_{b}", _F64, _C, "mag", "raw catalogue magnitude in {b}", nullable=True),
        *_REDSHIFTS,
        *_by_band("sky_{b}_nmgy", _F64, _C, "nMgy/px", "sky level removed from the {b} coadd"),
        *_SELECTION_FLAGS,
        Column("reject_reason", _STR, _Q, "", "first catalogue quality cut that failed, or empty"),
        Column("status", _STR, _Q, "", "ok, or the reason there are no pixels"),
        *_by_band(
            "bad_pixel_frac_{b}",
            _F64,
            _Q,
            "",
            "share of stamp pixels with zero invvar or a bad mask bit of {b}",
            nullable=True,
        ),
        Column("nan_pixels", _I32, _Q, "", "NaN or infinite image or invvar pixels"),
        *_pixels(image_stored="raw"),
    ),
    row_group_rows=32,
)

_IDENTITY = [
    Column("task_id", _STR, _I, "", "128-bit hexadecimal id of the row"),
    Column("pair_id", _STR, _I, "", "id shared by a positive and the controls made for it"),
    Column(
        "control_kind",
        _STR,
        _I,
        "",
        "positive, paired, unpaired, matched_light or hard_negative",
    ),
    Column("is_control", _BOOL, _I, "", "true unless control_kind is positive"),
    Column("twin_task_id", _STR, _I, "", "positive whose light a matched_light row carries", nullable=True),
    Column("host_id", _STR, _I, "", "release-brickid-objid"),
    Column("source_id", _STR, _I, "", "source galaxy; null where no light is added", nullable=True),
    Column("experiment", _STR, _I, "", "experiment name"),
    Column("tile", _STR, _I, "", "tile key"),
    Column("healpix", _I64, _I, "", "HEALPix NESTED cell at the split nside"),
    Column("split", _STR, _I, "", "train, val or test"),
    *_POSITION,
]

_TRUTH = [
    Column("theta_e_arcsec", _F64, _T, "arcsec", "Einstein radius (intermediate axis)", nullable=True),
    Column("lens_q", _F64, _T, "", "axis ratio of the SIE", nullable=True),
    Column("lens_phi_rad", _F64, _T, "rad", "position angle of the SIE major axis", nullable=True),
    Column("lens_x_arcsec", _F64, _T, "arcsec", "deflector minus host galaxy along x", nullable=True),
    Column("lens_y_arcsec", _F64, _T, "arcsec", "deflector minus host galaxy along y", nullable=True),
    Column("gamma1", _F64, _T, "", "external shear component 1", nullable=True),
    Column("gamma2", _F64, _T, "", "external shear component 2", nullable=True),
    Column("src_x_arcsec", _F64, _T, "arcsec", "source minus deflector along x", nullable=True),
    Column("src_y_arcsec", _F64, _T, "arcsec", "source minus deflector along y", nullable=True),
    Column("src_rotation_rad", _F64, _T, "rad", "rotation of the source template", nullable=True),
    Column("src_flip", _BOOL, _T, "", "template mirrored in x before rotation", nullable=True),
    *_by_band(
        "src_mag_{b}",
        _F64,
        _T,
        "mag",
        "unlensed source magnitude in {b}: as drawn in a manifest, as applied in a stamp",
        nullable=True,
    ),
    Column(
        "target_snr",
        _F64,
        _T,
        "",
        "footprint S/N in r that the source flux is chosen for, null where the drawn flux is applied",
        nullable=True,
    ),
    Column("z_lens", _F64, _T, "", "lens redshift, null where none is assumed", nullable=True),
    Column("z_source", _F64, _T, "", "source redshift, null where unknown", nullable=True),
    Column(
        "sigma_v_kms",
        _F64,
        _T,
        "km/s",
        "velocity dispersion of the deflector, null where none is assumed",
        nullable=True,
    ),
    Column(
        "lens_weight",
        _F64,
        _T,
        "arcsec^2",
        "rate of such lenses over the density they were drawn with; null where theta_E has no population",
        nullable=True,
    ),
    Column(
        "light_quantile",
        _F64,
        _T,
        "",
        "quantile of the twin's arc light at which matched light is put",
        nullable=True,
    ),
    Column("light_azimuth_rad", _F64, _T, "rad", "azimuth at which matched light is put", nullable=True),
]

MANIFEST = TableSchema("manifest", 3, (*_IDENTITY, *_TRUTH, *_CONDITIONS), row_group_rows=2048)

STAMPS = TableSchema(
    "stamps",
    3,
    (
        *_IDENTITY,
        *_TRUTH,
        *_CONDITIONS,
        Column("x_offset_px", _F64, _I, "px", "host galaxy minus stamp centre along x", nullable=True),
        Column("y_offset_px", _F64, _I, "px", "host galaxy minus stamp centre along y", nullable=True),
        Column("status", _STR, _Q, "", "ok, or the reason the row has no pixels"),
        *_by_band("bad_pixel_frac_{b}", _F64, _Q, "", "share of bad stamp pixels in {b}", nullable=True),
        Column("nan_pixels", _I32, _Q, "", "NaN or infinite pixels in the stamp"),
        Column("bandset", _STR, _Q, "", "bands that hold valid pixels, for example grz"),
        Column("magnification", _F64, _R, "", "rendered image flux over source flux", nullable=True),
        *_by_band("arc_flux_{b}_nmgy", _F64, _R, "nMgy", "flux added to the {b} stamp", nullable=True),
        *_by_band("arc_snr_matched_{b}", _F64, _R, "", "sqrt(sum a^2 ivar) in {b}", nullable=True),
        *_by_band(
            "arc_snr_footprint_{b}",
            _F64,
            _R,
            "",
            "sum a / sqrt(sum var) where the arc exceeds its footprint level in {b}",
            nullable=True,
        ),
        Column("arc_snr_stamp_r", _F64, _R, "", "sum a / sqrt(sum var) over the stamp in r", nullable=True),
        Column("arc_snr_max_r", _F64, _R, "", "largest single-pixel a sqrt(ivar) in r", nullable=True),
        Column(
            "sampling_weight",
            _F64,
            _R,
            "",
            "weight that brings rows back to the physical prior; 1 where nothing was aimed at",
            nullable=True,
        ),
        *_pixels(),
    ),
)

QUANTISED = TableSchema(
    "quantised_stamps",
    STAMPS.version,
    (
        *(column for column in STAMPS if column.name != "image"),
        *_by_band("image_step_{b}_nmgy", _F32, _P, "nMgy/px", "one count of the image in {b}"),
        Column("image_low", _BYTES, _P, "", "low bytes of count + 128, (band, y, x)"),
        Column("image_high", _BYTES, _P, "", "second bytes of count + 128, (band, y, x)"),
        Column(
            "image_wide",
            _BYTES,
            _P,
            "",
            "upper 16 bits of count + 128, little-endian; null where 16 bits hold every count",
            nullable=True,
        ),
    ),
)
"""STAMPS with the image in counts; ``stamps.quantise`` says what a count is."""

ANCHORS = TableSchema(
    "anchor_catalog",
    1,
    (
        Column("anchor_id", _STR, _I, "", "catalogue file hash prefix and row number"),
        Column("name", _STR, _I, "", "name in the catalogue"),
        *_POSITION,
        Column("kind", _STR, _I, "", "lens or lookalike"),
        Column("object_class", _STR, _I, "", "galaxy lens, ring, spiral, merger, edge-on, quasar, cluster"),
        Column("discovery", _STR, _I, "", "imaging, network, spectroscopic, space"),
        Column("grade", _STR, _I, "", "confident, probable, or the catalogue's own grade"),
        Column("reference", _STR, _I, "", "bibliographic reference"),
        Column("z_lens", _F64, _T, "", "lens redshift", nullable=True),
        Column("theta_e_arcsec", _F64, _T, "arcsec", "Einstein radius", nullable=True),
        Column("catalog_sha256", _STR, _I, "", "hash of the catalogue file"),
        Column("catalog_row", _I64, _I, "", "row in the catalogue file, from 0"),
        Column("healpix", _I64, _I, "", "HEALPix NESTED cell at nside 32"),
        Column("use", _STR, _I, "", "grade, hard_negative or exclude"),
        Column("exclude_reason", _STR, _Q, "", "why it is not used, empty otherwise"),
    ),
)

ANCHOR_STAMPS = TableSchema(
    "anchor_stamps",
    1,
    (
        Column("anchor_id", _STR, _I, "", "id in the anchor catalogue"),
        Column("name", _STR, _I, "", "name in the catalogue"),
        Column("kind", _STR, _I, "", "lens or lookalike"),
        Column("object_class", _STR, _I, "", "class in the catalogue"),
        Column("discovery", _STR, _I, "", "imaging, network, spectroscopic, space"),
        *_POSITION,
        Column("host_id", _STR, _I, "", "matched survey source, empty if none"),
        Column("separation_arcsec", _F64, _Q, "arcsec", "distance to the matched source", nullable=True),
        Column("tier", _STR, _R, "", "A, B or lookalike; empty if not scored"),
        Column("arc_snr_r", _F64, _R, "", "arc S/N in r after deflector subtraction", nullable=True),
        Column("x_offset_px", _F64, _I, "px", "galaxy minus stamp centre along x", nullable=True),
        Column("y_offset_px", _F64, _I, "px", "galaxy minus stamp centre along y", nullable=True),
        *[Column(c.name, c.type, c.role, c.unit, c.description, nullable=True) for c in _CONDITIONS],
        Column("status", _STR, _Q, "", "ok, or why the object is not scored"),
        *_pixels(),
    ),
)

SCORES = TableSchema(
    "scores",
    1,
    (
        Column("object_id", _STR, _I, "", "task_id, anchor_id or the user's id"),
        Column("score", _F64, _R, "", "probability of a lens at the declared prior"),
        Column("preprocess_sha256", _STR, _I, "", "hash of the PreprocessSpec"),
        Column("checkpoint_sha256", _STR, _I, "", "hash of the checkpoint"),
    ),
)
