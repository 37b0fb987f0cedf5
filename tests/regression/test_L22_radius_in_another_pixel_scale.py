"""L22: nobody could say in which pixels a source's half-light radius had been measured."""

from gates.faults import broken_light, plants

from darkhaloscope.gates.physics.bank import judge_bank, measure_bank
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.sources.bank import build_bank
from darkhaloscope.sources.bankfile import SourceBank
from darkhaloscope.sources.mock_cosmos import write_mock_cosmos


def test_l22_radii_of_another_scale_are_off_the_templates(tmp_path):
    write_mock_cosmos(tmp_path / "cat", 40, seed=3)
    build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    broken = plants.changed_bank(
        tmp_path / "bank.h5", tmp_path / "broken.h5", broken_light.radii_in_another_scale
    )
    verdicts = []
    for path in (tmp_path / "bank.h5", broken):
        with SourceBank.open(path) as bank:
            verdicts.append(judge_bank(measure_bank(bank), Thresholds()))
    assert [verdict.status for verdict in verdicts] == [GateStatus.PASS, GateStatus.FAIL]
    assert "half-light radii are off the catalogue" in verdicts[1].reason
