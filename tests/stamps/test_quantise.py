"""Quantised stamps: errors are uniform, bounded and know nothing of image or class; nothing is clipped."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import synthetic_stamps

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.lensing.deviates import philox
from darkhaloscope.lensing.geometry import outer_pixels
from darkhaloscope.schema import QUANTISED, STAMPS
from darkhaloscope.stamps import quantise
from darkhaloscope.streams import keys

ROWS = 40


@pytest.fixture(scope="module")
def table():
    return synthetic_stamps.stamp_table(ROWS, "train").combine_chunks()


@pytest.fixture(scope="module")
def images(table):
    return tabular.pixels(table, "image")


def round_trip(images, *, steps_per_sigma=32.0, ids=None):
    """Images counted and read back, and their steps."""
    ids = [f"task-{i}" for i in range(len(images))] if ids is None else ids
    step = quantise.image_steps(images, steps_per_sigma)
    return quantise.from_planes(quantise.to_planes(images, step, ids), step, ids), step


def restored(table, columns=None):
    stored = quantise.quantised(table, 32.0)
    QUANTISED.validate(stored)
    names = STAMPS.names() if columns is None else columns
    return pa.Table.from_batches([quantise.restored(b, names) for b in stored.to_batches()])


def test_the_step_is_a_share_of_the_outer_mad(images):
    outer = images.reshape(ROWS, 3, -1)[..., outer_pixels(64)].astype(float)
    mad = np.median(np.abs(outer - np.median(outer, axis=2, keepdims=True)), axis=2)
    np.testing.assert_allclose(quantise.image_steps(images, 32.0), 1.4826 * mad / 32.0, rtol=1e-5)
    ratio = quantise.image_steps(images, 32.0) / quantise.image_steps(images, 64.0)
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-6)


def test_the_error_is_uniform_within_half_a_step(images):
    back, step = round_trip(images)
    error = (back.astype(float) - images) / step[..., None, None]
    assert np.abs(error).max() <= 0.5 + 1e-4
    assert error.std() == pytest.approx(12**-0.5, rel=5e-3)
    assert error.mean() == pytest.approx(0.0, abs=2e-3)
    assert np.quantile(error, [0.1, 0.25, 0.9]) == pytest.approx([-0.4, -0.25, 0.4], abs=5e-3)


def test_the_error_knows_nothing_of_the_image(images):
    back, step = round_trip(images)
    step = step[..., None, None].astype(float)
    error, phase = (back - images) / step, 2 * np.pi * images / step
    for known in (np.cos(phase), np.sin(phase), images / step):
        assert abs(np.corrcoef(error.ravel(), known.ravel())[0, 1]) < 0.006
    # what was read lies on no lattice of the step
    assert abs(np.cos(2 * np.pi * back / step).mean()) < 0.006


def test_the_error_is_uniform_on_an_image_with_a_lattice_of_its_own(images):
    """Survey images come in steps of 1e-4 nMgy; one that meets ours must leave no mark."""
    coarse = np.rint(images / 1e-4).astype(np.float32) * np.float32(1e-4)
    step = np.full((ROWS, 3), 2e-4, dtype=np.float32)
    ids = [f"task-{i}" for i in range(ROWS)]
    back = quantise.from_planes(quantise.to_planes(coarse, step, ids), step, ids)
    for odd in (False, True):
        error = ((back.astype(float) - coarse) / 2e-4)[(np.rint(coarse / 1e-4) % 2 == 1) == odd]
        assert error.std() == pytest.approx(12**-0.5, rel=0.01)
        assert error.mean() == pytest.approx(0.0, abs=4e-3)


def test_a_row_is_the_same_in_any_company(images):
    ids = [f"task-{i}" for i in range(ROWS)]
    step = quantise.image_steps(images, 32.0)
    every = quantise.to_planes(images, step, ids)
    order = np.random.Generator(np.random.Philox(key=1)).permutation(ROWS)
    some = quantise.to_planes(images[order], step[order], [ids[i] for i in order])
    assert (some.low == every.low[order]).all()
    assert (some.high == every.high[order]).all()


def test_another_row_and_another_band_have_another_dither():
    flat = np.full((2, 3, 64, 64), 0.4, dtype=np.float32)
    step = np.ones((2, 3), dtype=np.float32)
    low = quantise.to_planes(flat, step, ["a", "b"]).low.reshape(6, -1).astype(float)
    correlation = np.corrcoef(low)
    assert np.abs(correlation[np.triu_indices(6, 1)]).max() < 0.06
    # rounding 0.4 + u, u uniform in (-1/2, 1/2), gives 1 in four tenths of the pixels
    assert (low - 128).mean() == pytest.approx(0.4, abs=0.01)


def test_the_dither_is_philox_of_the_task(images):
    ids = ["0123456789abcdef0123456789abcdef"]
    key = keys(quantise.DITHER_SEED, "quantisation_dither", ids)[0]
    counter = np.zeros((512, 4), dtype=np.uint64)
    counter[:, 0], counter[:, 1], counter[:, 2:] = np.arange(512), 2, key[2:]
    words = philox(counter, key[:2])
    halves = np.concatenate(
        [(words[:, p // 2] >> np.uint64(16 * (p % 2))) & np.uint64(0xFFFF) for p in range(8)]
    )
    expected = (halves.astype(float) - 32767.5) / 65536
    # with a step of one and counts of zero, what is read is minus the dither
    zero = np.zeros((1, 3 * 64 * 64), dtype=np.uint8)
    planes = quantise.Planes(zero + np.uint8(128), zero, np.empty((0, zero.size), np.int16), np.array([-1]))
    read = quantise.from_planes(planes, np.ones((1, 3), np.float32), ids)
    np.testing.assert_array_equal(read[0, 2].ravel(), -expected.astype(np.float32))


def test_bytes_are_those_of_every_platform():
    ramp = (np.arange(2 * 3 * 33 * 33, dtype=np.float32).reshape(2, 3, 33, 33) - 4000.0) * np.float32(0.37)
    step = np.array([[0.5, 1.0, 3.0], [0.7, 0.11, 13.0]], dtype=np.float32)
    planes = quantise.to_planes(ramp, step, ["one", "two"])
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)).hexdigest()
    assert digest[:16] == "c327436b6cc27b65"
    back = quantise.from_planes(planes, step, ["one", "two"])
    assert hashlib.sha256(back.tobytes()).hexdigest()[:16] == "abe13891e4470170"


@pytest.mark.parametrize("size", [33, 64, 101])
def test_any_size(size):
    rng = np.random.Generator(np.random.Philox(key=size))
    images = rng.normal(0.02, 0.01, (3, 3, size, size)).astype(np.float32)
    back, step = round_trip(images)
    assert back.shape == images.shape
    assert (np.abs(back - images) <= 0.5001 * step[..., None, None]).all()


@pytest.mark.parametrize("edge", [32767 - 128, 32768 - 128, -32768 - 128, -32769 - 128, 2**24, -(2**30)])
def test_counts_around_every_limit_come_back(images, edge):
    stamp = images[:2].copy()
    step = quantise.image_steps(stamp, 32.0)
    stamp[1, 1, 30, 30] = np.float32(edge) * step[1, 1]
    planes = quantise.to_planes(stamp, step, ["a", "b"])
    fits = edge + 128 - 1 >= -32768 and edge + 128 + 1 <= 32767
    if abs(edge + 128) < 32766 or abs(edge + 128) > 32770:
        assert (planes.place >= 0).tolist() == [False, not fits]
    back = quantise.from_planes(planes, step, ["a", "b"])
    allowed = 0.5001 * step[..., None, None] + 2.0**-23 * np.abs(stamp)
    assert (np.abs(back.astype(float) - stamp) <= allowed).all()


def test_bright_hosts_are_kept_whole_and_counted(table, images):
    bright = images.copy()
    bright[3, 2, 31:33, 31:33] = 900.0
    bright[7, 0, 5, 5] = -50.0
    columns = {n: tabular.pixels(table, n) if n in QUANTISED_PIXELS else table[n] for n in table.column_names}
    wide = STAMPS.table({**columns, "image": bright}, 64)
    stored = quantise.quantised(wide, 32.0)
    assert np.flatnonzero(pc.is_valid(stored["image_wide"]).to_numpy()).tolist() == [3, 7]
    back = tabular.pixels(restored(wide), "image")
    step = quantise.image_steps(bright, 32.0)[..., None, None]
    assert (np.abs(back.astype(float) - bright) <= 0.5001 * step + 2.0**-23 * np.abs(bright)).all()


QUANTISED_PIXELS = {"image", "invvar", "maskbits"}


def test_a_table_comes_back_with_all_else_untouched(table):
    back = restored(table)
    STAMPS.validate(back)
    assert back.column_names == table.column_names
    assert back.drop(["image"]).equals(table.drop(["image"]))
    assert not back["image"].equals(table["image"])
    assert back.schema.field("image").equals(table.schema.field("image"), check_metadata=True)


def test_columns_come_in_the_order_asked(table):
    back = restored(table, ["image", "split", "task_id"])
    assert back.column_names == ["image", "split", "task_id"]
    stored = quantise.stored_columns(["split", "image"])
    assert set(stored) == {"split", "task_id", *quantise.STEPS, *quantise.PLANES}
    assert quantise.stored_columns(["split", "invvar"]) == ["split", "invvar"]


def test_a_slice_of_stored_rows_is_restored_as_the_whole(table):
    stored = quantise.quantised(table, 32.0).combine_chunks().to_batches()[0]
    whole = quantise.restored(stored, ["image"])
    part = quantise.restored(stored.slice(11, 5), ["image"])
    assert part.equals(whole.slice(11, 5))
    assert quantise.restored(stored.take(pa.array([30, 2])), ["image"]).equals(whole.take(pa.array([30, 2])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stamp: stamp[1].__setitem__((4, 4), np.nan), "1 pixels"),
        (lambda stamp: stamp[1].__setitem__((4, 4), np.inf), "1 pixels"),
        (lambda stamp: stamp[2].fill(0.3), "4096 pixels"),
        (lambda stamp: stamp[2].fill(0.0), "4096 pixels"),
        (lambda stamp: stamp[0].__setitem__((4, 4), 1e9), "1 pixels"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(images, change, message):
    broken = images[:3].copy()
    change(broken[1])
    with pytest.raises(DataError, match=rf"cannot be quantised.*row task-1.*{message}"):
        round_trip(broken)
