"""Every planted fault fails its own gate, says why, and fails no other; sound sets fail none."""

import re
from collections import Counter
from importlib import import_module

import gate_world
import pytest
from gates.faults import Fault
from gates.faults.anchors import sound_anchors, sound_grade
from gates.faults.cases import BankCase, sound_shards
from gates.faults.models import sound_model

from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.result import GateReport, GateStatus
from darkhaloscope.sources.bank import build_bank
from darkhaloscope.sources.mock_cosmos import write_mock_cosmos

FAMILIES = ("quality", "leakage", "physics", "shortcut", "behaviour", "anchors")
FAULTS: list[Fault] = [
    fault for family in FAMILIES for fault in import_module(f"gates.faults.{family}").FAULTS
]
SEEDS = (3, 5, 8)


@pytest.fixture(scope="session")
def sound(good, tmp_path_factory):
    """The sound case of an artefact, made when first asked for."""
    made = {}

    def bank():
        folder = tmp_path_factory.mktemp("bank")
        write_mock_cosmos(folder / "cat", 60, seed=3)
        build_bank(folder / "cat", folder / "bank.h5", max_galaxies=None, seed=1)
        return BankCase(folder / "bank.h5", folder / "cat", folder)

    make = {
        "training_shards": lambda: sound_shards(good),
        "cosmos_bank": bank,
        "checkpoint": lambda: sound_model(good, tmp_path_factory.mktemp("model")),
        "anchor_stamps": lambda: sound_anchors(tmp_path_factory.mktemp("anchors")),
        "anchor_evaluation": lambda: sound_grade(good, tmp_path_factory.mktemp("grade")),
    }

    def case(artefact):
        if artefact not in made:
            made[artefact] = make[artefact]()
        return made[artefact]

    return case


def shut(report: GateReport) -> dict[str, str]:
    """Blocking gates that failed, with their reasons."""
    return {
        result.gate: result.reason
        for result in report
        if result.blocking and result.status is GateStatus.FAIL
    }


def failed(report: GateReport) -> dict[str, str]:
    """Gates that failed in any view, with the reasons of the blocking view first."""
    return {r.gate: r.reason for r in report if r.status is GateStatus.FAIL} | shut(report)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_fails_its_gate_and_no_other(fault, sound, tmp_path):
    broken = fault.plant(sound(fault.artefact))
    report = broken.judge(tmp_path)
    found = failed(report)
    missed = set(fault.gates) - set(found)
    assert not missed, f"{sorted(missed)} did not see it; failed: {found}"
    assert re.search(fault.says, found[fault.gates[0]]), found[fault.gates[0]]
    unrelated = set(shut(report)) - set(fault.gates) - set(fault.also)
    assert not unrelated, {gate: found[gate] for gate in unrelated}


@pytest.mark.parametrize(
    "artefact", ["training_shards", "cosmos_bank", "checkpoint", "anchor_stamps", "anchor_evaluation"]
)
def test_the_sound_case_fails_nothing(artefact, sound, tmp_path):
    assert failed(sound(artefact).judge(tmp_path)) == {}


@pytest.mark.parametrize("seed", SEEDS[1:])
def test_sound_shards_of_other_seeds_fail_nothing(seed, tmp_path):
    case = sound_shards(gate_world.build(tmp_path / "world", seed))
    assert failed(case.judge(tmp_path)) == {}


def test_names_are_unique_and_gates_exist():
    assert [name for name, n in Counter(fault.name for fault in FAULTS).items() if n > 1] == []
    for fault in FAULTS:
        assert {*fault.gates, *fault.also} <= set(GATES)
        assert not set(fault.gates) & set(fault.also)
