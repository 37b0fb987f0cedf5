"""Gates as locks and as faces: a failure consumers cannot pass, and checks people see.

The lock is ``darkhaloscope.gates.enforce.require_gate``; here its refusal
becomes a Dagster failure that is never retried, and a stored verdict becomes an
asset check result. A blocking check alone would hold within one run only.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.metadata import WAIVERS, picture_metadata
from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore
from darkhaloscope.config import Gates
from darkhaloscope.errors import UserError
from darkhaloscope.evaluation.anchor_evaluation import RECORD_NAME
from darkhaloscope.gates.enforce import require_gate
from darkhaloscope.gates.physics.bank import judged_for
from darkhaloscope.gates.registry import BANK_GATES, COSMOS_BANK, EVALUATION_GATES
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus

REPORT_FILE = "report.json"
BANK_FILE = "bank.h5"


def read_report(store: ArtifactStore, name: str, *partition: str) -> GateReport | None:
    """Return a stored gate report, or None if there is none."""
    if not store.has(name, *partition):
        return None
    record = store.record(name, *partition)
    if all(part.path != REPORT_FILE for part in record.parts):
        return None
    return GateReport.from_json(store.paths(record, REPORT_FILE)[0].read_text())


def hold_gates(
    store: ArtifactStore, report_name: str, *partition: str, judged: ArtifactRecord, required: Sequence[str]
) -> GateReport:
    """Return the report if every gate is open for exactly the judged artefact.

    Raises
    ------
    dagster.Failure
        Never retried: naming the gates that are shut and the next step.
    """
    report = read_report(store, report_name, *partition)
    return _hold(report, judged, judged.content_hash, required)


def hold_pointing(store: ArtifactStore, judged: ArtifactRecord, gates: Gates) -> GateReport:
    """Return the pointing gate's report if an experiment may be graded on exactly these anchor stamps.

    The report lies in the partition it judges, so it is keyed to the table's
    own hash and not to the partition's.

    Raises
    ------
    dagster.Failure
        Never retried.
    """
    report = read_report(store, judged.name, *judged.partition)
    if report is not None:
        report = report.with_waivers(gates, datetime.now(tz=UTC).date())
    return _hold(report, judged, _part_hash(judged, ".parquet"), ("A1",))


def hold_evaluation(store: ArtifactStore, judged: ArtifactRecord) -> GateReport:
    """Return the verdicts on a grade on real objects if it may be shown.

    The report lies in the partition it judges and is keyed to the record's own
    hash.

    Raises
    ------
    dagster.Failure
        Never retried.
    """
    report = read_report(store, judged.name, *judged.partition)
    return _hold(report, judged, _part_hash(judged, RECORD_NAME), EVALUATION_GATES)


def hold_bank(store: ArtifactStore, gates: Gates) -> GateReport:
    """Return the verdict on the source bank if an experiment may lens its galaxies.

    The report lies in the partition it judges and is keyed to the bank file's
    own hash. The stored measurement is judged by the experiment's limits and
    waivers.

    Raises
    ------
    dagster.Failure
        Never retried.
    """
    judged = store.record(COSMOS_BANK)
    report = read_report(store, COSMOS_BANK)
    if report is not None:
        report = judged_for(report, gates, datetime.now(tz=UTC).date())
    return _hold(report, judged, _part_hash(judged, BANK_FILE), BANK_GATES)


def standing_waivers(*held: GateReport, upstream: Iterable[ArtifactRecord] = ()) -> list[dict[str, Any]]:
    """Return every waiver an artefact rests on: of the reports held for it and of what it was made from.

    Parameters
    ----------
    *held : GateReport
        Reports that the maker held.
    upstream : iterable of ArtifactRecord
        Artefacts it was made from; what they rest on, it rests on.
    """
    inherited = [waiver for record in upstream for waiver in record.summary.get(WAIVERS, [])]
    every = [*inherited, *(waiver for report in held for waiver in report.waivers())]
    return [waiver for i, waiver in enumerate(every) if waiver not in every[:i]]


def _part_hash(judged: ArtifactRecord, suffix: str) -> str:
    return next(part.sha256 for part in judged.parts if part.path.endswith(suffix))


def _hold(
    report: GateReport | None, judged: ArtifactRecord, artefact_hash: str, required: Sequence[str]
) -> GateReport:
    try:
        require_gate(report, artefact_hash, required)
    except UserError as error:
        raise dg.Failure(description=f"{judged.key} may not be used. {error}", allow_retries=False) from error
    assert report is not None  # require_gate refuses None
    return report


def check_results(report: GateReport, directory: Path) -> list[dg.AssetCheckResult]:
    """Return one check result per gate of a report.

    The dashboard never looks green where a gate failed: a blocking failure is an
    error, a waived gate and a gate that only informs are warnings. Where one view
    blocks and another informs, the blocking one decides. Numbers of the deciding
    view lie under plain keys, those of each view under its name as well.
    """
    return [_check_result(report.of(gate), directory) for gate in report.gates()]


def not_judged(key: dg.AssetCheckKey, report: str) -> dg.AssetCheckResult:
    """Return the face of a gate without a verdict on the bytes that are there.

    Materialising an artefact without its report leaves the verdict on the bytes
    before; that one is never shown on the new ones.
    """
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=False,
        description=f"not judged: no verdict on these bytes; materialise {report}",
        metadata={"status": "not_judged"},
    )


def _check_result(results: list[GateResult], directory: Path) -> dg.AssetCheckResult:
    deciding = min(results, key=_severity_order)
    metadata: dict[str, Any] = {
        "status": deciding.status.value,
        "reason": deciding.reason,
        "seconds": sum(result.seconds for result in results),
        "threshold_source": deciding.threshold_source,
        "artefact_hash": deciding.artefact_hash,
    }
    metadata |= _numbers(deciding, "")
    for result in results:
        prefix = f"{result.view}/" if result.view else ""
        metadata |= _numbers(result, prefix)
        metadata[f"{prefix}values"] = dg.MetadataValue.json(result.values)
        if result.figure and (directory / result.figure).is_file():
            metadata |= picture_metadata(directory / result.figure)
    if deciding.status is GateStatus.WAIVED:
        metadata["waiver"] = deciding.values["waiver"]["reason"]
    failed = deciding.status in (GateStatus.FAIL, GateStatus.DEFERRED, GateStatus.WAIVED)
    warns = deciding.status is GateStatus.WAIVED or not deciding.blocking
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(deciding.artefact),
        check_name=deciding.gate,
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
        description=deciding.reason,
        metadata=metadata,
    )


def _numbers(result: GateResult, prefix: str) -> dict[str, float]:
    """Return the numbers that the dashboard plots over time."""
    found = {key: getattr(result, key) for key in ("value", "lower", "upper", "threshold")}
    numbers = {prefix + key: float(number) for key, number in found.items() if number is not None}
    return {**numbers, f"{prefix}n": result.n_effective}


def _severity_order(result: GateResult) -> tuple[bool, int]:
    """Sort blocking results first, and among them the worst first."""
    worst_first = (
        GateStatus.FAIL,
        GateStatus.DEFERRED,
        GateStatus.WAIVED,
        GateStatus.PASS,
        GateStatus.NOT_APPLICABLE,
    )
    return (not result.blocking, worst_first.index(result.status))
