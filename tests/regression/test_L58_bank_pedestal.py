"""L58: noise clipped at zero and normalised to unit sum made the bank a pedestal with a median
half-light radius of 1.08 arcsec, where a uniform square has 1.15."""

import numpy as np
from cosmos_catalog import Galaxy, disc, good_galaxies, write_catalogue

from darkhaloscope.sources.bank import SourceBank, build_bank


def test_faint_galaxy_on_a_sky_pedestal_becomes_a_template_of_galaxy_light_only(tmp_path):
    """A template holds no sky: light beyond the galaxy is zero, negative noise is kept, the size is right."""
    faint = Galaxy(7, mag=23.4, hlr_px=8.0, side=120, sky=0.004)
    write_catalogue(tmp_path / "cat", [*good_galaxies(5), faint])
    build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        row = bank.index_of("cosmos-7")
        template = bank.templates([row])[0].astype(float)
        assert bank.columns["background"][row] > 0.0038
        assert abs(np.log10(bank.hlr_arcsec[row] / 0.24)) < 0.05
        assert bank.columns["negative_flux_fraction"][row] > 0.0
    assert template.min() < 0.0
    y, x = np.indices(template.shape) - 47.5
    radius = np.hypot(x, y)
    growth = np.array([template[radius < r].sum() for r in (24, 32, 40, 47)])
    truth = disc(96, 8.0)
    expected = np.array([truth[radius < r].sum() for r in (24, 32, 40, 47)])
    np.testing.assert_allclose(growth, expected, atol=0.06)
    assert np.mean(template[radius > 44] == 0.0) > 0.99
