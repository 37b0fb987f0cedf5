"""L1 to L3: disjoint splits pass; shared sky, galaxies and sources fail."""

from dataclasses import replace

import numpy as np
import stamp_world
from gate_world import LIMITS, Rows, keep, values
from gates.faults import plants

from darkhaloscope.gates.leakage import splits
from darkhaloscope.gates.result import GateStatus


def sky(table, guard_deg=0.0, plan=None):
    return splits.judge_sky(splits.measure_sky(Rows(table).planned(plan), guard_deg), LIMITS)


def test_disjoint_sky_passes(good):
    verdict = sky(good.table, guard_deg=0.5, plan=stamp_world.split_map())
    assert verdict.status is GateStatus.PASS
    assert "test" in verdict.reason


def test_a_cell_in_two_splits_fails(good):
    verdict = sky(plants.relabelled_rows(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "cells lie in two splits" in verdict.reason


def test_a_galaxy_inside_the_guard_band_fails(good):
    measured = splits.measure_sky(Rows(plants.moved_beside_test(good.table, 0.3)).columns, 0.5)
    assert measured["separation_deg"]["train-test"] <= 0.3 + 1e-6
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
    splits_of_plan = stamp_world.split_map()
    cell = int(values(good.table, "healpix")[4])
    rows = int((values(good.table, "healpix") == cell).sum())
    other = {**splits_of_plan.cells, cell: "train" if splits_of_plan.cells[cell] != "train" else "val"}
    verdict = sky(good.table, plan=replace(splits_of_plan, cells=other))
    assert verdict.status is GateStatus.FAIL
    assert f"{rows} rows lie in another split" in verdict.reason


def test_one_split_proves_nothing(good):
    table = keep(good.table, values(good.table, "split") == "train")
    rows = Rows(table)
    assert sky(table).status is GateStatus.FAIL
    assert (
        splits.judge_hosts(splits.measure_shared_hosts(rows.columns, rows, LIMITS), LIMITS).status
        is GateStatus.FAIL
    )
    assert splits.judge_sources(splits.measure_sources(rows.columns, rows), LIMITS).status is GateStatus.FAIL


def hosts(table):
    return splits.judge_hosts(splits.measure_shared_hosts(Rows(table).columns, Rows(table), LIMITS), LIMITS)


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
    return splits.judge_sources(splits.measure_sources(Rows(table).columns, Rows(table)), LIMITS)


def test_disjoint_sources_pass(good):
    assert sources(good.table).status is GateStatus.PASS


def test_one_shared_source_fails(good):
    verdict = sources(plants.shared_source(good.table))
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == 1


def test_a_set_without_sources_fails(good):
    table = keep(good.table, np.isin(values(good.table, "control_kind"), ["paired", "unpaired"]))
    assert sources(table).status is GateStatus.FAIL
