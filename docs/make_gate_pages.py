"""Write what the docs say of gate reports from the code: the layout, and the predecessor's columns.

    python -m docs.make_gate_pages

Writes ``docs/gate-report-schema.md`` from the JSON Schema, and the table of
columns in ``docs/gates.md`` from the table that the reader uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.gates.report_schema import SCHEMA_PATH, report_schema
from darkhaloscope.stamps.predecessor_columns import GAPS, MAPPED

FOLDER = Path(__file__).parent
LAYOUT_PAGE, GATES_PAGE = FOLDER / "gate-report-schema.md", FOLDER / "gates.md"

_BLOCK = re.compile(r"(<!-- columns: written by .*? -->\n)(.*?)(<!-- columns: end -->)", re.DOTALL)


@click.command(help=__doc__)
def main() -> None:
    """Write both pages."""
    pages = {
        LAYOUT_PAGE: layout_page(report_schema()),
        GATES_PAGE: with_columns(GATES_PAGE.read_text(encoding="utf-8")),
    }
    for path, text in pages.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        click.echo(path)


def layout_page(schema: Mapping[str, Any]) -> str:
    """Return the page on the layout of ``report.json``."""
    source = f"`darkhaloscope/gates/{SCHEMA_PATH.name}`"
    lines = [
        "# Layout of a gate report",
        "",
        f"Written by `python -m docs.make_gate_pages` from the JSON Schema {source} of the package.",
        "Every report is checked against it before it is written. How to read one: [gates.md](gates.md).",
        "",
        f"**{schema['title']}.** {schema['description']}",
        "",
        *_fields(schema),
    ]
    for name, rule in schema["$defs"].items():
        lines += [f"## {name}", "", *_fields(rule)]
    return "\n".join(lines).rstrip() + "\n"


def with_columns(page: str) -> str:
    """Return the page on gates with its table of the predecessor's columns."""
    rows = ["| ours | theirs | unit and convention |", "|---|---|---|"]
    rows += [f"| `{c.ours}` | {', '.join(f'`{t}`' for t in c.theirs)} | {c.note} |" for c in MAPPED]
    told: dict[str, list[str]] = {}
    for name, why in GAPS.items():
        told.setdefault(why, []).append(f"`{name}`")
    gaps = [f"- {', '.join(names)}: {why}" for why, names in told.items()]
    block = "\n".join(
        [*rows, "", "What the format cannot say, apart from columns it simply lacks:", "", *gaps]
    )
    written, count = _BLOCK.subn(lambda match: f"{match[1]}\n{block}\n\n{match[3]}", page)
    if count != 1:
        raise click.ClickException("docs/gates.md has lost the marks of its table of columns")
    return written


def _fields(rule: Mapping[str, Any]) -> list[str]:
    required = set(rule.get("required", ()))
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for name, field in rule["properties"].items():
        optional = "" if name in required else " (optional)"
        rows.append(f"| `{name}`{optional} | {_kind(field)} | {field.get('description', '')} |")
    return [*rows, ""]


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rsplit("/", 1)[-1]
        return f"[{name}](#{name})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" if value else "empty" for value in field["enum"])
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    items = field.get("items")
    return " or ".join(kinds) + (f" of {_kind(items)}" if items else "")


if __name__ == "__main__":
    main()
