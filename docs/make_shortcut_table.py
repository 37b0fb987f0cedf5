"""Write the tables of ``docs/shortcuts.md`` from the gate reports of a campaign.

    python -m dagster_project.cli demo -e gen4-sersic -e gen5-cosmos -e gen5-prime -e gen6 --root ROOT
    python -m docs.make_shortcut_table ROOT [--train]

Verdicts and numbers are those of ROOT's gate reports. With ``--train`` the
probe of S6 is also trained on stamps whose centre is masked at several radii or
treated as an experiment treats it; the result is kept in ``shortcuts.json`` and
drawn as ``images/centre-mask.png``. Numbers in the text of the page are not
written here: a change of the record asks for reading it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from assets.experiments import get_experiment
from darkhaloscope.artifacts import atomic_path, read_json, write_json
from darkhaloscope.gates.features import Sample, measure_sample
from darkhaloscope.gates.population import COMPARED_KINDS, KINDS, POSITIVE
from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.result import GateReport, GateResult
from darkhaloscope.gates.shortcut.figures import draw_mask_curve
from darkhaloscope.gates.shortcut.signal import probe_views
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import get_profile
from darkhaloscope.stamps.shardset import ShardSet

FOLDER = Path(__file__).parent
RECORD, PAGE, PICTURE = FOLDER / "shortcuts.json", FOLDER / "shortcuts.md", FOLDER / "images/centre-mask.png"
EXPERIMENTS = ("gen4-sersic", "gen5-cosmos", "gen5-prime", "gen6")
COLUMNS = ("matched_light", "paired", "unpaired")
MASK_RADII_PX = (0.0, 4.0, 8.0, 10.0, 12.0)
TREATED, TREATMENT = "gen6", "gen5-prime"
"""Whose stamps the probe is trained on, and whose treatment of the centre they are also shown through."""

_BLOCK = r"(<!-- {name}: written by .*? -->\n)(.*?)(<!-- {name}: end -->)"
_MARKS = {"pass": "", "fail": " **fail**", "not_applicable": " (informs)"}


@click.command(help=__doc__)
@click.argument("root", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--train", is_flag=True, help="Train the probes of the centre-mask curve again.")
def main(root: Path, *, train: bool) -> None:
    """Replace the blocks of the page between their marks."""
    record = read_json(RECORD) if RECORD.is_file() else {}
    record["gates"] = {name: _gates(root, name) for name in EXPERIMENTS}
    if train:
        record["centre"] = _centre(root)
    write_json(RECORD, record)
    if "centre" in record:
        draw_mask_curve(PICTURE, record["centre"]["masked"], Thresholds().value("S6", "min_auc"))
    page = PAGE.read_text(encoding="utf-8")
    for name, text in (("gates", gates_table(record)), ("centre", centre_table(record))):
        page = _with_block(page, name, text)
    with atomic_path(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    click.echo(PAGE)


def gates_table(record: Mapping[str, Any]) -> str:
    """Return the verdicts of all experiments, one line per gate and view."""
    lines = [
        "| experiment | gate | view | verdict | " + " | ".join(COLUMNS) + " |",
        "|---|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for experiment, rows in record["gates"].items():
        for row in rows:
            cells = [_cell(row["columns"].get(kind)) for kind in COLUMNS]
            status = row["status"].replace("_", " ")
            lines.append(
                f"| {experiment} | {row['gate']} | {row['view']} | {status} | " + " | ".join(cells) + " |"
            )
    return "\n".join(lines) + "\n"


def centre_table(record: Mapping[str, Any]) -> str:
    """Return the AUC of the probe without and with treatments of the centre."""
    if "centre" not in record:
        return "Not trained yet.\n"
    lines = ["| centre | against | AUC without | AUC with | loss |", "|---|---|---|---|---|"]
    for kind, found in record["centre"]["treated"].items():
        lines.append(
            f"| {record['centre']['treatment']} | {kind} | {_interval(found['raw'])} "
            f"| {_interval(found['model'])} | {_interval(found['loss'])} |"
        )
    for kind, curve in record["centre"]["masked"].items():
        for radius, auc in zip(curve["radius_px"], curve["auc"], strict=True):
            if radius:
                lost = curve["auc"][0]["value"] - auc["value"]
                raw = _interval(curve["auc"][0])
                lines.append(
                    f"| masked, r < {radius:g} px | {kind} | {raw} | {_interval(auc)} | {lost:.3f} |"
                )
    return "\n".join(lines) + "\n"


def _gates(root: Path, name: str) -> list[dict[str, Any]]:
    path = root / "store" / "gate_report" / name / "report.json"
    report = GateReport.from_json(path.read_text(encoding="utf-8"))
    return [_row(result) for result in report if GATES[result.gate].family == "shortcut"]


def _row(result: GateResult) -> dict[str, Any]:
    return {
        "gate": result.gate,
        "view": result.view,
        "status": result.status.value,
        "reason": result.reason,
        "columns": result.values.get("by_kind", {}),
    }


def _cell(column: Mapping[str, Any] | None) -> str:
    if column is None or column["value"] is None:
        return "-"
    return _interval(column["value"]) + _MARKS[column["status"]]


def _interval(raw: Mapping[str, float]) -> str:
    return f"{raw['value']:.3f} [{raw['lower']:.3f}, {raw['upper']:.3f}]"


def _centre(root: Path) -> dict[str, Any]:
    """Train the probe on the stamps of one experiment, their centres masked or treated."""
    own, other = get_experiment(TREATED), get_experiment(TREATMENT).preprocess
    profile = get_profile("demo")
    shards = ShardSet(sorted((root / "store" / "training_shards" / TREATED).glob("*.parquet")))
    treated = own.preprocess.model_copy(
        update={"centre": other.centre, "centre_radius_px": other.centre_radius_px}
    )
    sample = measure_sample(
        shards,
        hosts_per_class=profile.gate_hosts_per_class,
        spec=PreprocessSpec.from_config(treated, crop_px=profile.stamp_px),
        seed=own.seed,
        probe_min_snr=Thresholds().value("S6", "min_snr_footprint"),
    )
    sizes = {"epochs": profile.gate_probe_epochs, "seed": own.seed, "n_boot": profile.bootstrap}
    masked: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    for kind in ("matched_light", "paired"):
        seen[kind] = _probed(sample, kind, **sizes)
        del seen[kind]["roc"]
        click.echo(f"{kind} {other.centre}: {_interval(seen[kind]['model'])}")
        masked[kind] = {"radius_px": [0.0], "auc": [seen[kind]["raw"]]}
        for blanked, radius in _masked(sample):
            masked[kind]["radius_px"].append(radius)
            masked[kind]["auc"].append(_probed(blanked, kind, **sizes)["raw"])
            click.echo(f"{kind} r < {radius:g} px: {_interval(masked[kind]['auc'][-1])}")
    return {
        "treatment": f"{TREATMENT}: {other.centre}, r < {other.centre_radius_px:g} px",
        "treated": seen,
        "masked": masked,
    }


def _masked(sample: Sample) -> Iterator[tuple[Sample, float]]:
    """Yield samples whose probe stamps are blank within a radius."""
    radius_px = StampGeometry(sample.probe_raw.shape[-1], 1.0).radius_px()
    for radius in MASK_RADII_PX[1:]:
        blank = np.where(radius_px < radius, np.float16(0.0), sample.probe_raw)
        yield replace(sample, probe_raw=blank, probe_model=blank), radius


def _probed(sample: Sample, kind: str, **sizes: int) -> dict[str, Any]:
    of = np.array(KINDS, dtype=object)[sample.population.kind[sample.probe_rows]]
    rows = np.flatnonzero((of == POSITIVE) | (of == kind))
    views = {"raw": sample.probe_raw[rows]}
    views["model"] = views["raw"] if sample.probe_model is sample.probe_raw else sample.probe_model[rows]
    hosts = sample.population.host[sample.probe_rows[rows]]
    return probe_views(views, of[rows] == POSITIVE, hosts, **sizes)


def _with_block(page: str, name: str, text: str) -> str:
    found = re.compile(_BLOCK.format(name=name), re.DOTALL)
    if not found.search(page):
        raise click.ClickException(f"{PAGE} lost the marks of its block {name!r}")
    return found.sub(lambda match: match[1] + text + match[3], page)


assert set(COLUMNS) == set(COMPARED_KINDS)

if __name__ == "__main__":
    main()
