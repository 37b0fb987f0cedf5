"""An experiment rendered by lenstronomy has the stamps of the one rendered by numba."""

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.profiles import TEST
from darkhaloscope.schema import per_band

BUDGET_WORST, BUDGET_MEDIAN = 5e-3, 1.2e-3
"""Largest pixel difference over the peak of the light, at standard quality."""


def chosen(**renderer):
    return stamp_world.experiment(noise={"arc_shot_noise": False}, renderer=renderer)


@pytest.fixture(scope="module")
def few(rows):
    """Some matched light, the positives it follows, and bare controls."""
    matched = stamp_world.of_kind(rows, "matched_light").slice(0, 5)
    ids = set(matched["twin_task_id"].to_pylist())
    twins = rows.filter(pa.array([name in ids for name in rows["task_id"].to_pylist()]))
    return pa.concat_tables([twins, matched, stamp_world.of_kind(rows, "unpaired").slice(0, 3)])


@pytest.fixture(scope="module")
def numba(world, few):
    return stamp_world.stamps_of(world, few, chosen=chosen())


@pytest.fixture(scope="module")
def oracle(world, few):
    return stamp_world.stamps_of(world, few, chosen=chosen(engine="lenstronomy"))


def images(table):
    return tabular.pixels(table, "image").astype(np.float64)


@pytest.fixture(scope="module")
def host(world, few):
    """Pixels of the same rows with light too faint to see."""
    faint = {name: np.full(len(few), 60.0) for name in per_band("src_mag_{b}")}
    return images(stamp_world.stamps_of(world, stamp_world.replace(few, **faint), chosen=chosen()))


@pytest.fixture(scope="module")
def kind(few):
    return np.array(few["control_kind"].to_pylist())


def difference(found, expected, host, chosen_rows):
    """Largest pixel difference over the peak of the light, per chosen row and band."""
    found, expected, host = (pixels[chosen_rows] for pixels in (images(found), images(expected), host))
    return np.abs(found - expected).max(axis=(2, 3)) / (expected - host).max(axis=(2, 3))


def test_stamps_agree_within_the_budget(host, kind, numba, oracle):
    lit = kind != "unpaired"
    assert lit.sum() == 10
    off = difference(numba, oracle, host, lit)
    assert off.max() < BUDGET_WORST
    assert np.median(off) < BUDGET_MEDIAN
    assert (off > 0.0).all()  # two renderers, not one twice
    assert (images(numba)[~lit] == images(oracle)[~lit]).all()


def test_rows_are_the_same_but_for_what_the_light_decides(numba, oracle):
    assert oracle["status"].to_pylist() == numba["status"].to_pylist()
    assert oracle.schema == numba.schema
    np.testing.assert_allclose(
        oracle["magnification"].to_numpy(zero_copy_only=False),
        numba["magnification"].to_numpy(zero_copy_only=False),
        rtol=2e-3,
    )
    for name in per_band("arc_flux_{b}_nmgy"):
        found, expected = (table[name].to_numpy(zero_copy_only=False) for table in (oracle, numba))
        np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_quality_reaches_the_stamps(world, few, numba):
    draft = stamp_world.stamps_of(world, few, chosen=chosen(quality="draft"))
    assert (images(draft) != images(numba)).any(axis=(1, 2, 3)).sum() == 10


def test_renderer_is_part_of_the_data_sets_identity():
    hashes = {
        chosen(**renderer).dataset_hash(TEST)
        for renderer in ({}, {"engine": "lenstronomy"}, {"quality": "draft"}, {"quality": "standard"})
    }
    assert len(hashes) == 3
