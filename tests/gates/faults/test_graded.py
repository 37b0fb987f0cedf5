"""Every graded fault is seen at its largest size, or its table of power would be empty."""

import pytest
from gates.faults.cases import sound_shards
from gates.faults.graded import GRADED

from darkhaloscope.gates.context import ask
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.run import DATA_FAMILIES


@pytest.mark.parametrize("graded", GRADED, ids=lambda graded: f"{graded.gate}-{graded.fault}")
def test_the_largest_size_fails_its_gate(graded, good, tmp_path):
    assert list(graded.sizes) == sorted(graded.sizes)
    broken = graded.plant(sound_shards(good), graded.sizes[-1])
    verdicts = ask(DATA_FAMILIES[graded.gate], broken.data_set(tmp_path, in_memory=True))
    assert any(v.blocking and v.status is GateStatus.FAIL for v in verdicts), [v.reason for v in verdicts]
