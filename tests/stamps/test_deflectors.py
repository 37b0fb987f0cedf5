"""Hosts as deflectors: redshifts, dispersions, sources behind them, and the rates they are drawn at."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import stamp_world
from astropy.table import Table
from scipy import stats

from darkhaloscope.config import Deflectors
from darkhaloscope.errors import DataError
from darkhaloscope.lensing import cosmology as cosmo
from darkhaloscope.schema import BANDS
from darkhaloscope.sources.colour_tracks import k_correction_z_to_r
from darkhaloscope.sources.colours import Galaxies
from darkhaloscope.stamps import lens_hosts
from darkhaloscope.stamps.deflectors import LensPopulation
from darkhaloscope.survey import early_types
from darkhaloscope.survey.photometry import EXTINCTION_PER_EBV
from darkhaloscope.survey.photoz import REDSHIFTS

N_HOSTS, N_SOURCES = 1500, 900
LOW, HIGH = 0.6, 3.0
UNIVERSE = cosmo.flat_lambda_cdm(70.0, 0.3)
RELATION = Deflectors()


def experiment(**lens):
    return stamp_world.experiment(lens={"theta_e_draw": "population", "theta_e_arcsec": (LOW, HIGH), **lens})


def galaxies_at(z):
    return Galaxies(np.asarray(z, dtype=float), np.zeros(len(z)), np.zeros(len(z)))


def library_of(n):
    return SimpleNamespace(
        ids=np.array([f"s-{i}" for i in range(n)]), split=np.array(["train", "val", "test"])[np.arange(n) % 3]
    )


def host_table(z, mag_z, ebv=0.0, n=None):
    """Hosts with the colours of the track at given redshifts."""
    n = n or len(z)
    reddening = np.array([EXTINCTION_PER_EBV[band] for band in BANDS]) * ebv
    r = mag_z + np.interp(z, early_types.TRACK_Z, early_types.TRACK_R_Z_MAG)
    g = r + np.interp(z, early_types.TRACK_Z, early_types.TRACK_G_R_MAG)
    return pa.table(
        {
            "host_id": [f"h-{i}" for i in range(n)],
            "host_mag_g": g + reddening[0],
            "host_mag_r": r + reddening[1],
            "host_mag_z": mag_z + reddening[2],
            "ebv": np.full(n, ebv),
            **dict.fromkeys(REDSHIFTS, pa.nulls(n, pa.float64())),
        }
    )


@pytest.fixture(scope="module")
def sky():
    rng = np.random.Generator(np.random.Philox(key=5))
    z_host = rng.uniform(0.15, 0.8, N_HOSTS)
    modulus = UNIVERSE.distmod(z_host).value
    hosts = host_table(z_host, rng.normal(-22.9, 0.6, N_HOSTS) + modulus - 0.4)
    sources = galaxies_at(rng.gamma(4.0, 0.25, N_SOURCES) + 0.05)
    library = library_of(N_SOURCES)
    population = LensPopulation.of(experiment(), hosts, library, sources)
    fit = np.flatnonzero(~population.unfit(["train"] * N_HOSTS))
    ids = [f"t-{i}" for i in fit]
    return SimpleNamespace(
        hosts=hosts,
        library=library,
        sources=sources,
        population=population,
        fit=fit,
        ids=ids,
        drawn=population.draw(fit, "train", ids),
        z_host=z_host,
    )


def test_einstein_radii_follow_and_stay_in_the_range(sky):
    drawn = sky.drawn
    expected = cosmo.einstein_radius_arcsec(drawn.sigma_v_kms, drawn.z_lens, drawn.z_source, UNIVERSE)
    np.testing.assert_allclose(drawn.theta_e_arcsec, expected, rtol=1e-9)
    assert drawn.theta_e_arcsec.min() >= LOW - 1e-9
    assert drawn.theta_e_arcsec.max() <= HIGH + 1e-9
    assert (drawn.z_source > drawn.z_lens).all()
    off = (np.log10(drawn.sigma_v_kms) - sky.population.hosts.log_sigma[sky.fit]) / RELATION.scatter_dex
    assert np.abs(off).max() <= RELATION.reach + 1e-9
    # no pile at an edge: nothing was clipped
    assert np.mean(np.isclose(drawn.theta_e_arcsec, LOW) | np.isclose(drawn.theta_e_arcsec, HIGH)) < 0.005


def test_sources_are_of_the_split_and_go_with_the_cross_section_they_see(sky):
    split = np.asarray(sky.library.split)
    assert set(split[sky.drawn.source]) == {"train"}
    np.testing.assert_array_equal(sky.sources.z[sky.drawn.source], sky.drawn.z_source)
    host = int(sky.fit[np.argsort(sky.population.hosts.z[sky.fit])[len(sky.fit) // 2]])
    many = sky.population.draw(np.full(4000, host), "train", [f"m-{i}" for i in range(4000)])
    used, counts = np.unique(many.source, return_counts=True)
    highest = 10.0 ** (sky.population.hosts.log_sigma[host] + RELATION.reach * RELATION.scatter_dex)
    reachable = cosmo.einstein_radius_arcsec(highest, sky.population.hosts.z[host], sky.sources.z, UNIVERSE)
    can = np.flatnonzero((split == "train") & (reachable > LOW))
    assert set(used) <= set(can)
    counts_of = dict(zip(used.tolist(), counts.tolist(), strict=True))
    expected = reachable[can] ** 2 / np.sum(reachable[can] ** 2) * counts.sum()
    order = np.argsort(sky.sources.z[can])
    found = [counts_of.get(row, 0) for row in can[order].tolist()]
    # in groups of five, so that none is expected less than a few times
    ends = range(0, len(can), 5)
    sums = [np.add.reduceat(values, list(ends)) for values in (found, expected[order])]
    assert stats.chisquare(*sums).pvalue > 1e-3


def test_the_cross_section_is_drawn_evenly(sky):
    host = int(sky.fit[0])
    one = LensPopulation.of(experiment(), sky.hosts, library_of(3), galaxies_at([3.0, 3.0, 3.0]))
    many = one.draw(np.full(3000, host), "train", [f"m-{i}" for i in range(3000)])
    area = many.theta_e_arcsec**2
    assert stats.kstest(area, stats.uniform(area.min(), np.ptp(area)).cdf).pvalue > 1e-3


def test_weighted_lenses_are_those_of_the_physical_rate(sky):
    """Against a sample made without a weight: sources even, dispersions normal, kept by cross-section."""
    rng = np.random.Generator(np.random.Philox(key=9))
    population, n = sky.population, 400_000
    rows = sky.population._decks["train"].rows
    host = rng.choice(sky.fit, n)
    source = rng.choice(rows, n)
    reach = stats.truncnorm(-RELATION.reach, RELATION.reach).rvs(n, random_state=rng)
    sigma = 10.0 ** (population.hosts.log_sigma[host] + RELATION.scatter_dex * reach)
    chi = cosmo.comoving_distance_mpc(sky.sources.z[rows], UNIVERSE)
    chi_of = dict(zip(rows.tolist(), chi.tolist(), strict=True))
    ratio = cosmo.distance_ratio(population.hosts.chi_mpc[host], [chi_of[int(s)] for s in source])
    theta = cosmo.einstein_radius_limit_arcsec(sigma) * ratio
    inside = (theta >= LOW) & (theta <= HIGH)
    kept = inside & (rng.uniform(size=n) < theta**2 / HIGH**2)

    again = np.tile(sky.fit, 20)
    drawn = population.draw(again, "train", [f"w-{i}" for i in range(len(again))])
    unweighted = []
    for mine, theirs in (
        (drawn.theta_e_arcsec, theta[kept]),
        (drawn.sigma_v_kms, sigma[kept]),
        (drawn.z_source, sky.sources.z[source[kept]]),
        (drawn.z_lens, population.hosts.z[host[kept]]),
    ):
        assert np.average(mine, weights=drawn.weight) == pytest.approx(theirs.mean(), rel=0.02)
        unweighted.append(abs(mine.mean() / theirs.mean() - 1.0))
    assert max(unweighted) > 0.04, "what is drawn is another distribution"
    # the mean weight is the mean cross-section per host and source
    share = stats.norm.cdf(RELATION.reach) - stats.norm.cdf(-RELATION.reach)
    expected = np.pi * np.mean(np.where(inside, theta**2, 0.0)) * share
    assert drawn.weight.mean() == pytest.approx(expected, rel=0.03)


def test_hosts_too_light_or_without_sources_are_unfit_and_no_others(sky):
    near = LensPopulation.of(experiment(), sky.hosts, library_of(30), galaxies_at(np.full(30, 0.02)))
    assert near.unfit(["train"] * N_HOSTS).all()
    faint = host_table(np.full(5, 0.4), np.full(5, 23.0))
    assert LensPopulation.of(experiment(), faint, sky.library, sky.sources).unfit(["train"] * 5).all()
    heavy = host_table(np.full(5, 0.4), np.full(5, 17.4))
    assert not LensPopulation.of(experiment(), heavy, sky.library, sky.sources).unfit(["val"] * 5).any()
    assert sky.population.unfit(["guard"] * N_HOSTS).all()


def test_a_draw_does_not_depend_on_its_company(sky):
    some = np.arange(len(sky.fit))[::-7]
    alone = sky.population.draw(sky.fit[some], "train", [sky.ids[i] for i in some])
    for mine, all_of_them in zip(alone, sky.drawn, strict=True):
        np.testing.assert_array_equal(mine, all_of_them[some])
    shuffled = LensPopulation.of(experiment(), sky.hosts.take(pa.array(sky.fit)), sky.library, sky.sources)
    np.testing.assert_array_equal(shuffled.hosts.z, sky.population.hosts.z[sky.fit])


def test_wanted_radii_are_reached_behind_the_lens(sky):
    theta = np.linspace(0.5, 2.5, len(sky.fit))
    drawn = sky.population.draw_at(sky.fit, "test", sky.ids, theta)
    assert (drawn.z_source > drawn.z_lens).all()
    found = cosmo.einstein_radius_arcsec(drawn.sigma_v_kms, drawn.z_lens, drawn.z_source, UNIVERSE)
    np.testing.assert_allclose(found, theta, rtol=1e-9)
    assert set(np.asarray(sky.library.split)[drawn.source]) == {"test"}


def test_redshifts_of_hosts_follow_their_colours_and_not_the_dust_before_them(sky):
    error = sky.population.hosts.z - sky.z_host
    assert abs(np.median(error)) < 0.02
    assert stats.median_abs_deviation(error, scale="normal") < 0.09
    assert error.std() > 0.02, "a redshift is drawn, not the most likely one"
    mag_z = sky.hosts["host_mag_z"].to_numpy()
    dusty = LensPopulation.of(experiment(), host_table(sky.z_host, mag_z, ebv=0.3), sky.library, sky.sources)
    np.testing.assert_allclose(dusty.hosts.z, sky.population.hosts.z, atol=1e-9)
    np.testing.assert_allclose(dusty.hosts.log_sigma, sky.population.hosts.log_sigma, atol=1e-9)


def test_dispersions_are_those_of_the_fundamental_line():
    """An L* early-type galaxy has 10^2.203 km/s today; two magnitudes brighter, 1.6 times that."""
    chi = cosmo.comoving_distance_mpc([0.1, 0.4], UNIVERSE)
    modulus = 5.0 * np.log10(chi * np.array([1.1, 1.4])) + 25.0
    k = k_correction_z_to_r([0.1, 0.4])
    mag = modulus + k - 21.15 - 0.85 * np.array([0.1, 0.4])
    found = lens_hosts.mean_log_sigma(mag, [0.1, 0.4], chi, RELATION)
    np.testing.assert_allclose(found, 2.203, atol=1e-9)
    brighter = lens_hosts.mean_log_sigma(mag - 2.0, [0.1, 0.4], chi, RELATION)
    np.testing.assert_allclose(10.0 ** (brighter - found), 10.0**0.204, rtol=1e-9)


def test_a_split_without_sources_is_an_error(sky):
    lonely = SimpleNamespace(ids=sky.library.ids, split=np.full(N_SOURCES, "train"))
    with pytest.raises(DataError, match="0 in val"):
        LensPopulation.of(experiment(), sky.hosts, lonely, sky.sources)


def test_a_host_without_a_magnitude_is_unfit(sky):
    holed = sky.hosts.slice(0, 3).set_column(1, "host_mag_g", pa.array([None, 20.0, None], pa.float64()))
    population = LensPopulation.of(experiment(), holed, sky.library, sky.sources)
    assert np.isnan(population.hosts.z[[0, 2]]).all()
    assert population.unfit(["train"] * 3)[[0, 2]].all()


@pytest.mark.realdata
def test_redshifts_of_real_lens_galaxies_are_those_of_their_spectra(realdata):
    lenses = Table.read(realdata / "catalogs" / "stein2022_training_lenses.tsv", format="ascii.tab")
    mags = [np.array(lenses[f"mag_{band}"], dtype=float) for band in "grz"]
    z = np.array(lenses["z_spec"], dtype=float)
    good = (z > 0.1) & np.isfinite(np.sum(mags, axis=0))
    table = pa.table(
        {"host_id": [f"h-{i}" for i in range(good.sum())], "ebv": np.zeros(good.sum())}
        | dict.fromkeys(REDSHIFTS, pa.nulls(int(good.sum()), pa.float64()))
        | {f"host_mag_{band}": mag[good] for band, mag in zip("grz", mags, strict=True)}
    )
    found = lens_hosts.describe_hosts(experiment(), table)
    error = found.z - z[good]
    assert good.sum() > 390
    assert abs(np.median(error)) < 0.03
    assert stats.median_abs_deviation(error, scale="normal") < 0.09
    # lenses are heavy: SLACS and BELLS have 250 km/s in the median
    assert 230.0 < np.median(10.0**found.log_sigma) < 300.0


def redshifts_given(table, **columns):
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, pa.float64(), from_pandas=True))
    return table


def test_a_spectrum_comes_before_a_photometric_redshift_before_colours(sky):
    """Four hosts of one kind: what the survey says of each decides."""
    table = host_table(np.full(5, 0.4), np.array([18.0, 18.0, 18.0, 18.0, 21.5]), n=5)
    nan = np.nan
    table = redshifts_given(
        table,
        z_spec=[0.31, nan, nan, nan, nan],
        z_phot=[0.9, 0.52, nan, 0.52, 0.52],
        z_phot_l68=[0.8, 0.50, nan, 0.52, 0.50],
        z_phot_u68=[1.0, 0.56, nan, 0.52, 0.56],
    )
    found = lens_hosts.describe_hosts(experiment(), table)
    # no interval is no measurement, and beyond z = 21 mag the survey's estimator is not relied on
    assert found.origin.tolist() == ["spectrum", "photo-z", "colours", "colours", "colours"]
    assert found.z[0] == 0.31
    assert found.z[1] == pytest.approx(0.52, abs=0.15)
    assert found.z[2:4] == pytest.approx(0.4, abs=0.15)
    chi = cosmo.comoving_distance_mpc(found.z, UNIVERSE)
    np.testing.assert_array_equal(found.chi_mpc, chi)


def test_photometric_redshifts_are_drawn_with_their_own_interval():
    n = 4000
    table = redshifts_given(
        host_table(np.full(n, 0.4), np.full(n, 18.0), n=n),
        z_phot=np.full(n, 0.50), z_phot_l68=np.full(n, 0.47), z_phot_u68=np.full(n, 0.58),
    )  # fmt: skip
    z = lens_hosts.describe_hosts(experiment(), table).z
    # two half Gaussians of widths 0.03 and 0.08: their areas are as their widths
    assert (z < 0.5).mean() == pytest.approx(0.03 / 0.11, abs=0.03)
    assert z[z < 0.5].mean() == pytest.approx(0.5 - 0.03 * np.sqrt(2 / np.pi), abs=0.004)
    assert z[z > 0.5].mean() == pytest.approx(0.5 + 0.08 * np.sqrt(2 / np.pi), abs=0.006)


def test_a_star_by_its_spectrum_and_a_galaxy_too_far_are_no_deflectors(sky):
    table = redshifts_given(
        host_table(np.full(3, 0.4), np.full(3, 18.0), n=3),
        z_spec=[0.0, 1.9, np.nan], z_phot=[0.4, 0.4, 2.0], z_phot_l68=[0.3, 0.3, 1.9],
        z_phot_u68=[0.5, 0.5, 2.1],
    )  # fmt: skip
    population = LensPopulation.of(experiment(), table, library_of(30), galaxies_at(np.full(30, 2.5)))
    assert np.isnan(population.hosts.z).all()
    assert population.hosts.origin.tolist() == ["none"] * 3
    assert population.unfit(["train"] * 3).all()
