"""What a gate report says in words and numbers, for every page that shows one."""

from __future__ import annotations

from typing import Any

from darkhaloscope.gates.result import GateReport, GateResult, GateStatus

_WORDS = {
    GateStatus.PASS: "passed",
    GateStatus.FAIL: "failed",
    GateStatus.WAIVED: "waived",
    GateStatus.DEFERRED: "deferred",
    GateStatus.NOT_APPLICABLE: "not applicable",
}


def verdict_text(report: GateReport) -> str:
    """Return the verdict in one sentence: may the artefact be used."""
    shut = report.failed()
    waivers = waived(report)
    note = f" {len(waivers)} stand{'s' if len(waivers) == 1 else ''} waived." if waivers else ""
    if not shut:
        return f"Every blocking gate is open.{note}"
    failed = [result.key for result in shut if result.status is not GateStatus.DEFERRED]
    deferred = [result.key for result in shut if result.status is GateStatus.DEFERRED]
    parts = [f"{len(shut)} blocking gate(s) shut: {', '.join(result.key for result in shut)}"]
    if failed and deferred:
        parts = [f"{len(failed)} failed ({', '.join(failed)})", f"{len(deferred)} lack an input"]
        return f"{len(shut)} blocking gate(s) shut: {', '.join(parts)}.{note}"
    return f"{parts[0]}.{note}"


def status_text(result: GateResult) -> str:
    """Return the answer of a gate, and whether it only informs."""
    word = _WORDS[result.status]
    return word if result.blocking else f"{word} (informs)"


def waived(report: GateReport) -> list[tuple[GateResult, dict[str, Any]]]:
    """Return the waived results with their waivers."""
    return [
        (result, result.values.get("waiver") or {}) for result in report if result.status is GateStatus.WAIVED
    ]


def measure_text(value: float | None, lower: float | None, upper: float | None) -> str:
    """Return a measure with its interval, or a dash where there is none."""
    if value is None:
        return "-"
    if lower is None or upper is None:
        return f"{value:.4g}"
    return f"{value:.3g} [{lower:.3g}, {upper:.3g}]"


def limit_text(result: GateResult) -> str:
    """Return the limit of a result, or a dash where there is none."""
    return "-" if result.threshold is None else f"{result.threshold:.4g}"


def provenance(report: GateReport) -> list[tuple[str, str]]:
    """Return what the verdicts hold for: names and hashes."""
    return [
        ("experiment", report.experiment),
        ("artefact", f"{report.artefact} {report.artefact_hash}"),
        ("configuration", report.config_hash),
        ("judging code", report.code_version),
    ]
