"""L21: flux per pixel taken for surface brightness made arcs 1,111 times too faint."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes


def test_l21_flux_is_magnification_times_source_flux():
    scenes = trial_scenes(12, size_px=101)
    rendered = render_lensed(**scenes)
    ratio = rendered.image.sum(axis=(2, 3)) / scenes["flux_nmgy"]
    # 1 % covers the wings of the PSF beyond the stamp.
    np.testing.assert_allclose(ratio, np.tile(rendered.magnification[:, None], 3), rtol=0.01)
    assert (rendered.magnification > 1).all()


@pytest.mark.parametrize("factor", [0.03**-2, 0.03**2, 1.01])
def test_l21_only_shares_of_the_flux_are_templates(factor):
    scenes = trial_scenes(2)
    scenes["templates"] = scenes["templates"] * factor
    with pytest.raises(DataError, match="sum of 1"):
        render_lensed(**scenes)


def test_l21_template_scale_changes_size_not_flux():
    scenes = trial_scenes(1, size_px=101) | {
        "theta_e_arcsec": 0.0,
        "src_x_arcsec": 0.0,
        "src_y_arcsec": 0.0,
        "gamma1": 0.0,
        "gamma2": 0.0,
    }
    sums = [
        render_lensed(**(scenes | {"template_scale_arcsec": scale})).image.sum() for scale in (0.03, 0.06)
    ]
    assert sums[0] == pytest.approx(sums[1], rel=0.01)
