"""The gate report as one HTML page that can be printed as an appendix.

Verdict and waivers first, then every answer in one table, then each gate with
its question, answer, picture, numbers and the source of its limit. Nothing
outside the page is needed to read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from darkhaloscope.gates.registry import GATES, get_gate
from darkhaloscope.gates.result import GateReport, GateResult
from darkhaloscope.reports import html_parts as h
from darkhaloscope.reports.gate_words import (
    limit_text,
    measure_text,
    provenance,
    status_text,
    verdict_text,
    waived,
)

_MEASURES = 60
"""Measured numbers shown of one result; all are in the JSON."""

_STYLE = """
main { max-width: 900px; }
.verdict { font-size: 18px; font-weight: 600; margin: 10px 0 14px; }
dl.provenance { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 14px 0 22px;
                font-size: 13.5px; }
dl.provenance dt { color: var(--muted); } dl.provenance dd { margin: 0; overflow-wrap: anywhere; }
section.gate { margin: 0 0 34px; }
section.gate h3 { margin: 30px 0 2px; font-size: 17px; }
section.gate h3 .id { color: var(--muted); font-weight: 500; margin-right: 8px; }
.question { margin: 0 0 8px; font-style: italic; color: var(--muted); }
.reason { margin: 6px 0; overflow-wrap: anywhere; }
td.num + td:not(.num), th.num + th:not(.num) { padding-left: 16px; }
section.gate figure { max-width: 100%; margin: 12px 0; text-align: center; }
section.gate figure img { width: auto; max-width: 100%; margin: 0 auto; }
section.gate figcaption { text-align: left; }
.answers td:first-child { white-space: nowrap; } .answers td:nth-child(2) { width: 46%; }
@media print {
  @page { margin: 18mm 16mm; }
  body { font-size: 10.5pt; background: #fff; }
  main { max-width: none; padding: 0; }
  nav, details { display: none; }
  h2 { break-after: avoid; } h3, .question { break-after: avoid; }
  .card, figure { border: 0; padding: 0; border-radius: 0; }
  tr, figure { break-inside: avoid; }
  .chip { color: #000; background: none; border: 1px solid #555; }
  .chip.fail { border: 2px solid #000; }
  a { color: inherit; text-decoration: none; }
}
"""

_LEGEND = (
    ("pass", "the data were measured and lie within the limit"),
    ("fail", "beyond the limit by more than the interval, or too little to measure"),
    ("waived", "failed or deferred, and set aside by the experiment with a reason"),
    ("deferred", "an input is missing; a blocking gate stays shut"),
    ("not_applicable", "the question cannot be asked of this experiment"),
)


def gate_html(report: GateReport, folder: Path) -> str:
    """Return the page.

    Parameters
    ----------
    report : GateReport
        The verdicts.
    folder : Path
        Where the figures that they name lie.
    """
    gates = [(gate, list(results)) for gate, results in groupby(report, key=lambda result: result.gate)]
    artefact = h.text(report.artefact.replace("_", " "))
    experiment = h.text(report.about.get("path", report.experiment))
    body = [
        f"<header><h1>Gates of {artefact}</h1><p>{experiment}</p></header>",
        f'<p class="verdict">{h.text(verdict_text(report))}</p>',
        _waivers(report),
        _provenance(report),
        "<h2>Answers</h2>",
        _executive(report),
        _legend(),
    ]
    for family, members in groupby(gates, key=lambda item: get_gate(item[0]).family):
        body.append(f"<h2>{h.text(family.capitalize())}</h2>")
        body += [_gate(gate, results, folder) for gate, results in members]
    body.append(_reading(report.about))
    return h.page(f"Gates of {report.artefact}, {report.experiment}", [part for part in body if part], _STYLE)


def _waivers(report: GateReport) -> str:
    rows = [
        f"<li><b>{h.text(result.key)} {h.text(result.title)}</b>, {h.text(waiver.get('status_before', ''))}, "
        f"waived {h.text('until ' + waiver['expires'] if waiver.get('expires') else 'without end')}: "
        f"{h.text(waiver.get('reason', ''))}</li>"
        for result, waiver in waived(report)
    ]
    if not rows:
        return ""
    return f'<div class="card warn"><b>Read with care: gates were waived.</b><ul>{"".join(rows)}</ul></div>'


def _provenance(report: GateReport) -> str:
    items = "".join(
        f"<dt>{h.text(name)}</dt><dd><code>{h.text(value)}</code></dd>" for name, value in provenance(report)
    )
    return f'<dl class="provenance">{items}</dl>'


def _executive(report: GateReport) -> str:
    rows = [
        [
            f'<a href="#{h.text(result.gate)}"><b>{h.text(result.key)}</b></a>',
            h.text(GATES[result.gate].question),
            h.chip(result.status.value, status_text(result)),
            _value(result),
            limit_text(result),
            f"{result.n_effective:,}" if result.n_effective else "-",
        ]
        for result in report
    ]
    columns = ("gate", "question", "answer", "value, 95 % interval", "limit", "n")
    return f'<div class="answers">{h.table(columns, rows, numeric=(3, 4, 5))}</div>'


def _value(result: GateResult) -> str:
    """Return the deciding measure with its interval below."""
    value = measure_text(result.value, None, None)
    if result.lower is None or result.upper is None:
        return value
    return h.stacked(value, f"{result.lower:.3g} to {result.upper:.3g}")


def _legend() -> str:
    words = "; ".join(f"<b>{h.text(name.replace('_', ' '))}</b>: {h.text(told)}" for name, told in _LEGEND)
    return (
        f'<p class="note">{words}. A gate fails only when its whole interval lies beyond the limit; where it '
        "compares many things, the intervals hold together. n counts independent units, galaxies for most "
        "gates. A result that only informs stops nobody.</p>"
    )


def _reading(about: dict[str, Any]) -> str:
    """Say how a data set found on disk was read."""
    if not about:
        return ""
    rows = [[h.text(name), _listed(value)] for name, value in about.items() if value not in ({}, [], "")]
    return "<h2>How the files were read</h2>" + h.table(("of the files", "what was found"), rows)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"<code>{h.text(name)}</code> {h.text(told)}" for name, told in value.items())
    if isinstance(value, list):
        return ", ".join(f"<code>{h.text(item)}</code>" for item in value)
    return h.text(value)


def _gate(gate: str, results: list[GateResult], folder: Path) -> str:
    spec = get_gate(gate)
    parts = [
        f'<section class="gate" id="{h.text(gate)}">',
        f'<h3><span class="id">{h.text(gate)}</span>{h.text(spec.title)}</h3>',
        f'<p class="question">{h.text(spec.question)}</p>',
    ]
    for result in results:
        view = f"<b>{h.text(result.view)} view:</b> " if result.view else ""
        chip = h.chip(result.status.value, status_text(result))
        parts.append(f'<p class="reason">{chip} {view}{h.text(result.reason)}</p>')
    drawn = dict.fromkeys(result.figure for result in results if result.figure)
    parts += [
        h.picture(folder / name, f"{gate}: {spec.title}") for name in drawn if (folder / name).is_file()
    ]
    parts.append(_numbers(results))
    parts += [_measured(result) for result in results]
    return "\n".join([*(part for part in parts if part), "</section>"])


def _numbers(results: list[GateResult]) -> str:
    if all(result.value is None and result.threshold is None for result in results):
        return f'<p class="note">No number decided; {sum(r.seconds for r in results):.2f} s.</p>'
    rows = [
        [
            h.text(result.view or "-"),
            h.text(measure_text(result.value, result.lower, result.upper)),
            limit_text(result),
            h.text(result.threshold_source or "-"),
            f"{result.n_effective:,}" if result.n_effective else "-",
            f"{result.seconds:.2f}",
        ]
        for result in results
    ]
    return h.table(
        ("view", "value, 95 % interval", "limit", "source of the limit", "n", "seconds"),
        rows,
        numeric=(1, 2, 4, 5),
    )


def _measured(result: GateResult) -> str:
    """Return the measured numbers, folded away."""
    flat = [(name, value) for name, value in _flat(result.values) if not name.startswith("waiver")]
    if not flat:
        return ""
    rows = [[f"<code>{h.text(name)}</code>", h.text(_short(value))] for name, value in flat[:_MEASURES]]
    more = f", {_MEASURES} of {len(flat)} shown" if len(flat) > _MEASURES else ""
    view = f" in the {result.view} view" if result.view else ""
    return h.folded(f"What was measured{view}{more}", h.table(("measure", "value"), rows, numeric=(1,)))


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every number and text by its path; long lists, which a figure draws, are left out."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _flat(value, f"{name} {key}".strip())
    elif isinstance(values, list):
        if len(values) <= 8:
            for index, value in enumerate(values):
                yield from _flat(value, f"{name} {index}")
    elif values is not None:
        yield name, values


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
