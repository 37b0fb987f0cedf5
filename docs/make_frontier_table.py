"""Write the table of speed and error into ``docs/injection.md`` from the benchmark's own record.

    python benchmarks/bench_render.py --json docs/frontier.json
    python -m docs.make_frontier_table [RECORD]

Times are of one run on one core; what to hold are the ratios.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from darkhaloscope.artifacts import atomic_path, read_json
from darkhaloscope.errors import DataError, describe

FOLDER = Path(__file__).parent
RECORD, PAGE = FOLDER / "frontier.json", FOLDER / "injection.md"
PICTURE = "images/frontier.png"

_BLOCK = re.compile(r"(<!-- frontier: written by .*? -->\n)(.*?)(<!-- frontier: end -->)", re.DOTALL)
_COLUMNS = {
    "us_per_stamp": ("µs per source", "{:,.0f}"),
    "ratio": ("time, ratio", "{:.1f}"),
    "error_of_peak_median": ("error of peak, median", "{:.2%}"),
    "error_of_peak_worst": ("worst", "{:.2%}"),
    "flux_error_worst": ("flux, worst", "{:.2%}"),
    "centroid_error_worst_px": ("centroid, worst [px]", "{:.3f}"),
}


@click.command(help=__doc__)
@click.argument("record", type=click.Path(path_type=Path, dir_okay=False), default=RECORD)
def main(record: Path) -> None:
    """Replace the block of the page between its two marks."""
    text = with_table(PAGE.read_text(encoding="utf-8"), read_json(record))
    with atomic_path(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(PAGE)


def with_table(page: str, record: Mapping[str, Any]) -> str:
    """Return the page with the block between its marks replaced.

    Parameters
    ----------
    page : str
        Text of ``injection.md``.
    record : mapping
        What ``bench_render.py --json`` wrote.

    Raises
    ------
    DataError
        If the page lost its marks.
    """
    if not _BLOCK.search(page):
        raise DataError(
            describe("The marks of the table are gone", file=PAGE, expected="<!-- frontier: ... -->")
        )
    return _BLOCK.sub(lambda match: match[1] + block(record) + match[3], page)


def block(record: Mapping[str, Any]) -> str:
    """Return picture and table of a record, fastest first.

    Raises
    ------
    DataError
        If the record names no implementation.
    """
    rows = record.get("implementations")
    if not rows:
        raise DataError(describe("Record of a benchmark", field="implementations", expected="at least one"))
    order = sorted(rows.items(), key=lambda item: item[1]["us_per_stamp"])
    shown = {key: value for key, value in _COLUMNS.items() if all(key in row for row in rows.values())}
    lines = [
        "| renderer | " + " | ".join(title for title, _ in shown.values()) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name, row in order:
        cells = [form.format(row[key]) for key, (_, form) in shown.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    picture = (
        f"![Error against time of every renderer]({PICTURE})\n\n" if (FOLDER / PICTURE).is_file() else ""
    )
    return picture + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
