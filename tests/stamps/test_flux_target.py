"""The flux that reaches a wanted S/N: exact against the estimator that is recorded."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import noise, snr
from darkhaloscope.stamps.flux_target import footprint_sums, sampling_weight

N, SIZE, SKY_NMGY = 40, 33, 0.1


def sums_of(arcs, invvar, good, photons):
    sky = np.full(len(arcs), SKY_NMGY) if photons else None
    return footprint_sums(arcs, invvar=invvar, good=good, hosts=np.arange(len(arcs)), sky_nmgy=sky)


@pytest.fixture(scope="module")
def arcs():
    """Arcs of many shapes and fluxes on uneven images with holes, band r unlike g and z."""
    rng = np.random.Generator(np.random.Philox(key=5))
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    shape = rng.uniform(2.0, 6.0, (N, 1, 1, 1)), rng.uniform(-5.0, 5.0, (N, 2, 1, 1, 1))
    arc = np.exp(-0.5 * (np.hypot(x - shape[1][:, 0], y - shape[1][:, 1]) / shape[0]) ** 2)
    arc = arc * np.array([3.0, 1.0, 0.2])[:, None, None] * 10.0 ** rng.uniform(-3, 1, (N, 1, 1, 1))
    invvar = rng.uniform(0.5, 2.0, (N, 3, SIZE, SIZE)) * 4e4
    invvar[:, :, 10:14, 10:14] = 0.0
    good = rng.random(invvar.shape) > 0.05
    return arc.astype(np.float32), invvar.astype(np.float32), good


@pytest.mark.parametrize("photons", [False, True])
def test_the_scaled_arc_has_the_wanted_snr(arcs, photons):
    """Measured as ``compose`` measures it: on the scaled float32 arc with the noise of that arc."""
    arc, invvar, good = arcs
    target = np.geomspace(0.5, 300.0, N)
    gain = noise.effective_gain(SKY_NMGY, invvar)
    sums = sums_of(arc, invvar, good, photons)
    scale = sums.scale(target)
    scaled = arc * scale.astype(np.float32)[:, None, None, None]
    after = invvar.astype(np.float64)
    if photons:
        after = after / (1.0 + after * noise.light_variance(scaled, gain))
        assert (after[:, 1] < 0.9 * invvar[:, 1]).any()
    found = snr.footprint(scaled[:, 1], after[:, 1], good[:, 1])
    np.testing.assert_allclose(found, target, rtol=2e-5)
    np.testing.assert_allclose(sums.snr(scale), target, rtol=1e-12)


def test_scale_one_is_the_snr_that_is_recorded(arcs):
    arc, invvar, good = arcs
    sums = sums_of(arc, invvar, good, False)
    np.testing.assert_allclose(sums.snr(1.0), snr.footprint(arc[:, 1], invvar[:, 1], good[:, 1]), rtol=1e-12)


def test_the_slope_is_the_derivative(arcs):
    arc, invvar, good = arcs
    sums = sums_of(arc, invvar, good, True)
    for scale in (0.01, 1.0, 100.0):
        step = 1e-5
        numeric = np.log(sums.snr(scale * np.exp(step)) / sums.snr(scale * np.exp(-step))) / (2.0 * step)
        np.testing.assert_allclose(sums.slope(scale), numeric, rtol=1e-6)
    assert sums.slope(1e9).max() < 0.51
    assert sums.slope(1e-9).min() > 0.99


def test_no_flux_helps_where_the_footprint_has_no_good_pixel(arcs):
    arc, invvar, good = arcs
    blind = sums_of(arc[:3], invvar[:3], np.zeros_like(good[:3]), False)
    dark = sums_of(0.0 * arc[:3], invvar[:3], good[:3], False)
    for sums in (blind, dark):
        assert np.isinf(sums.scale([5.0, 10.0, 20.0])).all()
        np.testing.assert_array_equal(sums.snr(1.0), 0.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_target_that_is_no_snr_is_refused(arcs, bad):
    arc, invvar, good = (values[:2] for values in arcs)
    with pytest.raises(DataError, match="target_snr"):
        sums_of(arc, invvar, good, False).scale([5.0, bad])


def test_weights_integrate_to_the_prior(arcs):
    """Over all targets of one scene, the mean weight is the prior's share within the range of S/N."""
    arc, invvar, good = (values[:1] for values in arcs)
    sums = sums_of(arc, invvar, good, True)
    low, high = 1e-4, 1e6
    snr_at = low * (high / low) ** ((np.arange(200_000) + 0.5) / 200_000)
    scale = sums.scale(snr_at)
    magnitude = -2.5 * np.log10(scale)
    centre = magnitude.mean()
    prior = np.exp(-0.5 * ((magnitude - centre) / 0.7) ** 2) / (0.7 * np.sqrt(2.0 * np.pi))
    weight = sampling_weight(prior, np.full(len(scale), 1.0 / np.log(high / low)), sums.slope(scale))
    assert weight.mean() == pytest.approx(1.0, abs=1e-4)
    assert np.average(magnitude, weights=weight) == pytest.approx(centre, abs=1e-3)


def test_arcs_find_their_hosts(arcs):
    """Arcs in another order, two on one host: each has the sums of its own pixels, bit for bit."""
    arc, invvar, good = arcs
    hosts = np.array([7, 3, 7, 0])
    sky = np.linspace(0.05, 0.5, N)
    found = footprint_sums(arc[hosts], invvar=invvar, good=good, hosts=hosts, sky_nmgy=sky)
    for place, host in enumerate(hosts):
        alone = footprint_sums(
            arc[host][None],
            invvar=invvar[host][None],
            good=good[host][None],
            hosts=[0],
            sky_nmgy=sky[host][None],
        )
        assert [values[place] for values in found] == [values[0] for values in alone]


def test_a_sky_without_light_is_refused(arcs):
    arc, invvar, good = (values[:1] for values in arcs)
    with pytest.raises(DataError, match="sky_nmgy"):
        footprint_sums(arc, invvar=invvar, good=good, hosts=[0], sky_nmgy=[0.0])
