"""The mock's lenses: geometry, magnification, and the cost of few rays."""

from dataclasses import replace

import numpy as np
import pytest

from darkhaloscope import streams
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC
from darkhaloscope.survey.mock.lenses import LensModel, draw_lens, lensed_components
from darkhaloscope.survey.mock.profiles import convolve_cells

ROUND = LensModel(
    theta_e_arcsec=1.5,
    slope=2.0,
    q=0.999,
    angle_rad=0.0,
    gamma1=0.0,
    gamma2=0.0,
    src_x_arcsec=0.0,
    src_y_arcsec=0.0,
    src_radius_arcsec=0.15,
)


def cells(model, **options):
    return lensed_components(model, streams.generator(1, "morphology", "x"), **options)


def test_a_source_behind_a_round_lens_is_a_ring_at_theta_e():
    image, magnification = cells(ROUND)
    rows, columns = (np.indices(image.shape[1:]) - 63.5) * PIXEL_SCALE_ARCSEC / 2
    core = image[0] / image[0].sum()
    assert (core * np.hypot(rows, columns)).sum() == pytest.approx(1.5, abs=0.06)
    # A Gaussian core of width s behind a round isothermal lens: mu = theta_E sqrt(2 pi) / s.
    assert magnification[0] == pytest.approx(1.5 * np.sqrt(2 * np.pi) / (0.25 * 0.15), rel=0.1)


def test_the_source_lies_where_it_is_said_to():
    weak = replace(ROUND, theta_e_arcsec=1e-4, src_x_arcsec=1.0, src_y_arcsec=-0.6, src_radius_arcsec=0.4)
    image, magnification = cells(weak)
    rows, columns = (np.indices(image.shape[1:]) - 63.5) * PIXEL_SCALE_ARCSEC / 2
    core = image[0] / image[0].sum()
    assert (core * columns).sum() == pytest.approx(1.0, abs=0.02)
    assert (core * rows).sum() == pytest.approx(-0.6, abs=0.02)
    assert magnification == pytest.approx(1.0, abs=0.03)


def test_each_component_has_its_own_image():
    image, _ = cells(ROUND)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(image[a] / image[a].sum() - image[b] / image[b].sum()).max() > 1e-4


def test_a_lens_does_not_depend_on_the_one_before():
    first, _ = cells(ROUND)
    cells(replace(ROUND, src_x_arcsec=0.5))
    again, _ = cells(ROUND)
    assert np.array_equal(first, again)


def test_few_rays_are_enough_behind_the_atmosphere():
    worst = 0.0
    for i in range(3):
        model = draw_lens(4, str(i), spectroscopic=False, light_q=0.8, light_angle_rad=0.3, light_r_mag=19.6)
        seen = []
        for options in ({}, {"rays_per_cell_side": 7}):
            image, _ = cells(model, **options)
            seen.append(
                convolve_cells(
                    np.einsum("c,cyx->yx", [0.12, 0.6, 0.28], image)[None],
                    x_offset_px=0.0,
                    y_offset_px=0.0,
                    fwhm_arcsec=np.array([1.1]),
                    psf_e=np.zeros((1, 2)),
                )
            )
        worst = max(worst, float(np.abs(seen[0] - seen[1]).max() / seen[1].max()))
    assert worst < 0.012


def test_brighter_galaxies_lens_wider():
    def median(r_mag):
        return np.median(
            [
                draw_lens(
                    1, str(i), spectroscopic=False, light_q=0.8, light_angle_rad=0.0, light_r_mag=r_mag
                ).theta_e_arcsec
                for i in range(60)
            ]
        )

    assert median(17.5) > 1.1 * median(20.5)
