"""The lock: a consumer shows the verdicts for the very bytes it is about to use.

An asset check is the face of a gate on the dashboard and holds within one run;
:func:`require_gate` is called by the consumer itself and holds in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from darkhaloscope.errors import GateError, describe
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, is_expired

MIN_WAIVER_REASON = 20
"""Characters below which a waiver's reason is not one."""


def require_gate(
    report: GateReport | None,
    artefact_hash: str,
    required: Sequence[str],
    *,
    today: date | None = None,
) -> None:
    """Refuse to go on unless every required gate is open for this artefact.

    Parameters
    ----------
    report : GateReport or None
        The verdicts in hand; None if there are none.
    artefact_hash : str
        Content hash of the artefact about to be used.
    required : sequence of str
        Gate ids that must have been run. Blocking failures of other gates in
        the report count as well.
    today : datetime.date, optional
        Date against which waivers expire; now (UTC) by default.

    Raises
    ------
    GateError
        If there is no report, it judged other bytes, a required gate is
        missing, or a blocking result is fail, deferred, or waived without a
        reason or past its date.
    """
    if report is None:
        raise GateError(
            describe(
                "No gate report",
                expected=f"verdicts of {', '.join(required)} for {artefact_hash[:12]}",
                got="none",
                hint="materialise the gate report of this experiment first",
            )
        )
    if report.artefact_hash != artefact_hash:
        raise GateError(
            describe(
                f"Gate report of other {report.artefact}",
                field=report.experiment,
                expected=f"a report for {artefact_hash[:12]}",
                got=report.artefact_hash[:12],
                hint="materialise the gate report again",
            )
        )
    missing = [gate for gate in required if not report.of(gate)]
    if missing:
        raise GateError(
            describe(
                "Gates were not run",
                field=report.experiment,
                expected=f"verdicts of {', '.join(required)}",
                got=f"none for {', '.join(missing)}",
                hint="materialise the gate report again",
            )
        )
    today = today or datetime.now(tz=UTC).date()
    shut = [message for result in report if (message := _why_shut(result, artefact_hash, today))]
    if shut:
        raise GateError(
            describe(
                f"{len(shut)} blocking gate(s) of {report.artefact} are not passed",
                field=report.experiment,
                got="; ".join(shut),
                hint="mend the data, or waive a gate in the experiment's YAML with a reason",
            )
        )


def _why_shut(result: GateResult, artefact_hash: str, today: date) -> str:
    """Return why a result keeps the consumer out, or an empty string."""
    if not result.blocking:
        return ""
    if result.artefact_hash != artefact_hash:
        return f"{result.key} judged {result.artefact_hash[:12]}"
    if result.status in {GateStatus.FAIL, GateStatus.DEFERRED}:
        return f"{result.key} {result.status.value}: {result.reason}"
    if result.status is GateStatus.WAIVED:
        waiver = result.values.get("waiver") or {}
        if len(str(waiver.get("reason") or "").strip()) < MIN_WAIVER_REASON:
            return f"{result.key} waived without a reason"
        if is_expired(waiver.get("expires"), today):
            return f"{result.key} waiver expired on {waiver['expires']}"
    return ""
