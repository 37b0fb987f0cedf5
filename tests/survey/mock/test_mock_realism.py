"""The mock's pixels against real cutouts, measured by the same functions."""

import numpy as np
import pytest

from darkhaloscope.evaluation.cutouts import read_cutouts
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, plan_bricks
from darkhaloscope.survey.mock.pixels import make_brick
from darkhaloscope.survey.realism import measure_looks
from darkhaloscope.survey.release import DR10_SOUTH

SIDE = 101


@pytest.fixture(scope="module")
def real(realdata):
    cutouts = read_cutouts(realdata / "dr10_cutouts", release=DR10_SOUTH, size_px=SIDE)
    return [measure_looks(image, pixel_scale_arcsec=PIXEL_SCALE_ARCSEC) for image in cutouts.images]


@pytest.fixture(scope="module")
def mock():
    config = MockSkyConfig(
        n_bricks=6, n_pairs=0, missing_band=None, zero_coverage=False, n_lenses=0, n_lookalikes=0
    )
    looks = []
    for brick in plan_bricks(config):
        pixels = make_brick(config, brick, {})
        hosts = pixels.sources[pixels.sources["kind"] == "host"]
        x, y = brick.wcs(config.brick_px).all_world2pix(hosts["ra"], hosts["dec"], 0)
        for column, row in list(zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True))[:30]:
            window = np.s_[:, row - 50 : row + 51, column - 50 : column + 51]
            if pixels.invvar[window].shape[1:] == (SIDE, SIDE) and (pixels.invvar[window] > 0.0).all():
                looks.append(measure_looks(pixels.image[window], pixel_scale_arcsec=PIXEL_SCALE_ARCSEC))
    assert len(looks) > 100
    return looks


def inside(value, values, low=1.0, high=99.0):
    first, last = np.nanpercentile(np.asarray(values, dtype=float), [low, high])
    return first <= value <= last


@pytest.mark.realdata
def test_noise_of_real_cutouts_is_noise_the_mock_makes(real, mock):
    for looks in real:
        for band in range(3):
            assert inside(looks.sigma_nmgy[band], [one.sigma_nmgy[band] for one in mock])
            assert inside(looks.level_sigma[band], [one.level_sigma[band] for one in mock])


@pytest.mark.realdata
def test_noise_is_correlated_as_in_real_cutouts(real, mock):
    """Up at one pixel, down at two, up at three; stronger along y. Smoothing is never down at two."""
    mean_real = np.mean([one.correlation.mean(axis=0) for one in real], axis=0)
    mean_mock = np.mean([one.correlation.mean(axis=0) for one in mock], axis=0)
    assert mean_mock == pytest.approx(mean_real, abs=0.06)
    assert (np.sign(mean_mock) == [[1, -1, 1]] * 2).all()
    assert (mean_mock[1, 0] > mean_mock[0, 0]) == (mean_real[1, 0] > mean_real[0, 0])


@pytest.mark.realdata
def test_real_surroundings_and_profiles_are_among_those_of_the_mock(real, mock):
    for looks in real:
        assert inside(looks.sources, [one.sources for one in mock], 1.0, 99.5)
        assert inside(looks.sky_share, [one.sky_share for one in mock])
        near = [one for one in mock if abs(one.mag[2] - looks.mag[2]) < 0.4]
        assert len(near) > 10
        # Inside the seeing disc and just outside it; farther out neighbours decide.
        for ring in range(6):
            assert inside(
                looks.profile_nmgy_arcsec2[1, ring], [one.profile_nmgy_arcsec2[1, ring] for one in near]
            )
        for blue, red in ((0, 1), (1, 2)):
            assert inside(looks.mag[blue] - looks.mag[red], [one.mag[blue] - one.mag[red] for one in near])
