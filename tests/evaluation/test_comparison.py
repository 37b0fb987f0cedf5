from pathlib import Path

import pytest

from darkhaloscope.config import load_experiments
from darkhaloscope.evaluation.comparison import compare_models, config_difference
from darkhaloscope.statistics.rates import Rate

EXPERIMENTS = load_experiments(Path(__file__).resolve().parents[2] / "experiments")


def evaluation(recall: int, ids=("a", "b")) -> dict:
    rate = Rate.exact(recall, 10).to_dict()
    return {
        "test": {
            "auc": {"value": 0.9, "lower": 0.8, "upper": 1.0, "n": 10},
            "by_control_kind": {"paired": {"auc": {"value": 0.9}, "fpr": rate}},
            "recall": rate,
            "reliability": {"ece": 0.1},
        },
        "recall": {"A": rate, "B": Rate.exact(0, 0).to_dict()},
        "contamination": {},
        "contamination_all": rate,
        "threshold": {"score": 0.5},
        "objects": [{"anchor_id": key} for key in ids],
    }


def test_models_are_ranked_by_tier_a_recall_and_the_ungraded_come_last():
    names = ("gen4-sersic", "gen5-cosmos", "gen6")
    record = compare_models(
        {"gen4-sersic": evaluation(3), "gen6": evaluation(7)}, {name: EXPERIMENTS[name] for name in names}
    )
    assert [row["experiment"] for row in record["models"]] == ["gen6", "gen4-sersic", "gen5-cosmos"]
    assert [row["graded"] for row in record["models"]] == [True, True, False]


def test_a_model_without_tier_a_objects_ranks_below_one_that_found_none():
    none = evaluation(0)
    none["recall"]["A"] = Rate.exact(0, 0).to_dict()
    record = compare_models(
        {"gen4-sersic": none, "gen6": evaluation(0)},
        {name: EXPERIMENTS[name] for name in ("gen4-sersic", "gen6")},
    )
    assert [row["experiment"] for row in record["models"]] == ["gen6", "gen4-sersic"]


def test_every_choice_that_differs_is_named_and_titles_are_no_choice():
    difference = config_difference(EXPERIMENTS["gen5-cosmos"], EXPERIMENTS["gen6"])
    assert difference["controls.matched_light"] == [False, True]
    assert difference["sources.magnitude"] == ["host_tied", "population"]
    assert not {"title", "name", "seed", "description"} & {key.split(".")[0] for key in difference}
    assert config_difference(EXPERIMENTS["gen6"], EXPERIMENTS["gen6"]) == {}


@pytest.mark.parametrize(("change", "attributable"), [(1, True), (2, False)])
def test_a_difference_belongs_to_one_choice_only_if_one_changed(change, attributable):
    first = EXPERIMENTS["gen6"]
    training = first.training.model_copy(update={"loss": "focal"})
    updates = {"name": "other", "training": training}
    if change == 2:
        updates["noise"] = first.noise.model_copy(update={"arc_shot_noise": False})
    record = compare_models({}, {"gen6": first, "other": first.model_copy(update=updates)})
    assert record["differences"][0]["attributable"] is attributable


def test_models_graded_on_other_objects_are_told_apart():
    experiments = {name: EXPERIMENTS[name] for name in ("gen4-sersic", "gen6")}
    same = compare_models({name: evaluation(1) for name in experiments}, experiments)
    other = compare_models({"gen4-sersic": evaluation(1), "gen6": evaluation(1, ("a",))}, experiments)
    assert same["same_objects"]
    assert not other["same_objects"]


def test_waivers_travel_with_the_model_they_were_granted_to():
    names = ("gen5-cosmos", "gen6")
    waiver = {"gate": "S2:model", "reason": "kept as the predecessor ran it"}
    record = compare_models(
        {"gen6": evaluation(7)},
        {name: EXPERIMENTS[name] for name in names},
        waivers={"gen5-cosmos": [waiver]},
    )
    assert {row["experiment"]: row["waivers"] for row in record["models"]} == {
        "gen6": [],
        "gen5-cosmos": [waiver],
    }
