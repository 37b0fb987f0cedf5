"""L59: a bank "with half-light radii up to 1.0 arcsec" held sources up to 1.25 arcsec."""

import numpy as np
from cosmos_catalog import Galaxy, good_galaxies, write_catalogue

from darkhaloscope.sources.bank import BankLimits, SourceBank, build_bank


def test_every_stored_radius_lies_inside_the_limits_for_any_limits(tmp_path):
    sizes = [Galaxy(100 + i, mag=21.0, hlr_px=3.0 + 1.1 * i, side=150) for i in range(14)]
    write_catalogue(tmp_path / "cat", [*good_galaxies(6), *sizes])
    for low, high in ((0.1, 1.0), (0.2, 0.4)):
        limits = BankLimits(hlr_arcsec=(low, high))
        build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1, limits=limits)
        with SourceBank.open(tmp_path / "bank.h5") as bank:
            for name in ("hlr_arcsec", "hlr_catalogue_arcsec"):
                assert bank.columns[name].min() >= low
                assert bank.columns[name].max() <= high
            # the stored value is the template's own
            total = np.array([_radius_arcsec(t) for t in bank.templates(range(len(bank)))])
            np.testing.assert_allclose(total, bank.hlr_arcsec, rtol=0.06)


def _radius_arcsec(template):
    y, x = np.indices(template.shape)
    positive = np.maximum(template, 0.0)
    x0, y0 = (positive * x).sum() / positive.sum(), (positive * y).sum() / positive.sum()
    order = np.argsort(np.hypot(x - x0, y - y0), axis=None)
    growth = np.cumsum(template.ravel()[order], dtype=float)
    return 0.03 * np.hypot(x - x0, y - y0).ravel()[order][np.argmax(growth >= 0.5 * growth[-1])]
