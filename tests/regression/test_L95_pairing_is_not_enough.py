"""L95: paired controls still separate by their cores, because an arc adds light; matched light does not."""

from gate_world import LIMITS

from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.shortcut import light


def test_the_same_arcs_separate_from_paired_and_not_from_matched_light(gate_set):
    sample = gate_set.sample
    measured = light.measure_aperture_light(sample, sample.model, None, seed=1, n_boot=100)
    paired, matched = (measured["auc"][kind] for kind in ("paired", "matched_light"))
    assert paired["lower"] > 0.75  # what physics forces
    assert matched["lower"] < 0.55 < paired["lower"]
    assert light.judge_aperture_light(measured, LIMITS).status is GateStatus.PASS
