"""Write the table of what each gate sees into ``docs/gates-power.md`` from the benchmark's own record.

python benchmarks/bench_gates_power.py --json docs/gates-power.json
python -m docs.make_power_table
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from darkhaloscope.artifacts import atomic_path, read_json
from darkhaloscope.gates.registry import GATES

FOLDER = Path(__file__).parent
RECORD, PAGE = FOLDER / "gates-power.json", FOLDER / "gates-power.md"

_PAGE = """\
# What the gates see

How small a fault each gate finds, and how often it cries wolf over data that are sound. Sound sets of
the demo's size ({rows:,} stamps of {galaxies:,} galaxies, other hosts, sources and noise in each) are
drawn {draws} times and judged; then a fault of growing size is planted in {fault_draws} of them. "With
95 %" is the size that is found in all but a twentieth of the draws, on the scale of sizes that were
tried. A fault of one row is found in a set of any size. For larger sets intervals shrink with the root
of the number of galaxies, towards the limit itself.

```sh
python benchmarks/bench_gates_power.py --json docs/gates-power.json
python -m docs.make_power_table
```

## Smallest fault found

| gate | fault | median | with 95 % | unit |
|---|---|---|---|---|
{faults}

The behaviour gates are shown models that are wrong in kind, not in size: `tests/gates/faults/behaviour.py`.

## False alarms

| gate | question | alarms | rate |
|---|---|---|---|
{alarms}
"""


def main() -> None:
    """Write the page."""
    record = read_json(RECORD)
    faults = "\n".join(_fault(fault) for fault in record["faults"])
    alarms = "\n".join(_alarm(gate, found, record["draws"]) for gate, found in record["alarms"].items())
    page = _PAGE.format(
        rows=record["rows"],
        galaxies=record["galaxies"],
        draws=record["draws"],
        fault_draws=max(fault["draws"] for fault in record["faults"]),
        faults=faults,
        alarms=alarms,
    )
    with atomic_path(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    click.echo(PAGE)


def _fault(fault: dict[str, Any]) -> str:
    if fault["counted"]:
        sizes = "1 | 1" if fault["detected"] else "not found | not found"
    else:
        sizes = " | ".join(_size(fault[name], fault["largest_tried"]) for name in ("median", "detected"))
    return f"| {fault['gate']} | {fault['fault']} | {sizes} | {fault['unit']} |"


def _size(size: float | None, largest: float) -> str:
    return f"more than {largest:g}" if size is None else f"{size:g}"


def _alarm(gate: str, found: dict[str, Any], draws: int) -> str:
    rate = f"{found['value']:.3f} [{found['lower']:.3f}, {found['upper']:.3f}]"
    return f"| {gate} | {GATES[gate].question} | {found['alarms']} of {draws} | {rate} |"


if __name__ == "__main__":
    main()
