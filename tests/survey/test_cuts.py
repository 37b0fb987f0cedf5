import numpy as np
import pyarrow.parquet as pq
import pytest

from darkhaloscope.survey.cuts import is_early_bright, is_lrg_desi, lrg_flags, quality_flags
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS


def flux(mag):
    return np.atleast_1d(10.0 ** ((22.5 - np.asarray(mag, dtype=float)) / 2.5))


@pytest.mark.realdata
def test_five_cuts_agree_row_by_row_with_real_galaxies(realdata):
    table = pq.read_table(realdata / "catalogs" / "lrg_dr10_total_v3.parquet")
    fluxes = {b: table[f"FLUX_{b.upper()}"].to_numpy().astype(float) for b in ("r", "z", "w1")}
    for version, flags in enumerate(lrg_flags(fluxes), start=1):
        wanted = table[f"is_lrg_v{version}"].to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(flags != wanted)
        assert wrong.size == 0, f"v{version} differs in rows {wrong[:5]}"
    assert [int(f.sum()) for f in lrg_flags(fluxes)] == [342, 816, 6826, 6826, 6826]


@pytest.mark.parametrize(
    ("z", "r_z", "z_w1", "expected"),
    [
        (19.9, 0.6, 1.7, "11111"),
        (20.1, 0.6, 1.7, "01111"),
        (20.1, 0.6, 1.0, "00111"),
        (20.5, 0.6, 1.0, "00011"),
        (21.2, 0.6, 1.0, "00001"),
        (21.6, 0.6, 1.0, "00000"),
        (19.9, 0.45, 1.7, "01111"),
        (19.9, 0.35, 1.7, "00001"),
        (19.9, 0.6, 0.7, "00000"),
    ],
)
def test_each_limit_of_each_cut_decides(z, r_z, z_w1, expected):
    flags = lrg_flags({"r": flux(z + r_z), "z": flux(z), "w1": flux(z - z_w1)})
    assert "".join(str(int(f[0])) for f in flags) == expected


def test_a_missing_flux_is_in_no_sample():
    good = {"r": flux(20.5), "z": flux(19.5), "w1": flux(18.0)}
    for band in good:
        for value in (0.0, -1.0, np.nan):
            assert not any(f[0] for f in lrg_flags({**good, band: np.array([value])}))


def desi(photsys="S", **change):
    """A galaxy the DESI cut takes (extinction-corrected r 20.8, z 19.7, W1 18.3), with changes."""
    mags = {
        "G": 22.5,
        "R": 20.8,
        "Z": 19.7,
        "W1": 18.3,
        "fibre": 20.2,
        "total": 20.0,
        **change.pop("mags", {}),
    }
    transmission = {"G": 0.80, "R": 0.86, "Z": 0.92, "W1": 0.99}
    columns = {f"FLUX_{b}": flux(mags[b]) * transmission[b] for b in transmission}
    columns |= {f"MW_TRANSMISSION_{b}": np.array([t]) for b, t in transmission.items()}
    columns |= {f"FLUX_IVAR_{b}": np.array([10.0]) for b in ("R", "Z", "W1")}
    columns |= {f"NOBS_{b}": np.array([2]) for b in "GRZ"}
    columns["FIBERFLUX_Z"] = flux(mags["fibre"]) * transmission["Z"]
    columns["FIBERTOTFLUX_Z"] = flux(mags["total"]) * transmission["Z"]
    columns["GAIA_PHOT_G_MEAN_MAG"] = np.array([0.0])
    columns["MASKBITS"] = np.array([1])  # NPRIMARY alone is no fault
    return bool(is_lrg_desi({**columns, **change}, photsys)[0])


def test_desi_cut_takes_the_reference_galaxy():
    assert desi()
    assert desi(GAIA_PHOT_G_MEAN_MAG=np.array([18.5]))
    assert desi(MASKBITS=np.array([1 << MASK_BITS["MEDIUM"]]))


def test_desi_g_arm_and_its_clip_at_negative_flux():
    # r - W1 = 1.6 fails the r arm of the low-redshift cut, so g decides.
    galaxy = {"R": 19.5, "Z": 18.7, "W1": 17.9}
    assert desi(mags={**galaxy, "G": 20.9})
    assert not desi(mags={**galaxy, "G": 20.7})
    # desitarget clips g, so a negative flux counts as infinitely red.
    assert desi(mags={**galaxy, "G": 20.7}, FLUX_G=np.array([-1.0]))


def test_desi_sliding_lines_and_red_end():
    # At W1 17.9 the shallow line (1.57) rules, at 18.9 the steep one (3.17), and 3.3 always passes.
    assert not desi(mags={"R": 19.4, "Z": 18.6, "W1": 17.9, "G": 21.0})
    assert desi(mags={"R": 19.5, "Z": 18.6, "W1": 17.9, "G": 21.0})
    assert not desi(mags={"R": 22.05, "Z": 20.7, "W1": 18.9})
    assert desi(mags={"R": 22.10, "Z": 20.7, "W1": 18.9})
    assert not desi(mags={"R": 22.45, "Z": 20.9, "W1": 19.2})
    assert desi(mags={"R": 22.55, "Z": 20.9, "W1": 19.2})


@pytest.mark.parametrize(
    ("south", "north", "mags"),
    [
        (False, True, {"fibre": 21.605, "R": 22.4, "Z": 20.7, "W1": 18.9}),  # faint limit of the fibre
        (True, False, {"R": 19.5, "Z": 18.7, "W1": 17.9, "G": 20.85}),  # g - W1 = 2.95, low-redshift arm
        (True, False, {"R": 20.415, "Z": 19.4, "W1": 18.3}),  # slope: r - W1 = 2.115, lines at 2.088, 2.141
        (True, False, {"R": 22.55, "Z": 20.9, "W1": 19.2}),  # red end: r - W1 = 3.35
    ],
)
def test_the_desi_lines_are_those_of_the_photometric_system(south, north, mags):
    assert (desi("S", mags=mags), desi("N", mags=mags)) == (south, north)


@pytest.mark.parametrize(
    "change",
    [
        {"FLUX_R": np.array([-1.0])},
        {"FLUX_IVAR_R": np.array([0.0])},
        {"FLUX_IVAR_Z": np.array([0.0])},
        {"FLUX_IVAR_W1": np.array([0.0])},
        {"FIBERFLUX_Z": np.array([0.0])},
        {"GAIA_PHOT_G_MEAN_MAG": np.array([17.9])},
        {"FIBERTOTFLUX_Z": flux(17.4)},
        {"NOBS_G": np.array([0])},
        {"NOBS_R": np.array([0])},
        {"NOBS_Z": np.array([0])},
        {"MASKBITS": np.array([1 << MASK_BITS["BRIGHT"]])},
        {"MASKBITS": np.array([1 << MASK_BITS["GALAXY"]])},
        {"MASKBITS": np.array([1 << MASK_BITS["CLUSTER"]])},
        {"mags": {"fibre": 21.7}},  # faint limit
        {"mags": {"R": 21.9, "Z": 19.7, "W1": 18.6}},  # stellar: z - W1 1.1 < 0.8 x 2.2 - 0.6
        {"mags": {"R": 19.9, "Z": 19.1, "W1": 18.3, "G": 21.0}},  # low z: g - W1 2.7, r - W1 1.6
    ],
)
def test_every_condition_of_the_desi_cut_can_reject(change):
    assert not desi(**change)


def test_desi_cut_uses_extinction_corrected_magnitudes():
    # Raw r - W1 grows with extinction; the corrected galaxy is what counts.
    assert desi() is True
    assert desi(MW_TRANSMISSION_Z=np.array([0.30])) is False


def test_early_bright_needs_type_and_magnitude():
    types = np.array(["DEV", "SER", "EXP", "REX", "DEV"])
    z = flux([19.9, 19.9, 19.9, 19.9, 20.1])
    assert is_early_bright(types, z).tolist() == [True, True, False, False, False]


def reasons(n=1, **change):
    given = {
        "primary": np.ones(n, dtype=bool),
        "types": np.array(["DEV"] * n),
        "maskbits": np.zeros(n, dtype=np.int64),
        "nobs": {b: np.full(n, 3) for b in "grz"},
        "psf_fwhm_arcsec": {b: np.full(n, 1.3) for b in "grz"},
        "psfdepth_mag": {b: np.full(n, 24.0) for b in "grz"},
        "ebv_mag": np.full(n, 0.05),
    }
    for key, value in change.items():
        if isinstance(given[key], dict):
            given[key] = {**given[key], **value}
        else:
            given[key] = value
    return quality_flags(DR10_SOUTH, **given)[1].tolist()


def test_a_good_galaxy_has_no_reason_even_outside_the_primary_box():
    assert reasons() == [""]
    assert reasons(maskbits=np.array([1 << MASK_BITS["NPRIMARY"]])) == [""]


@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_every_quality_cut_is_made_in_every_band(band):
    assert reasons(nobs={band: np.array([0])}) == [f"no_exposures_{band}"]
    for seeing in (0.3, 2.6, 0.0, np.nan):
        assert reasons(psf_fwhm_arcsec={band: np.array([seeing])}) == [f"psf_fwhm_{band}"]
    for depth in (20.0, np.nan):
        assert reasons(psfdepth_mag={band: np.array([depth])}) == [f"psfdepth_{band}"]
    assert reasons(maskbits=np.array([1 << MASK_BITS[f"ALLMASK_{band.upper()}"]])) == [f"mask_allmask_{band}"]


def test_types_reddening_and_the_first_reason_wins():
    kinds = np.array(["PSF", "DUP", "REX", "XXX"])
    assert reasons(4, types=kinds) == ["type_point_source", "type_duplicate", "", "type_unknown"]
    assert reasons(ebv_mag=np.array([0.4])) == ["ebv"]
    assert reasons(ebv_mag=np.array([np.nan])) == ["ebv"]
    both = reasons(nobs={"z": np.array([0])}, maskbits=np.array([1 << MASK_BITS["MEDIUM"]]))
    assert both == ["no_exposures_z"]
