"""What happens to a row depends on its id and the epoch, and is what it says it is."""

import numpy as np
import pytest
from scipy import ndimage
from test_spec import spec

from darkhaloscope.config import Augmentation
from darkhaloscope.preprocess import augment

ROWS = augment.row_keys([f"task-{i}" for i in range(4000)])
ALL = Augmentation(shift_px=0.5, flux_jitter=0.1)


def draw(rows=ROWS, *, epoch=1, seed=5, how=ALL, **section):
    return augment.draw(rows, seed=seed, epoch=epoch, spec=spec(**section), how=how)


def test_a_draw_is_the_rows_own():
    order = np.random.Generator(np.random.Philox(key=1)).permutation(len(ROWS))
    alone, shuffled = draw(), draw(ROWS[order])
    for name in ("symmetry", "shift_px", "gain", "treated"):
        np.testing.assert_array_equal(getattr(alone, name)[order], getattr(shuffled, name))


def test_epochs_and_seeds_differ():
    first = draw()
    for other in (draw(epoch=2), draw(seed=6)):
        assert (first.symmetry == other.symmetry).mean() == pytest.approx(1 / 8, abs=0.03)
        assert abs(np.corrcoef(first.shift_px[:, 0], other.shift_px[:, 0])[0, 1]) < 0.06


def test_draws_have_their_distribution():
    drawn = draw(centre="blur", centre_probability=0.3)
    assert np.bincount(drawn.symmetry, minlength=8) / len(ROWS) == pytest.approx(np.full(8, 1 / 8), abs=0.025)
    np.testing.assert_allclose(
        np.quantile(drawn.shift_px, [0.0, 0.25, 0.75, 1.0]), [-0.5, -0.25, 0.25, 0.5], atol=0.02
    )
    assert abs(np.corrcoef(drawn.shift_px.T)[0, 1]) < 0.06
    assert np.log(drawn.gain).std() == pytest.approx(0.1, rel=0.05)
    assert drawn.treated.mean() == pytest.approx(0.3, abs=0.03)
    assert not draw(centre="none", centre_probability=0.3).treated.any()


@pytest.mark.parametrize(
    ("how", "codes"),
    [
        (Augmentation(flips=False), {0, 1, 2, 3}),
        (Augmentation(quarter_turns=False), {0, 4}),
        (Augmentation(flips=False, quarter_turns=False), {0}),
    ],
)
def test_symmetries_can_be_left_out(how, codes):
    assert set(draw(how=how).symmetry.tolist()) == codes


def blob(x: float, y: float) -> np.ndarray:
    axis = np.arange(48) - 23.5
    return np.exp(-0.5 * (((axis[None, :] - x) / 3.0) ** 2 + ((axis[:, None] - y) / 3.0) ** 2))


def test_a_shift_moves_the_light_by_what_it_says():
    shift = np.array([[0.37, -0.22]], dtype=np.float32)
    moved = augment.shifted(blob(0.0, 0.0)[None, None].astype(np.float32), shift)[0, 0]
    np.testing.assert_allclose(moved, blob(0.37, -0.22), atol=4e-3)
    y, x = ndimage.center_of_mass(moved)
    np.testing.assert_allclose([x - 23.5, y - 23.5], shift[0], atol=2e-3)


def test_no_shift_leaves_every_bit():
    image = blob(0.3, 0.1)[None, None].astype(np.float32)
    np.testing.assert_array_equal(augment.shifted(image, np.zeros((1, 2), np.float32)), image)
