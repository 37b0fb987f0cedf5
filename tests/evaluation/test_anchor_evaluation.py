import anchor_world as world
import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.evaluation.anchor_evaluation import (
    evaluate_anchors,
    grade_anchors,
    grade_numbers,
    grade_test,
    operating_point,
    score_test_split,
)
from darkhaloscope.hashing import canonical_json
from darkhaloscope.profiles import TEST
from darkhaloscope.schema import STAMPS
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.statistics.rates import OperatingPoint, Rate


def scored(kinds, scores, hosts=None, snr=None) -> pa.Table:
    n = len(kinds)
    return pa.table(
        {
            "task_id": [f"t{i}" for i in range(n)],
            "host_id": hosts or [f"h{i}" for i in range(n)],
            "control_kind": kinds,
            "snr": pa.array(snr or [None] * n, pa.float64()),
            "score": pa.array(scores, pa.float64()),
        }
    )


@pytest.fixture
def point() -> OperatingPoint:
    return OperatingPoint(0.5, 0.01, Rate.exact(1, 100), certifiable=False)


def test_only_untouched_controls_freeze_the_threshold():
    kinds = ["unpaired"] * 50 + ["paired"] * 50 + ["matched_light"] * 100 + ["positive"] * 100
    scores = np.concatenate([np.linspace(0.0, 0.4, 100), np.full(200, 0.9)])
    found = operating_point(scored(kinds, scores), 0.05)
    assert found.achieved.n == 100
    assert found.score < 0.4


def test_a_galaxy_counts_once_in_the_threshold():
    # The same host twice must not count as two negatives.
    kinds, hosts = ["unpaired", "paired", "unpaired"], ["a", "a", "b"]
    assert operating_point(scored(kinds, [0.1, 0.2, 0.3], hosts), 0.1).achieved.n == 2


def test_recall_and_false_positives_are_counted_over_hosts_at_the_threshold(point):
    kinds = ["positive"] * 4 + ["paired"] * 4 + ["matched_light"] * 2
    scores = [0.9, 0.8, 0.2, 0.5, 0.1, 0.2, 0.6, 0.4, 0.7, 0.1]
    graded = grade_test(scored(kinds, scores), point, n_boot=20, seed=1)
    assert (graded["recall"]["k"], graded["recall"]["n"]) == (2, 4)
    rates = {kind: (item["fpr"]["k"], item["fpr"]["n"]) for kind, item in graded["by_control_kind"].items()}
    assert rates == {"paired": (1, 4), "matched_light": (1, 2)}
    # against 6 controls: 0.9 and 0.8 beat 6 each, 0.2 beats 2 and ties 1, 0.5 beats 4
    assert graded["auc"]["value"] == pytest.approx((6 + 6 + 2.5 + 4) / 24)
    assert canonical_json(graded)


def test_roc_ends_at_both_corners_and_ties_move_together(point):
    kinds = ["positive", "positive", "paired", "paired"]
    roc = grade_test(scored(kinds, [0.9, 0.5, 0.5, 0.1]), point, n_boot=5, seed=1)["roc"]
    assert roc["fpr"] == [0.0, 0.0, 0.5, 1.0]
    assert roc["tpr"] == [0.0, 0.5, 1.0, 1.0]


def test_recall_by_snr_puts_every_injection_in_its_bin(point):
    kinds = ["positive"] * 3 + ["paired"]
    graded = grade_test(
        scored(kinds, [0.9, 0.1, 0.9, 0.1], snr=[1.0, 3.0, 40.0, None]), point, n_boot=5, seed=1
    )
    filled = {(item["low"], item["k"], item["n"]) for item in graded["recall_by_snr"] if item["n"]}
    assert filled == {(0.0, 1, 1), (2.0, 0, 1), (32.0, 1, 1)}


def test_a_perfectly_calibrated_score_has_no_calibration_error(point):
    kinds = ["positive"] * 3 + ["paired"] * 7
    graded = grade_test(scored(kinds, [0.3] * 10), point, n_boot=5, seed=1)
    assert graded["reliability"]["ece"] == pytest.approx(0.0)
    assert grade_test(scored(kinds, [0.8] * 10), point, n_boot=5, seed=1)["reliability"][
        "ece"
    ] == pytest.approx(0.5)


def test_one_class_is_an_error(point):
    with pytest.raises(DataError, match="One class"):
        grade_test(scored(["positive"] * 3, [0.1, 0.2, 0.3]), point, n_boot=5, seed=1)


def test_tiers_are_never_pooled_and_classes_stand_alone(point):
    rows = [
        ("lens", "galaxy lens", "imaging", "A", 0.9),
        ("lens", "galaxy lens", "network", "A", 0.1),
        ("lens", "galaxy lens", "spectroscopic", "B", 0.1),
        ("lookalike", "ring", "imaging", "lookalike", 0.8),
        ("lookalike", "spiral", "imaging", "lookalike", 0.2),
    ]
    table = pa.table(
        {
            "anchor_id": [f"a{i}" for i in range(5)],
            "name": ["x"] * 5,
            "kind": [r[0] for r in rows],
            "object_class": [r[1] for r in rows],
            "discovery": [r[2] for r in rows],
            "tier": [r[3] for r in rows],
            "ra": [1.0] * 5,
            "dec": [1.0] * 5,
            "arc_snr_r": pa.array([3.0, 3.0, 1.0, None, None]),
        }
    )
    graded = grade_anchors(table, np.array([r[4] for r in rows]), point)
    count = lambda item: (item["k"], item["n"])  # noqa: E731  # four uses on four lines
    assert {t: count(item) for t, item in graded["recall"].items()} == {"A": (1, 2), "B": (0, 1)}
    assert {d: count(i) for d, i in graded["recall_by_discovery"].items()} == {
        "imaging": (1, 1),
        "network": (0, 1),
        "spectroscopic": (0, 1),
    }
    assert {c: count(i) for c, i in graded["contamination"].items()} == {"ring": (1, 1), "spiral": (0, 1)}
    assert not graded["contamination"]["ring"]["enough"]
    assert count(graded["contamination_all"]) == (1, 2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> ShardSet:
    folder = tmp_path_factory.mktemp("test-shards")
    parts = [synthetic.stamp_table(24, "test", key=f"test{i}") for i in range(2)]
    for i, part in enumerate(parts):
        tabular.write_table(folder / f"test-{i:05d}.parquet", STAMPS, part)
    tabular.write_table(folder / "train-00000.parquet", STAMPS, synthetic.stamp_table(8, "train"))
    return ShardSet(sorted(folder.glob("*.parquet")))


def test_the_whole_test_split_is_scored_and_nothing_else(model, shards):
    test = score_test_split(model, shards)
    assert test.num_rows == 48
    assert sorted(set(test["control_kind"].to_pylist())) == ["paired", "positive"]
    rows = shards.rows("test")
    assert np.array_equal(test["score"].to_numpy(), model.score(tabular.pixels(rows, "image"), rows))


def test_a_whole_evaluation_is_one_json_record(checkpoint_path, model, shards, survey_tree, tmp_path):
    rows = [world.at(world.galaxy(0, 1)), world.at(world.galaxy(1, 1), type="ring", ref=world.RINGS)]
    rows.append(world.at(world.galaxy(0, 0), 30.0))
    stamps = world.stamps(survey_tree, rows, tmp_path)
    record = evaluate_anchors(
        checkpoint_path, shards, stamps, experiment=synthetic.experiment(), profile=TEST, inputs={"a": "h"}
    )
    canonical_json(record)
    assert record["checkpoint_sha256"] == model.sha256
    assert record["not_scored"] == {"no_source": 1}
    assert len(record["objects"]) == 2
    assert len(record["positions_deg"]) == 3
    assert not record["threshold"]["certifiable"]
    expected = model.score(tabular.pixels(stamps.slice(0, 2), "image"), stamps.slice(0, 2))
    assert [o["score"] for o in record["objects"]] == expected.tolist()
    numbers = grade_numbers(record)
    assert numbers["contamination_n"] == 1
    assert numbers["auc_lower"] <= numbers["auc"] <= numbers["auc_upper"]


@pytest.mark.parametrize(("trained_on", "graded"), [(False, 2), (True, 1)])
def test_lookalikes_a_model_was_trained_on_do_not_grade_it(
    checkpoint_path, shards, survey_tree, tmp_path, trained_on, graded
):
    rows = [world.at(world.galaxy(0, 1)), world.at(world.galaxy(1, 1), type="ring", ref=world.RINGS)]
    stamps = world.stamps(survey_tree, rows, tmp_path)
    at = stamps.column_names.index("tier")
    tiers = pa.array([stamps["tier"][0].as_py(), "lookalike_train"])
    stamps = stamps.set_column(at, stamps.schema.field("tier"), tiers)
    experiment = synthetic.experiment()
    controls = experiment.controls.model_copy(update={"hard_negatives": trained_on})
    record = evaluate_anchors(
        checkpoint_path,
        shards,
        stamps,
        experiment=experiment.model_copy(update={"controls": controls}),
        profile=TEST,
    )
    assert len(record["objects"]) == graded
    assert record["not_scored"] == ({"trained_on": 1} if trained_on else {})


def test_no_scorable_anchor_is_an_error(checkpoint_path, shards, survey_tree, tmp_path):
    stamps = world.stamps(survey_tree, [world.at(world.galaxy(0, 0), 30.0)], tmp_path)
    with pytest.raises(DataError, match=r"No anchor can be scored.*no_source"):
        evaluate_anchors(checkpoint_path, shards, stamps, experiment=synthetic.experiment(), profile=TEST)
