"""Einstein radii from distances: other codes, and limits known without one."""

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import cosmology as cosmo

UNIVERSE = cosmo.flat_lambda_cdm(70.0, 0.3)


@pytest.mark.filterwarnings("ignore:Use.*angular_diameter_distance")
@pytest.mark.parametrize(("z_lens", "z_source"), [(0.1, 0.3), (0.35, 0.8), (0.6, 1.5), (0.9, 3.5)])
@pytest.mark.parametrize("omega_m", [0.2, 0.3, 1.0])
def test_radii_are_lenstronomys(z_lens, z_source, omega_m):
    universe = cosmo.flat_lambda_cdm(70.0, omega_m)
    theirs = LensCosmo(z_lens, z_source, cosmo=FlatLambdaCDM(70.0, omega_m, Tcmb0=0.0))
    for sigma in (120.0, 220.0, 350.0):
        mine = cosmo.einstein_radius_arcsec(sigma, z_lens, z_source, universe)
        assert mine == pytest.approx(theirs.sis_sigma_v2theta_E(sigma), rel=1e-6)
        assert cosmo.velocity_dispersion_kms(mine, z_lens, z_source, universe) == pytest.approx(sigma)


def test_distances_of_an_empty_of_lambda_universe_are_analytic():
    """Omega_m = 1: chi = 2 c / H0 (1 - 1 / sqrt(1 + z))."""
    z = np.array([0.1, 0.5, 2.0])
    expected = 2.0 * cosmo.LIGHT_KMS / 70.0 * (1.0 - 1.0 / np.sqrt(1.0 + z))
    found = cosmo.comoving_distance_mpc(z, cosmo.flat_lambda_cdm(70.0, 1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_source_far_behind_and_one_before_the_lens():
    assert cosmo.einstein_radius_limit_arcsec(220.0) == pytest.approx(1.396, abs=2e-3)
    limit = cosmo.einstein_radius_arcsec(220.0, 1e-4, 3.0, UNIVERSE)
    assert limit == pytest.approx(cosmo.einstein_radius_limit_arcsec(220.0), rel=1e-3)
    assert cosmo.einstein_radius_arcsec(220.0, 0.5, [0.4, 0.5], UNIVERSE).tolist() == [0.0, 0.0]
    assert np.isinf(cosmo.velocity_dispersion_kms(1.0, 0.5, 0.4, UNIVERSE))


def test_the_hubble_constant_does_not_matter_and_matter_does():
    def radius(h0, omega_m):
        return float(cosmo.einstein_radius_arcsec(250.0, 0.4, 1.2, cosmo.flat_lambda_cdm(h0, omega_m)))

    assert radius(50.0, 0.3) == pytest.approx(radius(80.0, 0.3), rel=1e-9)
    assert radius(70.0, 0.2) > radius(70.0, 0.3) > radius(70.0, 1.0)


@pytest.mark.parametrize("z", [0.0, -0.1, np.nan, np.inf])
def test_a_redshift_that_is_none_is_an_error(z):
    with pytest.raises(DataError, match="field z, row 1"):
        cosmo.comoving_distance_mpc([0.5, z], UNIVERSE)
