"""One experiment on the report page: what it is, its gates, its training, its grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.gates.registry import ANCHOR_STAMPS, COSMOS_BANK, GATES
from darkhaloscope.reports import figures as draw
from darkhaloscope.reports import html_parts as h
from darkhaloscope.reports.gates import measure_text

_ORDER = ("fail", "deferred", "waived", "pass", "not_applicable")
_KINDS = ("positive", "paired", "unpaired", "matched_light", "hard_negative")


def experiment_section(name: str, one: Mapping[str, Any], store: ArtifactStore, directory: Path) -> str:
    """Return the section of one experiment; figures are drawn into ``directory``.

    Parameters
    ----------
    name : str
        Experiment name.
    one : dict
        Its entry in the summary.
    store : ArtifactStore
        For the figures of its artefacts.
    directory : Path
        Of the report.
    """
    parts = [
        f'<h2 id="{h.text(name)}">{h.text(name)}: {h.text(one["title"])}</h2>',
        f"<p>{h.text(one['description'])}</p>",
        _data(one),
        _stamps(name, store, directory),
        "<h3>Gates</h3>",
        _gates(name, one["gates"], store),
        _training(name, one["training"], directory),
        _grade(name, one, store, directory),
    ]
    return "\n".join(part for part in parts if part)


def _data(one: Mapping[str, Any]) -> str:
    if not one["rows"]:
        return '<p class="note">No training shards were written.</p>'
    kinds = [kind for kind in _KINDS if any(kind in counts for counts in one["rows"].values())]
    rows = [
        [split, *(f"{counts.get(kind, 0):,}" for kind in kinds), f"{sum(counts.values()):,}"]
        for split in ("train", "val", "test")
        if (counts := one["rows"].get(split)) is not None
    ]
    statuses = ", ".join(f"{count:,} {status}" for status, count in one["statuses"].items())
    return (
        "<h3>Data</h3>"
        + h.table(
            ("split", *(kind.replace("_", " ") for kind in kinds), "rows"),
            rows,
            numeric=range(1, len(kinds) + 2),
        )
        + (f'<p class="note">Status of every task: {h.text(statuses)}.</p>' if statuses else "")
    )


def _stamps(name: str, store: ArtifactStore, directory: Path) -> str:
    caption = "Stamps by kind, arcs from strong to weak: g r z in the colours of the survey's viewer"
    found = stamp_picture(name, store, directory, caption)
    return h.figures([found]) if found else ""


def stamp_picture(name: str, store: ArtifactStore, directory: Path, caption: str) -> str:
    """Draw stamps of the experiment's first tile, a row per kind; empty if none were injected.

    Parameters
    ----------
    name : str
        Experiment name.
    store : ArtifactStore
        Holds ``injected_stamps``.
    directory : Path
        Where ``<name>-stamps.png`` is kept.
    caption : str
        Below the picture.
    """
    path = directory / f"{name}-stamps.png"
    for tile in store.partitions("injected_stamps", name):
        paths = store.paths(store.record("injected_stamps", name, tile), ".parquet")
        draw.stamp_sheet(paths, path)
        return h.picture(path, caption, wide=True)
    return ""


def _gates(name: str, gates: Sequence[Mapping[str, Any]], store: ArtifactStore) -> str:
    if not gates:
        return '<p class="note">No gate was run.</p>'
    ranked = sorted(gates, key=lambda g: (not g["blocking"], _ORDER.index(g["status"])))
    rows = []
    for gate in ranked:
        view = f" · {gate['view']} view" if gate["view"] else ""
        waiver = gate["waiver"]
        reason = h.text(gate["reason"])
        if waiver:
            until = f" until {waiver['expires']}" if waiver.get("expires") else ""
            reason += f"<br><b>Waived{h.text(until)}:</b> {h.text(waiver['reason'])}"
        status = h.chip(gate["status"]) + ("" if gate["blocking"] else h.chip("quiet", "informs"))
        rows.append(
            [
                h.stacked(
                    f"<b>{h.text(gate['gate'])}</b> {h.text(gate['title'])}",
                    GATES[gate["gate"]].question + view,
                    wrap=True,
                ),
                status,
                h.stacked(
                    h.text(measure_text(gate["value"], gate["lower"], gate["upper"])),
                    f"n = {gate['n_effective']:,} galaxies",
                ),
                h.stacked(
                    h.text("-" if gate["threshold"] is None else f"{gate['threshold']:.4g}"),
                    gate["threshold_source"],
                    wrap=True,
                ),
                reason,
            ]
        )
    table = h.table(("gate", "verdict", "measure [95 %]", "limit", "why"), rows)
    pictures = []
    for gate in ranked:
        path = _gate_figure(name, gate, store)
        if path is not None:
            pictures.append(h.picture(path, f"{gate['gate']} {gate['title']}: {gate['status']}"))
    unique = list(dict.fromkeys(pictures))
    return table + (h.folded(f"Figures of {len(unique)} gates", h.figures(unique)) if unique else "")


def _gate_figure(name: str, gate: Mapping[str, Any], store: ArtifactStore) -> Path | None:
    if not gate["figure"]:
        return None
    single = gate["report"] in (ANCHOR_STAMPS, COSMOS_BANK)
    key = (gate["report"],) if single else (gate["report"], name)
    path = store.directory(*key) / gate["figure"]
    return path if path.is_file() else None


def _training(name: str, training: Mapping[str, Any] | None, directory: Path) -> str:
    if training is None:
        return ""
    path = draw.training_figure(training["history"], directory / f"{name}-training.png")
    best = training["metrics"]
    area = best["auc"]
    return (
        "<h3>Training</h3>"
        f"<p>{h.text(training['model'].get('encoder', 'network'))}, {training['parameters']:,} parameters; "
        f"best epoch {training['best_epoch']} of {len(training['history'])} by "
        f"{h.text(training['best_by'])}: validation AUC "
        f"{area['value']:.3f} [{area['lower']:.3f}, {area['upper']:.3f}] over {area['n']} galaxies.</p>"
        + h.figures([h.picture(path, "Loss, and AUC on validation with its 95 % interval", wide=True)])
    )


def _grade(name: str, one: Mapping[str, Any], store: ArtifactStore, directory: Path) -> str:
    graded = one["evaluation"]
    if graded is None:
        return f'<p class="note">Not graded: {h.text(one["state"])}.</p>'
    pictures = [
        h.picture(function(graded, directory / f"{name}-{stem}.png"), caption)
        for stem, function, caption in (
            ("roc", draw.roc_figure, "ROC on the test split"),
            ("scores", draw.score_figure, "Scores by kind; dashed: the frozen threshold"),
            ("snr", draw.recall_snr_figure, "Recall of injections by arc S/N"),
            ("real", draw.rates_figure, "Real objects at the frozen threshold"),
            ("reliability", draw.reliability_figure, "Calibration on test"),
        )
    ]
    if one["selection"] is not None:
        path = draw.selection_figure(one["selection"], directory / f"{name}-selection.png")
        pictures.append(h.picture(path, one["selection"]["validity"]["statement"]))
    kinds = [
        [
            h.text(kind.replace("_", " ")),
            h.interval_cell(item["auc"]),
            h.rate_cell(item["fpr"]),
        ]
        for kind, item in graded["test"]["by_control_kind"].items()
    ]
    return (
        "<h3>Grade</h3>"
        f"<p>Operating point: score above {graded['threshold']['score']:.4g}. "
        f"{h.text(graded['threshold']['statement'])}.</p>"
        + h.figures(pictures)
        + h.table(("injections against", "AUC", "called lenses"), kinds)
        + _objects(name, graded, store, directory)
    )


def _objects(name: str, graded: Mapping[str, Any], store: ArtifactStore, directory: Path) -> str:
    classes = [
        [h.text(label), h.rate_cell(item), "" if item.get("enough", True) else "too few for a rate"]
        for label, item in (
            *((f"lens, Tier {tier}", item) for tier, item in graded["recall"].items()),
            *((f"lens, found by {d}", item) for d, item in graded["recall_by_discovery"].items()),
            *((f"look-alike: {c}", item) for c, item in graded["contamination"].items()),
        )
    ]
    rows = [
        [
            h.text(item["name"]),
            h.text(item["object_class"]),
            h.text(item["tier"]),
            "-" if item["arc_snr_r"] is None else f"{item['arc_snr_r']:.1f}",
            f"{item['score']:.3f}",
            h.chip("pass", "lens") if item["above"] else h.chip("quiet", "no"),
        ]
        for item in sorted(graded["objects"], key=lambda o: -o["score"])
    ]
    excluded = ", ".join(f"{count} {status}" for status, count in graded["not_scored"].items())
    return (
        "<h3>Real objects</h3>"
        + h.table(("group", "called lenses", ""), classes)
        + (f'<p class="note">Not scored: {h.text(excluded)}.</p>' if excluded else "")
        + _object_sheet(name, graded, store, directory)
        + h.folded(
            f"All {len(rows)} scored objects",
            h.table(("object", "class", "tier", "arc S/N", "score", "called"), rows, numeric=(3, 4)),
        )
    )


def _object_sheet(name: str, graded: Mapping[str, Any], store: ArtifactStore, directory: Path) -> str:
    """Draw every scored object with its score, those above the threshold in a frame."""
    if not store.has("anchor_stamps"):
        return ""
    stamps = tabular.read_table(store.paths(store.record("anchor_stamps"), ".parquet"))
    scores = {item["anchor_id"]: item["score"] for item in graded["objects"]}
    shown = stamps.filter(pc.is_in(stamps["anchor_id"], value_set=pa.array(sorted(scores))))
    if shown.num_rows != len(scores):
        # The stamps were cut again after this grading: their pictures are not what was scored.
        return ""
    path = draw.anchor_sheet(
        shown, directory / f"{name}-objects.png", scores=scores, threshold=graded["threshold"]["score"]
    )
    caption = "Real objects by tier and class with their scores; framed: called lenses"
    return h.figures([h.picture(path, caption, wide=True)])
