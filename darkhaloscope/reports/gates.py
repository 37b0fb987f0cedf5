"""The gate report a person reads: verdicts in Markdown beside the machine's JSON."""

from __future__ import annotations

from pathlib import Path

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.result import GateReport, GateResult

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"


def write_gate_report(report: GateReport, directory: str | Path) -> tuple[Path, Path]:
    """Write ``report.json`` (the authority) and ``report.md`` into a directory.

    Returns
    -------
    tuple of Path
        The JSON and the Markdown file.
    """
    machine, person = Path(directory) / JSON_NAME, Path(directory) / MARKDOWN_NAME
    for path, text in ((machine, report.to_json()), (person, gate_markdown(report))):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return machine, person


def gate_markdown(report: GateReport) -> str:
    """Return the report as Markdown: what is shut first, then a table, then every reason and figure."""
    shut = report.failed()
    verdict = (
        "Every blocking gate is open."
        if not shut
        else f"**{len(shut)} blocking gate(s) shut: {', '.join(result.key for result in shut)}.**"
    )
    lines = [
        f"# Gates of {report.artefact}, {report.experiment}",
        "",
        f"Artefact `{report.artefact_hash}`, configuration `{report.config_hash[:12]}`. {verdict}",
        "",
        "| gate | question | status | measure | limit | galaxies |",
        "|---|---|---|---|---|---|",
        *(_row(result) for result in report),
        "",
    ]
    for result in report:
        lines += [f"## {result.key} · {result.title}: {result.status.value}", "", result.reason, ""]
        waiver = result.values.get("waiver")
        if waiver:
            until = f" (until {waiver['expires']})" if waiver.get("expires") else ""
            lines += [f"Waived{until}: {waiver['reason']}", ""]
        if result.figure:
            lines += [f"![{result.key}]({result.figure})", ""]
    return "\n".join(lines)


def measure_text(value: float | None, lower: float | None, upper: float | None) -> str:
    """Return a measure with its interval, or a dash where there is none."""
    if value is None:
        return "-"
    if lower is None or upper is None:
        return f"{value:.4g}"
    return f"{value:.3g} [{lower:.3g}, {upper:.3g}]"


def _row(result: GateResult) -> str:
    cells = (
        result.key,
        GATES[result.gate].question,
        result.status.value if result.blocking else f"{result.status.value} (informs)",
        measure_text(result.value, result.lower, result.upper),
        "-" if result.threshold is None else f"{result.threshold:.4g}",
        str(result.n_effective),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
