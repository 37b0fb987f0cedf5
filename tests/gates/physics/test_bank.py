"""P4: the planted faults that must fail it and the banks that must not."""

import json
import re
from datetime import date

import numpy as np
import pytest
from gates.faults import plants

from darkhaloscope.config import Gates
from darkhaloscope.errors import GateError
from darkhaloscope.gates.enforce import require_gate
from darkhaloscope.gates.physics.bank import judge_bank, judged_for, measure_bank, run_bank_gates
from darkhaloscope.gates.registry import BANK_GATES
from darkhaloscope.gates.result import GateReport, GateStatus
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.sources.bank import build_bank
from darkhaloscope.sources.bankfile import SourceBank
from darkhaloscope.sources.mock_cosmos import write_mock_cosmos

REASON = "kept as the baseline that every comparison needs"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A mock catalogue and its bank."""
    folder = tmp_path_factory.mktemp("p4")
    write_mock_cosmos(folder / "cat", 60, seed=3)
    build_bank(folder / "cat", folder / "bank.h5", max_galaxies=None, seed=1)
    return folder


@pytest.fixture(scope="module")
def real(realdata, tmp_path_factory):
    """The real catalogue and its bank."""
    folder = tmp_path_factory.mktemp("p4-real")
    (folder / "cat").symlink_to(realdata / "cosmos_23.5_sample")
    build_bank(folder / "cat", folder / "bank.h5", max_galaxies=None, seed=1)
    return folder


def judge(path):
    with SourceBank.open(path) as bank:
        return judge_bank(measure_bank(bank), Thresholds())


PREDECESSORS = {
    "clipped": ({}, "of the light lies outside the galaxies"),
    "another scale": ({"zoom": 0.6}, "of the light lies outside the galaxies"),
    "yet another scale": ({"zoom": 5.0 / 3.0}, "of the light lies outside the galaxies"),
    "not clipped": ({"clip": False}, "of the light lies outside the galaxies"),
}


def check_predecessors(folder, to, options, told):
    path = plants.changed_bank(
        folder / "bank.h5", to / "bad.h5", plants.predecessors_bank(folder / "cat", **options)
    )
    verdict = judge(path)
    assert verdict.status is GateStatus.FAIL
    assert told in verdict.reason
    return verdict


def test_bank_of_galaxies_passes(sound):
    verdict = judge(sound / "bank.h5")
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.n_effective == verdict.values["galaxies"] > 40


@pytest.mark.parametrize("which", PREDECESSORS)
def test_bank_made_the_predecessors_way_fails(sound, tmp_path, which):
    verdict = check_predecessors(sound, tmp_path, *PREDECESSORS[which])
    assert verdict.lower > 0.03


@pytest.mark.realdata
def test_bank_of_real_galaxies_passes(real):
    verdict = judge(real / "bank.h5")
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.n_effective == 8


@pytest.mark.realdata
@pytest.mark.parametrize("which", PREDECESSORS)
def test_real_galaxies_made_the_predecessors_way_fail(real, tmp_path, which):
    check_predecessors(real, tmp_path, *PREDECESSORS[which])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (plants.noise_in_the_masks, "of the light lies outside the galaxies"),
        (plants.repeated_template, "1 of .* have the pixels of another"),
        (plants.repeated_place, "1 of .* have the position of another"),
        (plants.faint_source, "1 of .* have a S/N below the limit of 30"),
        (plants.filter_not_applied, "have a radius outside the filter of 0.1 to 0.2 arcsec"),
        (plants.dark_template, "1 of .* no positive light"),
    ],
)
def test_each_fault_is_named(sound, tmp_path, fault, told):
    verdict = judge(plants.changed_bank(sound / "bank.h5", tmp_path / "bad.h5", fault))
    assert verdict.status is GateStatus.FAIL
    assert re.search(told, verdict.reason), verdict.reason


ORDER = (
    "max_off_source_flux",
    "max_clipped_share",
    "max_negative_flux",
    "max_hlr_log_ratio",
    "max_roughness",
)


@pytest.mark.parametrize(
    ("fault", "upheld", "told"),
    [
        ("pedestal", "max_clipped_share", "no negative pixel"),
        ("pedestal", "max_hlr_log_ratio", "half-light radii"),
        ("pedestal", "max_roughness", "small-scale structure"),
        ("noise", "max_negative_flux", "is negative: noise"),
        ("noise", "max_hlr_log_ratio", "half-light radii"),
        ("noise", "max_roughness", "small-scale structure"),
    ],
)
def test_each_measure_sees_noise_by_itself(sound, tmp_path, fault, upheld, told):
    """With every limit before it out of the way, the next one fails the same bank."""
    removed = [
        {"gate": "P4", "name": name, "value": 9.0, "reason": REASON} for name in ORDER[: ORDER.index(upheld)]
    ]
    pedestal = plants.predecessors_bank(sound / "cat", zoom=0.6)
    change = pedestal if fault == "pedestal" else plants.noise_in_the_masks
    with SourceBank.open(plants.changed_bank(sound / "bank.h5", tmp_path / "b.h5", change)) as bank:
        measured = measure_bank(bank)
    verdict = judge_bank(measured, Thresholds.of(Gates.model_validate({"overrides": removed})))
    assert verdict.status is GateStatus.FAIL
    assert told in verdict.reason


def test_too_few_galaxies_fail(sound, tmp_path):
    def few(content):
        columns = {name: values[:2] for name, values in content[1].items()}
        return content[0][:2], columns, content[2]

    verdict = judge(plants.changed_bank(sound / "bank.h5", tmp_path / "few.h5", few))
    assert verdict.status is GateStatus.FAIL
    assert "2 templates; 3 needed" in verdict.reason


def test_report_opens_the_lock_for_these_bytes_only_and_has_a_figure(sound, tmp_path):
    report = run_bank_gates(sound / "bank.h5", artefact_hash="h", figures_dir=tmp_path)
    assert GateReport.from_json(report.to_json()) == report
    assert len(report.to_json()) < 60_000
    require_gate(report, "h", BANK_GATES)
    with pytest.raises(GateError, match="other cosmos_bank"):
        require_gate(report, "k", BANK_GATES)
    assert (tmp_path / report.of("P4")[0].figure).stat().st_size > 5000


def test_an_experiments_limits_and_waivers_apply_to_the_stored_measurement(sound, tmp_path):
    report = run_bank_gates(sound / "bank.h5", artefact_hash="h")
    report = GateReport.from_json(json.dumps(json.loads(report.to_json())))
    strict = [{"gate": "P4", "name": "max_hlr_log_ratio", "value": 1e-4, "reason": REASON}]
    today = date(2030, 1, 1)
    judged = judged_for(report, Gates.model_validate({"overrides": strict}), today)
    assert judged.failed()
    assert REASON in judged.of("P4")[0].threshold_source
    waivers = [{"gate": "P4", "reason": REASON}]
    waived = judged_for(report, Gates.model_validate({"overrides": strict, "waivers": waivers}), today)
    assert waived.of("P4")[0].status is GateStatus.WAIVED
    assert not judged_for(report, Gates(), today).failed()


def test_measure_is_the_same_for_any_order_of_templates(sound, tmp_path):
    def reverse(content):
        return content[0][::-1], {name: v[::-1] for name, v in content[1].items()}, content[2]

    with (
        SourceBank.open(sound / "bank.h5") as bank,
        SourceBank.open(plants.changed_bank(sound / "bank.h5", tmp_path / "r.h5", reverse)) as other,
    ):
        first, second = measure_bank(bank), measure_bank(other)
    assert first["histograms"] == second["histograms"]
    assert first["roughness"]["value"] == pytest.approx(second["roughness"]["value"], rel=1e-12)
    assert np.allclose(first["growth"], second["growth"], atol=1e-4)
