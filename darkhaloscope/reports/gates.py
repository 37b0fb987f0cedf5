"""The gate report on disk: JSON for machines, Markdown and HTML for people, in that order of authority.

What is said of a result in words and numbers is said here, once, for both
pages; the HTML page is laid out in ``gate_page``. Nothing is judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.report_schema import require_layout
from darkhaloscope.gates.result import GateReport, GateResult
from darkhaloscope.reports.gate_page import gate_html
from darkhaloscope.reports.gate_words import (
    limit_text,
    measure_text,
    provenance,
    status_text,
    verdict_text,
    waived,
)

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"
HTML_NAME = "report.html"

__all__ = ["GateReportFiles", "gate_markdown", "measure_text", "write_gate_report"]


class GateReportFiles(NamedTuple):
    """The three files of one report."""

    json: Path
    markdown: Path
    html: Path


def write_gate_report(report: GateReport, directory: str | Path) -> GateReportFiles:
    """Write ``report.json`` (the authority), ``report.md`` and ``report.html`` into a directory.

    Parameters
    ----------
    report : GateReport
        Its figures lie in ``directory``; the page carries them within itself.
    directory : path
        Where to write.

    Raises
    ------
    ContractError
        If the report is not laid out as its schema says.
    """
    folder = Path(directory)
    require_layout(report.to_dict())
    files = GateReportFiles(folder / JSON_NAME, folder / MARKDOWN_NAME, folder / HTML_NAME)
    texts = (report.to_json(), gate_markdown(report), gate_html(report, folder))
    for path, text in zip(files, texts, strict=True):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return files


def gate_markdown(report: GateReport) -> str:
    """Return the report as Markdown: what is shut and waived, a table, then every reason and figure."""
    lines = [f"# Gates of {report.artefact}, {report.experiment}", "", f"**{verdict_text(report)}**", ""]
    for result, waiver in waived(report):
        until = f" (until {waiver['expires']})" if waiver.get("expires") else ""
        lines += [f"> {result.key} {result.title}. Waived{until}: {waiver['reason']}", ""]
    lines += [f"- {name}: `{value}`" for name, value in provenance(report)]
    lines += [
        "",
        "| gate | question | status | measure | limit | n |",
        "|---|---|---|---|---|---|",
        *(_row(result) for result in report),
        "",
    ]
    drawn: set[str] = set()
    for result in report:
        lines += [f"## {result.key} · {result.title}: {status_text(result)}", "", result.reason, ""]
        if result.threshold_source:
            lines += [f"Limit {limit_text(result)}: {result.threshold_source}. {result.seconds:.2f} s.", ""]
        if result.figure and result.figure not in drawn:
            drawn.add(result.figure)
            lines += [f"![{result.key}]({result.figure})", ""]
    return "\n".join(lines)


def _row(result: GateResult) -> str:
    cells = (
        result.key,
        GATES[result.gate].question,
        status_text(result),
        measure_text(result.value, result.lower, result.upper),
        limit_text(result),
        str(result.n_effective),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
