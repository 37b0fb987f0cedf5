"""P5: each estimator under its own name, from the oracle and from pixels."""

from dataclasses import replace

import gate_world
import numpy as np
import pyarrow as pa
import pytest
from gate_world import LIMITS
from gates.physics.arc_world import arcs_of

from darkhaloscope.gates.physics.signal_to_noise import ESTIMATORS, judge_snr, measure_snr
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS


def p5(arcs):
    return judge_snr(measure_snr(arcs, seed=1, limits=LIMITS), LIMITS)


def with_column(arcs, name, values):
    at = arcs.table.column_names.index(name)
    column = pa.array(values, mask=np.isnan(values))
    return replace(arcs, table=arcs.table.set_column(at, arcs.table.schema.field(name), column))


def test_every_recorded_estimator_is_asked():
    recorded = {name for name in STAMPS.names() if name.startswith("arc_snr_")}
    assert {column for column, _, _ in ESTIMATORS} == recorded


def test_sound_records_pass(arcs):
    verdict = p5(arcs)
    assert verdict.status is GateStatus.PASS, verdict.reason
    for column, _, _ in ESTIMATORS:
        assert verdict.values["oracle"][column]["median"]["value"] == pytest.approx(0.0, abs=0.005)
        assert verdict.values["oracle"][column]["off"] == 0


@pytest.mark.parametrize(("column", "name", "band"), ESTIMATORS)
@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_each_column_off_by_three_percent_is_named(arcs, column, name, band, factor):
    del name, band
    verdict = p5(with_column(arcs, column, factor * arcs.column(column)))
    assert verdict.status is GateStatus.FAIL
    assert verdict.reason.startswith(f"{column} is not what it says")


def test_the_brightest_pixel_is_no_sum_over_the_footprint(arcs):
    verdict = p5(with_column(arcs, "arc_snr_footprint_r", arcs.column("arc_snr_max_r")))
    assert verdict.status is GateStatus.FAIL
    assert "arc_snr_footprint_r" in verdict.reason


def test_records_of_the_next_row_fail_though_their_median_is_right(arcs):
    column = arcs.column("arc_snr_matched_r")
    order = np.argsort(column)
    swapped = column.copy()
    swapped[order[:-1:2]], swapped[order[1::2]] = column[order[1::2]], column[order[:-1:2]]
    verdict = p5(with_column(arcs, "arc_snr_matched_r", swapped))
    assert verdict.status is GateStatus.FAIL


def test_pixels_that_are_not_the_record_fail(arcs):
    """Sound rows and oracle; the light in the pixels is another."""
    verdict = p5(replace(arcs, light=1.05 * arcs.light))
    assert verdict.status is GateStatus.FAIL
    assert "the stamp's own pixels" in verdict.reason


def test_a_missing_record_fails(arcs):
    column = arcs.column("arc_snr_stamp_r").copy()
    column[3] = np.nan
    verdict = p5(with_column(arcs, "arc_snr_stamp_r", column))
    assert verdict.status is GateStatus.FAIL
    assert "lack a recorded" in verdict.reason


def test_bad_pixels_do_not_count(good):
    """Half of every stamp is masked after the fact: the records are now of other pixels."""
    flags = np.zeros((good.table.num_rows, gate_world.SIZE_PX, gate_world.SIZE_PX), dtype=np.int32)
    flags[:, :, : gate_world.SIZE_PX // 2] = 1 << 1
    verdict = p5(arcs_of(good, gate_world.changed(good.table, maskbits=flags), n_rows=25))
    assert verdict.status is GateStatus.FAIL


def test_too_few_arcs_fail(good):
    verdict = p5(arcs_of(good, n_rows=4))
    assert verdict.status is GateStatus.FAIL
    assert "4 arcs to compare" in verdict.reason
