"""L1 to L4: disjoint splits pass; shared sky, galaxies and sources, and wrong shares, fail."""

import numpy as np
import pytest
from gate_world import LIMITS, Rows, keep, values
from gates.faults import plants

from darkhaloscope.config import Split
from darkhaloscope.gates.leakage import splits
from darkhaloscope.gates.result import GateStatus


def sky(table, guard_deg=0.0, planned=None):
    rows = Rows(table)
    measured = splits.measure_sky(rows, rows.population, Split(guard_deg=guard_deg), planned)
    return splits.judge_sky(measured, LIMITS)


def test_disjoint_sky_passes(good):
    verdict = sky(good.table, guard_deg=0.5, planned=values(good.table, "split"))
    assert verdict.status is GateStatus.PASS
    assert "test" in verdict.reason


def test_a_cell_in_two_splits_fails(good):
    verdict = sky(plants.relabelled_rows(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "cells lie in two splits" in verdict.reason


def test_a_galaxy_inside_the_guard_band_fails(good):
    measured = splits.measure_sky(
        Rows(plants.moved_beside_test(good.table, 0.3)),
        Rows(good.table).population,
        Split(guard_deg=0.5),
        None,
    )
    assert measured["separation_deg"]["train-test"] <= 0.3 + 1e-9
    # the moved galaxy keeps its cell number, which alone would fail: judge the distance by itself
    verdict = splits.judge_sky({**measured, "wrong_cells": 0}, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "guard 0.5 deg" in verdict.reason
    assert (
        splits.judge_sky({**measured, "wrong_cells": 0, "guard_deg": 0.2}, LIMITS).status is GateStatus.PASS
    )


def test_cells_in_ring_order_fail(good):
    verdict = sky(plants.ring_order(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "not that of their position" in verdict.reason


def test_a_row_in_another_split_than_planned_fails(good):
    planned = values(good.table, "split").astype(object)
    planned[4] = "guard"
    verdict = sky(good.table, planned=planned)
    assert verdict.status is GateStatus.FAIL
    assert "1 rows lie in another split" in verdict.reason


@pytest.mark.parametrize("name", ["train", "none"])
def test_one_split_proves_nothing(good, name):
    table = keep(good.table, values(good.table, "split") == name)
    rows = Rows(table)
    assert sky(table).status is GateStatus.FAIL
    assert (
        splits.judge_hosts(splits.measure_shared_hosts(rows, rows.population), LIMITS).status
        is GateStatus.FAIL
    )
    assert (
        splits.judge_sources(splits.measure_sources(rows, rows.population), LIMITS).status is GateStatus.FAIL
    )


def hosts(table):
    return splits.judge_hosts(splits.measure_shared_hosts(Rows(table), Rows(table).population), LIMITS)


def test_disjoint_hosts_pass(good):
    verdict = hosts(good.table)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective > 100


def test_rows_of_one_galaxy_in_two_splits_fail(good):
    verdict = hosts(plants.relabelled_rows(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "10000-" in verdict.reason


def test_one_galaxy_under_two_ids_fails(good):
    verdict = hosts(plants.moved_beside_test(good.table, 0.5 / 3600))
    assert verdict.status is GateStatus.FAIL
    assert "two ids" in verdict.reason


def sources(table):
    return splits.judge_sources(splits.measure_sources(Rows(table), Rows(table).population), LIMITS)


def test_disjoint_sources_pass(good):
    assert sources(good.table).status is GateStatus.PASS


def test_one_shared_source_fails(good):
    verdict = sources(plants.shared_source(good.table))
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == 1


def test_a_set_without_sources_fails(good):
    table = keep(good.table, np.isin(values(good.table, "control_kind"), ["paired", "unpaired"]))
    assert sources(table).status is GateStatus.FAIL


def proportions(shares, cells=400, galaxies=None, kept=None):
    """Cells of equal weight, given to the splits in the shares asked for."""
    counts = np.round(np.array(shares) * cells).astype(int)
    split = np.repeat(["train", "val", "test"], counts)
    n = len(split)
    available = dict(zip(["train", "val", "test"], (10 * counts).tolist(), strict=True))
    measured = splits.measure_proportions(
        cell=np.arange(n),
        split=split,
        galaxies=np.ones(n) if galaxies is None else galaxies(split),
        area_deg2=np.ones(n),
        fractions=(0.70, 0.15, 0.15),
        available=available,
        kept=available if kept is None else kept,
    )
    return splits.judge_proportions(measured, LIMITS)


def test_promised_proportions_pass():
    assert proportions((0.71, 0.14, 0.15)).status is GateStatus.PASS


def test_proportions_two_points_off_fail():
    verdict = proportions((0.66, 0.15, 0.19))
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == pytest.approx(0.04)


def test_few_cells_may_be_off_by_one_cell():
    assert proportions((0.65, 0.20, 0.15), cells=20).status is GateStatus.PASS
    assert proportions((0.60, 0.25, 0.15), cells=20).status is GateStatus.FAIL


def test_area_right_but_galaxies_wrong_fails():
    verdict = proportions((0.70, 0.15, 0.15), galaxies=lambda split: np.where(split == "test", 3.0, 1.0))
    assert verdict.status is GateStatus.FAIL
    assert "galaxies" in verdict.reason


def test_shards_that_changed_the_shares_fail():
    verdict = proportions((0.70, 0.15, 0.15), kept={"train": 1400, "val": 600, "test": 600})
    assert verdict.status is GateStatus.FAIL
    assert "hosts in the shards" in verdict.reason


def test_no_bricks_and_no_hosts_fail():
    assert proportions((0.0, 0.0, 0.0)).status is GateStatus.FAIL
    assert proportions((0.70, 0.15, 0.15), kept={}).status is GateStatus.FAIL
