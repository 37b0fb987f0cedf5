"""Q8: dithered counts pass; every way of storing less than they hold fails and is named."""

import json

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows, kinds
from gates.faults import plants

from darkhaloscope import tabular
from darkhaloscope.config import Storage
from darkhaloscope.errors import DataError
from darkhaloscope.gates.quality import storage
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import QUANTISED as QUANTISED_STAMPS
from darkhaloscope.stamps import quantise
from darkhaloscope.stamps.shardset import ShardSet

QUANTISED = Storage(form="quantised")


def measure(table, good, form=QUANTISED):
    measured = storage.measure_storage(
        Rows(table),
        Rows(table).population,
        good.world.paths("stamps"),
        form,
        hosts_per_class=400,
        seed=1,
        limits=LIMITS,
    )
    return json.loads(json.dumps(measured))


def judge(table, good, form=QUANTISED):
    return storage.judge_storage(measure(table, good, form), LIMITS)


@pytest.fixture(scope="module")
def sound(good):
    return gate_world.quantised(good.table)


def test_dithered_counts_pass(good, sound):
    measured = measure(sound, good)
    verdict = storage.judge_storage(measured, LIMITS)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective > 100
    assert verdict.lower < verdict.value < verdict.upper < verdict.threshold == 0.005
    # a uniform error of one step: sigma / (32 sqrt(12))
    assert list(measured["rms_error_sigma"].values()) == pytest.approx([1 / 32 / 12**0.5] * 3, rel=0.01)
    assert max(bias["value"] for bias in measured["photometry"]) < 1e-4


def test_shards_on_disk_are_judged_as_they_are_read(good, tmp_path):
    path = tmp_path / "train-00000.parquet"
    tabular.write_table(path, QUANTISED_STAMPS, quantise.quantised(good.table, 32.0))
    shards = ShardSet([path])
    measured = storage.measure_storage(
        shards,
        good.rows.population,
        good.world.paths("stamps"),
        QUANTISED,
        hosts_per_class=60,
        seed=1,
        limits=LIMITS,
    )
    assert measured["stamps"] == shards.sample(60, seed=1, columns=["task_id"]).num_rows
    assert storage.judge_storage(measured, LIMITS).status is GateStatus.PASS


def test_finer_steps_pass(good):
    finer = Storage(form="quantised", steps_per_sigma=64.0)
    assert judge(gate_world.quantised(good.table, 64.0), good, finer).status is GateStatus.PASS


def test_lossless_shards_have_no_such_question(good):
    verdict = judge(good.table, good, Storage())
    assert verdict.status is GateStatus.NOT_APPLICABLE
    assert verdict.reason == "the shards keep every bit"


@pytest.mark.parametrize(
    ("fault", "limit", "reason"),
    [
        (plants.undithered, "max_mad_shift", "MAD"),
        (plants.coarse_steps, "max_pixel_error_sigma", "half a step"),
        (plants.one_class_quantised, "max_abs_d", "r.m.s. error in"),
        (plants.clipped_counts, "max_pixel_error_sigma", "clipped"),
    ],
)
def test_a_planted_fault_fails_and_is_named(good, fault, limit, reason):
    verdict = judge(fault(good.table), good)
    assert verdict.status is GateStatus.FAIL
    assert verdict.threshold == LIMITS.value("Q8", limit)
    assert reason in verdict.reason


def test_one_clipped_pixel_of_one_stamp_fails(good, sound):
    image = tabular.pixels(sound, "image").copy()
    image[20, 1, 31, 31] -= 0.02
    verdict = judge(gate_world.changed(sound, image=image), good)
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == 1


def test_plain_rounding_of_one_class_fails(good, sound):
    counted, rounded = (tabular.pixels(t, "image") for t in (sound, plants.undithered(good.table)))
    lens = (kinds(good.table) == "positive")[:, None, None, None]
    verdict = judge(gate_world.changed(sound, image=np.where(lens, rounded, counted)), good)
    assert verdict.status is GateStatus.FAIL


def test_counts_cut_off_instead_of_rounded_fail(good):
    """Every pixel stays within half a step of sigma/32; their sum does not stay within 0.1 %."""
    image = tabular.pixels(good.table, "image")
    step = plants.image_steps(image, 64.0)[..., None, None]
    cut = np.floor(image / step) * step
    verdict = judge(gate_world.changed(good.table, image=cut), good)
    assert verdict.status is GateStatus.FAIL
    assert verdict.threshold == LIMITS.value("Q8", "max_photometry_bias")


@pytest.mark.parametrize("form", [QUANTISED, Storage()])
def test_no_rows_fail(good, form):
    assert judge(good.table.slice(0, 0), good, form).status is GateStatus.FAIL


def test_a_set_of_one_class_fails(good, sound):
    only = gate_world.keep(sound, kinds(sound) == "positive")
    assert judge(only, good).status is GateStatus.FAIL


def test_too_few_galaxies_fail(good, sound):
    hosts = gate_world.values(sound, "host_id")
    verdict = judge(gate_world.keep(sound, np.isin(hosts, np.unique(hosts)[:20])), good)
    assert verdict.status is GateStatus.FAIL
    assert "20 galaxies" in verdict.reason


def test_a_stamp_that_is_not_in_the_archive_is_an_error(good, sound):
    ids = gate_world.values(sound, "task_id")
    ids[5] = "f" * 32
    with pytest.raises(DataError, match=r"not in the archive.*ffff"):
        judge(gate_world.changed(sound, task_id=ids), good)
