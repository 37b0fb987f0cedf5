"""L28: positives in poor seeing ended as errors and vanished; losses are counted by class and seeing."""

from gate_world import LIMITS
from gates.faults.plants import lose_wide_psf

from darkhaloscope.gates.quality import losses
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS
from darkhaloscope.tabular import read_table, write_table


def test_positives_lost_by_seeing_fail_and_are_named(gate_set, tmp_path):
    stamps = lose_wide_psf(read_table(gate_set.world.paths("stamps")))
    write_table(tmp_path / "stamps.parquet", STAMPS, stamps)
    measured = losses.measure_losses(gate_set.world.paths("manifest"), [tmp_path / "stamps.parquet"])
    assert measured["lost_and_planned"]["positive"][0] > 0
    assert measured["lost_and_planned"]["paired"][0] == 0
    verdict = losses.judge_losses(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "psf_kernel_too_large" in verdict.reason
