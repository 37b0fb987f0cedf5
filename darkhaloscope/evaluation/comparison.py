"""All experiments side by side, with what differs between their configurations.

Two models are comparable as far as they are graded on the same real objects;
what makes them differ is only known where one choice changed. Both are said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from darkhaloscope.config import Experiment

RECORD_NAME = "model_comparison.json"
RECORD_VERSION = 1

_NOT_A_CHOICE = ("name", "title", "description", "seed")


def compare_models(
    evaluations: Mapping[str, Mapping[str, Any]],
    experiments: Mapping[str, Experiment],
    gates: Mapping[str, Mapping[str, int]] | None = None,
    waivers: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Any]:
    """Put experiments side by side.

    Parameters
    ----------
    evaluations : mapping of str to dict
        Record of :func:`~darkhaloscope.evaluation.anchor_evaluation.evaluate_anchors`
        per experiment.
    experiments : mapping of str to Experiment
        Every experiment that was run, graded or not.
    gates : mapping of str to dict, optional
        Number of gate results per status.
    waivers : mapping of str to sequence of dict, optional
        What each experiment rests on: gate and reason of every waiver.

    Returns
    -------
    dict
        ``models``: one row per experiment, best Tier A recall first;
        ``differences``: per pair of experiments the choices that differ;
        ``same_objects``: whether all graded models saw the same real objects.
    """
    rows = [
        {
            **_row(name, evaluations.get(name), dict((gates or {}).get(name, {}))),
            "waivers": [dict(waiver) for waiver in (waivers or {}).get(name, [])],
        }
        for name in sorted(experiments)
    ]
    names = sorted(experiments)
    differences: list[dict[str, Any]] = [
        {"first": a, "second": b, "choices": config_difference(experiments[a], experiments[b])}
        for index, a in enumerate(names)
        for b in names[index + 1 :]
    ]
    for entry in differences:
        entry["sections"] = sorted({str(key).split(".")[0] for key in entry["choices"]})
        entry["attributable"] = len(entry["choices"]) <= 1
    graded = [
        tuple(item["anchor_id"] for item in evaluations[name]["objects"])
        for name in names
        if name in evaluations
    ]
    return {
        "version": RECORD_VERSION,
        "models": sorted(rows, key=lambda row: (-_tier_a(row), row["experiment"])),
        "differences": differences,
        "same_objects": len(set(graded)) <= 1,
    }


def config_difference(first: Experiment, second: Experiment) -> dict[str, list[Any]]:
    """Return ``{"section.key": [first value, second value]}`` for every choice that differs."""
    a, b = _flatten(first.model_dump(mode="json")), _flatten(second.model_dump(mode="json"))
    return {
        key: [a.get(key), b.get(key)]
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key) and key.split(".")[0] not in _NOT_A_CHOICE
    }


def _row(name: str, evaluation: Mapping[str, Any] | None, gates: dict[str, int]) -> dict[str, Any]:
    if evaluation is None:
        return {"experiment": name, "graded": False, "gates": gates}
    return {
        "experiment": name,
        "graded": True,
        "gates": gates,
        "auc": evaluation["test"]["auc"],
        "auc_by_control_kind": {k: v["auc"] for k, v in evaluation["test"]["by_control_kind"].items()},
        "recall_injected": evaluation["test"]["recall"],
        "recall": evaluation["recall"],
        "contamination": evaluation["contamination"],
        "contamination_all": evaluation["contamination_all"],
        "threshold": evaluation["threshold"],
        "ece": evaluation["test"]["reliability"]["ece"],
    }


def _tier_a(row: Mapping[str, Any]) -> float:
    if not row["graded"]:
        return -1.0
    value = row["recall"]["A"]["value"]
    return -0.5 if value is None else float(value)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(_flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = item
    return flat
