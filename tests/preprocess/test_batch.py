"""Tensors take the steps of the numpy reference, to 1e-6 of the clip."""

import numpy as np
import pytest
import torch
from test_spec import spec, stamps

from darkhaloscope.config import Augmentation
from darkhaloscope.preprocess import augment, batch

ATOL = 1e-5
"""1e-6 of the clip of 10 sigma."""


def invvar(image: np.ndarray) -> np.ndarray:
    return np.linspace(1e3, 5e3, image.size, dtype=np.float32).reshape(image.shape)


@pytest.mark.parametrize("side", [64, 61])
@pytest.mark.parametrize("centre", ["none", "mask", "blur", "noise"])
@pytest.mark.parametrize("normalisation", ["outer_mad", "raw_mad", "residual_radial", "snr"])
def test_tensors_agree_with_arrays(normalisation, centre, side):
    image = stamps(4, 101)
    chosen = spec(side, normalisation=normalisation, centre=centre, centre_radius_px=8.0)
    expected = chosen.images(image, invvar(image))
    got = batch.model_images(chosen, torch.from_numpy(image), torch.from_numpy(invvar(image))).numpy()
    np.testing.assert_allclose(got, expected, rtol=0.0, atol=ATOL)


def test_augmented_tensors_agree_with_arrays():
    image = spec().linear(stamps(64)).values
    how = Augmentation(shift_px=0.5, flux_jitter=0.2)
    draws = augment.draw(
        augment.row_keys([f"t{i}" for i in range(64)]), seed=3, epoch=2, spec=spec(), how=how
    )
    assert set(draws.symmetry.tolist()) == set(range(8))
    got = batch.augment(torch.from_numpy(image), draws).numpy()
    np.testing.assert_allclose(got, augment.apply(image, draws), rtol=2e-6, atol=ATOL)
