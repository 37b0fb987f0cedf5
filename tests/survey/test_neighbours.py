import numpy as np
import pytest

from darkhaloscope.survey.neighbours import nearest_arcsec


def test_separation_is_on_the_sphere_and_names_the_nearest():
    separation, index = nearest_arcsec(
        [0.0, 359.999, 10.0], [60.0, 0.0, -89.999], [0.01, 0.0005, 190.0], [60.0, 0.0, -89.999]
    )
    assert separation == pytest.approx([18.0, 5.4, 7.2], rel=1e-5)
    assert index.tolist() == [0, 1, 2]


def test_without_known_objects_everything_is_far():
    separation, index = nearest_arcsec([1.0, 2.0], [3.0, 4.0], [], [])
    assert np.isinf(separation).all()
    assert index.tolist() == [-1, -1]
    assert nearest_arcsec([], [], [1.0], [1.0])[0].size == 0
