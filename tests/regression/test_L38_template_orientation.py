"""L38: templates were never turned or mirrored, so a bank of N galaxies had N orientations."""

import numpy as np
import pytest

from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.lensing.render import render_lensed, render_unlensed
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.trial import trial_scenes


@pytest.mark.parametrize("change", [{"src_rotation_rad": 1.1}, {"src_flip": True}])
def test_l38_orientation_is_applied(change):
    scenes = trial_scenes(3) | {"src_rotation_rad": 0.2, "src_flip": False}
    before, after = render_lensed(**scenes).image, render_lensed(**(scenes | change)).image
    assert (np.abs(after - before).max(axis=(1, 2, 3)) > 0.005 * before.max(axis=(1, 2, 3))).all()


def test_l38_orientation_is_the_oracles():
    scenes = trial_scenes(4, fwhm_arcsec=(1.3,)) | {
        "src_rotation_rad": np.array([0.7, 0.7, -2.0, -2.0]),
        "src_flip": np.array([False, True, False, True]),
    }
    found = render_lensed(**scenes, quality=Sampling(2, 2)).image
    expected = reference_render(supersampling=4, **scenes).image
    assert np.abs(found - expected).max() < 1e-3 * expected.max()


def test_l38_angle_runs_from_x_towards_y_and_the_mirror_comes_first():
    template = np.zeros((41, 41))
    template[20, 35] = 1.0  # light at +x of the template's centre
    places = {}
    for name, (rotation, flip) in {
        "as is": (0.0, False),
        "quarter": (np.pi / 2, False),
        "mirror": (0.0, True),
        "mirror, quarter": (np.pi / 2, True),
    }.items():
        image = render_unlensed(
            np.asarray(template)[None],
            template_scale_arcsec=0.1,
            size_px=65,
            pixel_scale_arcsec=0.262,
            x_arcsec=0.0,
            y_arcsec=0.0,
            rotation_rad=rotation,
            flip=flip,
            psf_fwhm_arcsec=[[1.0]],
            flux_nmgy=[[1.0]],
        ).image[0, 0]
        row, column = np.unravel_index(image.argmax(), image.shape)
        places[name] = (int(np.sign(column - 32)), int(np.sign(row - 32)))
    assert places == {
        "as is": (1, 0),
        "quarter": (0, 1),
        "mirror": (-1, 0),
        "mirror, quarter": (0, -1),
    }
