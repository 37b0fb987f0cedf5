"""Batches carry their own rows, augmented by id and epoch, whatever came before."""

import numpy as np
import pytest
import torch
from training_rows import numbered

from darkhaloscope.config import Augmentation
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.training.batches import inference_images, prefetched, training_batches
from darkhaloscope.training.order import epoch_batches

CPU = torch.device("cpu")


def spec(**changes) -> PreprocessSpec:
    given = {"normalisation": "outer_mad", "clip": 1e6, "centre": "none", "centre_radius_px": 1.2, **changes}
    return PreprocessSpec(bands=("r",), crop_px=4, metadata_columns=(), **given)


def epoch(data, *, number=1, start=0, chosen=None, **augmentation):
    batches = epoch_batches(len(data), 8, seed=1, epoch=number)[start:]
    how = Augmentation(**augmentation)
    return list(
        training_batches(
            data, batches, preprocess=chosen or spec(), augmentation=how, seed=1, epoch=number, device=CPU
        )
    )


def test_every_row_comes_once_with_its_own_label():
    found = epoch(numbered(50))
    assert sorted(np.concatenate([batch.rows for batch in found]).tolist()) == list(range(50))
    for batch in found:
        np.testing.assert_array_equal(batch.labels.numpy(), batch.rows)
        np.testing.assert_array_equal(batch.metadata[:, 0].numpy(), batch.rows)
        np.testing.assert_array_equal(batch.images[:, 0, 2, 1].numpy(), batch.rows)


def textured(n=40):
    data = numbered(n)
    data.linear[...] = np.random.Generator(np.random.Philox(key=2)).normal(size=data.linear.shape)
    return data


@pytest.mark.parametrize("centre", ["none", "noise"])
def test_an_epoch_taken_up_in_the_middle_goes_on_the_same(centre):
    data, chosen = textured(), spec(centre=centre, centre_probability=0.5)
    how = {"shift_px": 0.4, "flux_jitter": 0.1, "chosen": chosen}
    whole, rest = epoch(data, **how), epoch(data, start=3, **how)
    assert len(rest) == len(whole) - 3
    for a, b in zip(whole[3:], rest, strict=True):
        assert torch.equal(a.images, b.images)


def test_no_epoch_repeats_another():
    data = textured()
    seen = {}
    for number in range(1, 6):
        for batch in epoch(data, number=number, shift_px=0.4):
            for row, image in zip(batch.rows, batch.images, strict=True):
                seen.setdefault(int(row), set()).add(image.numpy().tobytes())
    assert {len(images) for images in seen.values()} == {5}


def test_inference_sees_rows_as_they_are():
    data = textured()
    rows = np.array([5, 3, 9])
    np.testing.assert_array_equal(inference_images(data, rows, spec(), CPU).numpy(), data.linear[rows])
    masked = inference_images(data, rows, spec(centre="mask"), CPU).numpy()
    assert not masked[:, :, 1:3, 1:3].any()


def test_prefetching_keeps_order_and_passes_errors_on():
    def failing():
        yield 1
        yield 2
        raise ValueError("third")

    assert list(prefetched(range(7))) == list(range(7))
    taken = prefetched(failing())
    assert [next(taken), next(taken)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(taken)
