"""Pieces of the report page: text, chips, tables, figures. No record is known here."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from darkhaloscope.statistics.rates import Rate

_LARGE_BYTES = 120_000
_JPEG_QUALITY = 90

STYLE = """
:root { --ink:#1d2733; --muted:#66727f; --line:#e2e7ed; --page:#f6f7f9; --card:#ffffff; --accent:#c2571a;
        --pass:#2e7d4f; --fail:#b3261e; --waived:#9a6700; --deferred:#5b5b8c; --na:#8a949e; }
* { box-sizing: border-box; }
body { margin:0; background:var(--page); color:var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 80px; }
header h1 { margin: 0 0 4px; font-size: 28px; letter-spacing: -0.01em; }
header p { margin: 0 0 8px; color: var(--muted); }
nav { margin: 10px 0 22px; font-size: 14px; }
nav a { margin-right: 16px; color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }
td a { color: var(--ink); }
h2 { font-size: 21px; margin: 44px 0 10px; padding-top: 10px; border-top: 2px solid var(--line); }
h3 { font-size: 16px; margin: 26px 0 8px; }
p, li { max-width: 90ch; }
.note { color: var(--muted); font-size: 13.5px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
        padding: 14px 16px; margin: 12px 0; overflow-x: auto; }
.facts { display: flex; flex-wrap: wrap; gap: 10px; margin: 12px 0; padding: 0; list-style: none; }
.facts li { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; }
.facts b { display: block; font-size: 18px; }
.facts span { color: var(--muted); font-size: 12.5px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--muted); font-weight: 600; font-size: 12.5px; padding: 6px 10px 6px 0;
     border-bottom: 1px solid var(--line); vertical-align: bottom; }
td { padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.num, th.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.big { font-size: 16px; font-weight: 650; font-variant-numeric: tabular-nums; white-space: nowrap; }
.small { display: block; color: var(--muted); font-size: 12px; font-variant-numeric: tabular-nums;
         white-space: nowrap; }
.chip { display: inline-block; border-radius: 99px; padding: 1px 9px; font-size: 12px; font-weight: 650;
        color: #fff; white-space: nowrap; margin: 0 3px 3px 0; }
.pass { background: var(--pass); } .fail { background: var(--fail); } .waived { background: var(--waived); }
.deferred { background: var(--deferred); } .not_applicable { background: var(--na); }
.quiet { background: none; color: var(--muted); border: 1px solid var(--line); font-weight: 500; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 14px;
           margin: 12px 0; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
         padding: 10px; }
figure.wide { grid-column: 1 / -1; }
figure img { width: 100%; height: auto; display: block; }
figure.wide img { width: auto; max-width: 100%; margin: 0 auto; }
figcaption { color: var(--muted); font-size: 12.5px; margin-top: 6px; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--accent); font-size: 14px; }
code { font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; color: var(--muted);
       overflow-wrap: anywhere; }
.wrap { white-space: normal; }
.warn { border-left: 4px solid var(--waived); }
@media print { body { background: #fff; } .card, figure { break-inside: avoid; } details { display: block; } }
"""

_STATUS_TEXT = {
    "pass": "passed",
    "fail": "failed",
    "waived": "waived",
    "deferred": "deferred",
    "not_applicable": "not applicable",
}


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """Return a whole document without scripts or outside resources; ``style`` adds to the common one."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def chip(status: str, text: str = "") -> str:
    """Return a coloured word for a gate status; the word is always there, not only the colour."""
    return f'<span class="chip {escape(status)}">{escape(text or _STATUS_TEXT.get(status, status))}</span>'


def stacked(main: str, below: str, *, wrap: bool = False) -> str:
    """Return a cell of HTML with smaller text below it; the text is escaped."""
    return f'{main}<span class="small{" wrap" if wrap else ""}">{escape(below)}</span>'


def rate_cell(raw: dict[str, float] | None) -> str:
    """Return a rate as counts with its interval below; there is no cell without them."""
    if raw is None:
        return '<span class="small">not measured</span>'
    rate = Rate.from_dict(raw)
    if rate.value is None:
        return '<span class="big">0/0</span><span class="small">not measured</span>'
    return (
        f'<span class="big">{rate.value:.2f}</span>'
        f'<span class="small">{rate.k}/{rate.n} · [{rate.lower:.2f}, {rate.upper:.2f}]</span>'
    )


def interval_cell(raw: dict[str, float] | None, unit: str = "galaxies") -> str:
    """Return an estimate with its interval and sample below."""
    if raw is None:
        return '<span class="small">not measured</span>'
    return (
        f'<span class="big">{raw["value"]:.3f}</span>'
        f'<span class="small">[{raw["lower"]:.3f}, {raw["upper"]:.3f}] · '
        f"{int(raw['n'])} {escape(unit)}</span>"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """Return a table; cells are HTML, columns are text, ``numeric`` columns are set flush right."""
    kinds = [' class="num"' if index in numeric else "" for index in range(len(columns))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(columns, kinds, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="card"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def picture(path: Path, caption: str, *, wide: bool = False) -> str:
    """Return a PNG as part of the page, so that the page can be sent as one file.

    A large one, a sheet of stamps, is embedded as a JPEG.
    """
    content, kind_of = path.read_bytes(), "png"
    if len(content) > _LARGE_BYTES:
        buffer = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").save(buffer, format="jpeg", quality=_JPEG_QUALITY)
        content, kind_of = buffer.getvalue(), "jpeg"
    data = base64.b64encode(content).decode()
    kind = ' class="wide"' if wide else ""
    return (
        f'<figure{kind}><img alt="{escape(caption, quote=True)}" src="data:image/{kind_of};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def figures(items: Sequence[str]) -> str:
    """Return figures in a grid."""
    return f'<div class="figures">{"".join(items)}</div>' if items else ""


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Return a row of (value, meaning) boxes."""
    cells = "".join(f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>" for value, name in items)
    return f'<ul class="facts">{cells}</ul>'


def folded(title: str, content: str) -> str:
    """Return content that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def text(value: object) -> str:
    """Return any value as escaped text."""
    return escape(str(value))
