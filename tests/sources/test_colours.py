"""Redshift, type and colours of source galaxies: the measured is kept, the drawn follows the prior."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate

from darkhaloscope.config import Sources
from darkhaloscope.sources import colours
from darkhaloscope.sources.colour_tracks import template_colours

N = 6000
NAMES = np.array([f"cosmos-{i}" for i in range(N)])


def library(mag=24.0, z=0.8, g_r=np.nan, r_z=np.nan, names=NAMES):
    full = lambda value: np.broadcast_to(np.asarray(value, dtype=float), (len(names),)).copy()  # noqa: E731
    return SimpleNamespace(ids=names, mag_f814w=full(mag), z_phot=full(z), g_r=full(g_r), r_z=full(r_z))


def describe(seed=1, settings=None, **given):
    return colours.describe_galaxies(settings or Sources(), library(**given), seed)


def test_what_is_measured_is_kept_and_nothing_else_is_touched():
    g_r, r_z, z = np.full(N, np.nan), np.full(N, np.nan), np.full(N, np.nan)
    g_r[:10], r_z[:10], z[:20] = 0.123, 0.456, 1.7
    g_r[10] = 0.9  # half a colour is none
    found = describe(g_r=g_r, r_z=r_z, z=z)
    drawn = describe(z=z)
    np.testing.assert_array_equal(found.g_r[:10], 0.123)
    np.testing.assert_array_equal(found.r_z[:10], 0.456)
    np.testing.assert_array_equal(found.z[:20], 1.7)
    np.testing.assert_array_equal(found.g_r[10:], drawn.g_r[10:])
    assert np.isfinite(np.stack(found)).all()


def test_a_galaxy_is_one_draw_in_any_library():
    order = np.random.Generator(np.random.Philox(key=2)).permutation(N)[:300]
    part = describe(names=NAMES[order], z=np.nan)
    for mine, every in zip(part, describe(z=np.nan), strict=True):
        np.testing.assert_array_equal(mine, every[order])
    assert not np.array_equal(describe(seed=2, z=np.nan).g_r, describe(z=np.nan).g_r)


def test_unknown_redshifts_follow_benitez():
    """The mean redshift of the whole prior, integrated apart."""
    for mag in (21.0, 23.0, 25.0):
        z = describe(mag=mag, z=np.nan).z
        at = np.linspace(0.0, 4.0, 801)
        density = np.sum([_prior(template, at, mag) for template in range(4)], axis=0)
        mean = np.trapezoid(at * density, at) / np.trapezoid(density, at)
        assert z.mean() == pytest.approx(mean, abs=0.03)
        assert z.min() > 0.0


def _prior(template, z, mag):
    """p(T | m) p(z | T, m), Benitez (2000), written out for every type."""
    alpha = (2.46, 1.81, 1.81, 0.91)[template]
    middle = (0.431, 0.39, 0.39, 0.063)[template] + (0.091, 0.0636, 0.0636, 0.123)[template] * (mag - 20.0)
    early, late = 0.35 * np.exp(-0.45 * (mag - 20.0)), 0.5 * np.exp(-0.147 * (mag - 20.0))
    share = (early, late / 2, late / 2, 1.0 - early - late)[template]
    shape = lambda x: x**alpha * np.exp(-((x / middle) ** alpha))  # noqa: E731
    return share * shape(z) / integrate.quad(shape, 0.0, 20.0)[0]


@pytest.mark.parametrize(("mag", "z"), [(20.5, 0.3), (22.0, 0.6), (24.0, 1.2), (25.5, 2.5)])
def test_types_follow_benitez(mag, z):
    wanted = np.array([_prior(template, z, mag) for template in range(4)])
    wanted /= wanted.sum()
    np.testing.assert_allclose(colours.type_shares([mag], [z])[:, 0], wanted, atol=1e-6)
    drawn = colours.draw_types(np.full(N, mag), np.full(N, z), NAMES.tolist(), 1)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / N, wanted, atol=0.02)


def test_bright_nearby_galaxies_are_redder_than_faint_distant_ones():
    near, far = describe(mag=21.0, z=0.5), describe(mag=24.5, z=1.8)
    assert np.median(near.g_r) > np.median(far.g_r) + 0.4
    assert np.median(far.g_r) < 0.35
    red = np.mean(near.g_r > 1.4)
    assert 0.1 < red < 0.5, "early types among bright galaxies at z = 0.5"
    assert np.mean(far.g_r > 1.4) < 0.01
    medians = [np.median(describe(mag=23.0, z=z).g_r) for z in (0.5, 0.8, 1.1, 1.5)]
    assert (np.diff(medians) < 0.0).all()


def test_colours_of_a_population_spread_and_go_together():
    mag = np.linspace(21.0, 25.2, N)
    found = describe(mag=mag, z=np.nan)
    assert 0.3 < found.g_r.std() < 0.8
    assert 0.2 < found.r_z.std() < 0.7
    assert np.corrcoef(found.g_r, found.r_z)[0, 1] > 0.3
    assert 0.2 < np.median(found.g_r) < 0.8


def test_scatter_about_a_template_is_the_configured_one():
    settings = Sources(colour_scatter=(0.2, 0.1), colour_correlation=-0.4)
    found = describe(settings=settings, mag=28.0, z=2.0)
    template = colours.draw_types(np.full(N, 28.0), np.full(N, 2.0), NAMES.tolist(), 1)
    mean = template_colours(template, np.full(N, 2.0))
    rest_g_r, rest_r_z = found.g_r - mean[0], found.r_z - mean[1]
    assert (rest_g_r.std(), rest_r_z.std()) == pytest.approx((0.2, 0.1), abs=0.006)
    assert np.corrcoef(rest_g_r, rest_r_z)[0, 1] == pytest.approx(-0.4, abs=0.04)
