"""L97: columns that were null for controls told the class to any model that read them."""

import pytest
import stamp_world
from gate_world import LIMITS, Rows
from gates.faults.plants import null_in_controls

from darkhaloscope.gates.leakage import metadata
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS, Role


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_no_condition_is_null_in_any_class(world):
    table = world.table("shards", STAMPS.names(Role.CONDITION))
    assert all(table[name].null_count == 0 for name in table.column_names)
    assert not any(STAMPS[name].nullable for name in STAMPS.names(Role.CONDITION))


def test_quality_and_pixels_are_null_alike(world):
    names = STAMPS.names(Role.QUALITY, Role.PIXELS)
    table = world.table("shards", ["control_kind", *names])
    for kind in ("positive", "paired", "unpaired", "matched_light"):
        part = stamp_world.of_kind(table, kind)
        assert all(part[name].null_count == 0 for name in names), kind


def test_columns_with_class_dependent_nulls_may_be_no_input(world):
    table = world.table("shards", [name for name in STAMPS.names() if STAMPS[name].role is not Role.PIXELS])
    uneven = set()
    for name in table.column_names:
        shares = {
            stamp_world.of_kind(table, kind)[name].null_count / stamp_world.of_kind(table, kind).num_rows
            for kind in ("positive", "paired", "unpaired", "matched_light")
        }
        if len(shares) > 1:
            uneven.add(name)
    assert uneven
    assert not uneven & set(STAMPS.names(Role.CONDITION))


def test_a_condition_that_is_null_in_controls_only_fails_the_set(gate_set):
    columns = Rows(null_in_controls(gate_set.table, "psf_fwhm_r_arcsec")).columns
    measured = metadata.measure_metadata(columns, (), seed=1, n_boot=50, limits=LIMITS)
    verdict = metadata.judge_metadata(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "psf_fwhm_r_arcsec is null" in verdict.reason
