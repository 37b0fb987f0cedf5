"""Shards: exactly the manifest's tasks, whole groups, shuffled, read in any portion."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.errors import ArtifactError, DataError
from darkhaloscope.schema import MANIFEST, STAMPS
from darkhaloscope.schema.columns import tensor_array
from darkhaloscope.stamps import quantise
from darkhaloscope.stamps.shards import ShardSet, stored_schema, write_shards


@pytest.fixture(scope="module")
def shards(world):
    return ShardSet(world.paths("shards"))


def rewrite(
    world, folder, stamps, *, manifest=None, made_from=None, chosen=None, profile=stamp_world.PROFILE
):
    """Commit other stamps (and another manifest) and write their shards."""
    store = ArtifactStore(folder / "store")
    staging = store.stage("manifest", "unit", "042", plan="p")
    tabular.write_table(
        staging / "m.parquet", MANIFEST, world.table("manifest") if manifest is None else manifest
    )
    planned = stamp_world.commit(store, staging, "manifest", "unit", "042", inputs={})
    staging = store.stage("injected_stamps", "unit", "042", plan="p")
    tabular.write_table(staging / "s.parquet", STAMPS, stamps)
    made = stamp_world.commit(
        store,
        staging,
        "injected_stamps",
        "unit",
        "042",
        inputs={"manifest": made_from or planned.content_hash},
    )
    staging = store.stage("training_shards", "unit", plan="p")
    summary = write_shards(
        chosen or world.experiment,
        profile,
        manifest_records={"042": planned},
        stamp_records={"042": made},
        store=store,
        staging=staging,
    )
    return summary, ShardSet(sorted(staging.glob("*.parquet")))


def lose(stamps, chosen):
    """Stamps with some rows marked as lost and without pixels, as injection leaves them."""
    gone = np.isin(np.asarray(stamps["task_id"].to_pylist()), chosen)
    table = stamp_world.replace(
        stamps, status=np.where(gone, "missing_band_z", stamps["status"].to_pylist()).tolist()
    )
    keep = pa.array(np.arange(stamps.num_rows), mask=gone)
    for column in STAMPS.pixel_columns():
        at = table.column_names.index(column.name)
        pixels = stamps[column.name].combine_chunks().take(keep)
        table = table.set_column(at, table.schema.field(at), pixels)
    return table


def test_every_kept_row_is_a_stamp_bit_for_bit(world, shards):
    stamps = world.table("stamps").sort_by("task_id")
    assert shards.rows().sort_by("task_id").equals(stamps)
    STAMPS.validate(shards.rows())


def test_shards_have_the_asked_size_and_one_split(world, shards):
    assert shards.splits == ("train", "val", "test")
    for split in shards.splits:
        sizes = [tabular.row_count([path]) for path in shards.paths(split)]
        assert set(sizes[:-1]) <= {stamp_world.PROFILE.shard_rows}
        assert 0 < sizes[-1] <= stamp_world.PROFILE.shard_rows
        assert set(shards.metadata(["split"], split)["split"].to_pylist()) == {split}
    assert world.summary["part_rows"] == {p.name: tabular.row_count([p]) for p in shards.paths()}


def test_rows_are_shuffled_over_blocks_and_classes(world, shards):
    order = {task: i for i, task in enumerate(world.table("manifest")["task_id"].to_pylist())}
    table = shards.metadata(["task_id", "control_kind"], "train")
    place = np.array([order[task] for task in table["task_id"].to_pylist()])
    assert abs(np.corrcoef(place, np.arange(len(place)))[0, 1]) < 0.3
    first = table["control_kind"].slice(0, 40).to_pylist()
    assert set(first) == {"positive", "paired", "unpaired", "matched_light"}


def test_a_group_that_lost_a_row_goes_as_a_whole_and_is_counted(world, tmp_path):
    stamps = world.table("stamps")
    lost = stamp_world.of_kind(stamps, "matched_light")["task_id"][0].as_py()
    pair = stamps.filter(pc.equal(stamps["task_id"], lost))["pair_id"][0].as_py()
    group = stamps.filter(pc.equal(stamps["pair_id"], pair))["control_kind"].to_pylist()
    summary, found = rewrite(world, tmp_path, lose(stamps, [lost]))
    assert pair not in found.metadata(["pair_id"])["pair_id"].to_pylist()
    assert summary["outcomes"]["matched_light"] == {"kept": 72, "missing_band_z": 1}
    for kind in set(group) - {"matched_light"}:
        assert summary["outcomes"][kind]["group_incomplete"] == group.count(kind)
    counted = sum(n for kinds in summary["outcomes"].values() for n in kinds.values())
    assert counted == sum(n for kinds in summary["planned"].values() for n in kinds.values()) == 242


def test_targeting_takes_whole_groups_so_class_shares_hold(world, tmp_path):
    chosen = stamp_world.experiment(snr_targeting={"mode": "floor", "low": 10.0, "high": 40.0})
    summary, found = rewrite(world, tmp_path, world.table("stamps"), chosen=chosen)
    table = found.metadata(["control_kind", "arc_snr_footprint_r", "split", "pair_id"])
    positive = stamp_world.of_kind(table, "positive")
    assert pc.min(positive["arc_snr_footprint_r"]).as_py() >= 10.0
    assert pc.max(positive["arc_snr_footprint_r"]).as_py() <= 40.0
    assert summary["outcomes"]["positive"]["snr_low"] > 5
    n = positive.num_rows
    for kind in ("paired", "matched_light"):
        assert stamp_world.of_kind(table, kind).num_rows == n
    kept = set(positive["pair_id"].to_pylist())
    assert set(table["pair_id"].to_pylist()) == kept
    stamps = world.table("stamps", ["control_kind", "pair_id"])
    unpaired = stamp_world.of_kind(stamps, "unpaired")["pair_id"].to_pylist()
    assert stamp_world.of_kind(table, "unpaired").num_rows == sum(pair in kept for pair in unpaired)


def test_thinned_groups_weigh_what_they_stand_for(world, tmp_path):
    """A group weighs as much as its positive; per split the weights count what lay in the range."""
    chosen = stamp_world.experiment(snr_targeting={"mode": "log_uniform", "low": 4.0, "high": 100.0})
    summary, found = rewrite(world, tmp_path, world.table("stamps"), chosen=chosen)
    table = found.metadata(["control_kind", "split", "pair_id", "sampling_weight"])
    weight = table["sampling_weight"].to_numpy()
    of_pair = dict(zip(table["pair_id"].to_pylist(), weight.tolist(), strict=True))
    np.testing.assert_array_equal(weight, [of_pair[pair] for pair in table["pair_id"].to_pylist()])
    before = world.table("stamps", ["control_kind", "split", "arc_snr_footprint_r"])
    for split in ("train", "val", "test"):
        snr, kind = (
            before.filter(pc.equal(before["split"], split))[name].to_numpy(zero_copy_only=False)
            for name in ("arc_snr_footprint_r", "control_kind")
        )
        inside = int(((kind == "positive") & (snr >= 4.0) & (snr <= 100.0)).sum())
        part = stamp_world.of_kind(table.filter(pc.equal(table["split"], split)), "positive")
        assert pc.sum(part["sampling_weight"]).as_py() == pytest.approx(inside)
        weights = part["sampling_weight"].to_numpy()
        effective = summary["weights"][split]["effective"]
        assert effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert summary["outcomes"]["positive"]["snr_thinned"] > 0
    assert weight.max() > 1.0


def test_a_chosen_flux_keeps_every_group_and_its_weights(world, tmp_path):
    chosen = stamp_world.experiment(snr_targeting={"mode": "choose_flux"})
    made = stamp_world.build(tmp_path, chosen, world.bank_path)
    assert made.summary["outcomes"]["positive"] == {"kept": 73}
    assert made.table("shards").sort_by("task_id").equals(made.table("stamps").sort_by("task_id"))
    positives = stamp_world.of_kind(made.table("shards"), "positive")
    for split, found in made.summary["weights"].items():
        weight = positives.filter(pc.equal(positives["split"], split))["sampling_weight"].to_numpy()
        assert found["zero"] == pytest.approx((weight == 0.0).mean())
        assert 0.0 < found["effective"] < len(weight)
    assert 0.0 < np.mean(positives["sampling_weight"].to_numpy() == 0.0) < 1.0


def test_hard_negatives_are_thinned_like_the_groups(world, tmp_path):
    stamps, manifest = world.table("stamps"), world.table("manifest")
    kinds = stamps["control_kind"].to_pylist()
    alone = [i for i, kind in enumerate(kinds) if kind == "unpaired"]
    for i in alone:
        kinds[i] = "hard_negative"
    pairs = [f"own-{i}" if i in alone else pair for i, pair in enumerate(stamps["pair_id"].to_pylist())]
    stamps = stamp_world.replace(stamps, control_kind=kinds, pair_id=pairs)
    chosen = stamp_world.experiment(snr_targeting={"mode": "floor", "low": 10.0, "high": 200.0})
    summary, _ = rewrite(world, tmp_path, stamps, manifest=manifest, chosen=chosen)
    for kinds_of_split in summary["rows"].values():
        planned = summary["planned"][next(k for k, v in summary["rows"].items() if v is kinds_of_split)]
        share = kinds_of_split["positive"] / planned["positive"]
        assert kinds_of_split.get("hard_negative", 0) == round(share * planned["hard_negative"])


def test_stamps_of_another_manifest_are_refused(world, tmp_path):
    with pytest.raises(ArtifactError, match="another manifest"):
        rewrite(world, tmp_path, world.table("stamps"), made_from="0" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.slice(1), "1 missing"),
        (lambda t: pa.concat_tables([t, t.slice(4, 1)]), "1 repeated"),
        (
            lambda t: stamp_world.replace(t, task_id=["f" * 32, *t["task_id"].to_pylist()[1:]]),
            "1 missing .* 1 unknown",
        ),
    ],
)
def test_stamps_that_are_not_the_manifests_tasks_are_refused(world, tmp_path, change, message):
    with pytest.raises(ArtifactError, match=message):
        rewrite(world, tmp_path, change(world.table("stamps")))


def test_tiles_without_stamps_are_refused(world, tmp_path):
    for manifests in ({"042": world.manifest, "043": world.manifest}, {}):
        with pytest.raises(ArtifactError, match="Tiles"):
            write_shards(
                world.experiment,
                stamp_world.PROFILE,
                manifest_records=manifests,
                stamp_records={"042": world.stamps} if manifests else {},
                store=world.store,
                staging=tmp_path,
            )


def test_a_galaxy_of_two_tiles_is_refused(world, tmp_path):
    with pytest.raises(DataError, match="two tiles"):
        write_shards(
            world.experiment,
            stamp_world.PROFILE,
            manifest_records={"042": world.manifest, "043": world.manifest},
            stamp_records={"042": world.stamps, "043": world.stamps},
            store=world.store,
            staging=tmp_path,
        )


def test_a_split_of_one_class_is_refused(world, tmp_path):
    stamps = world.table("stamps")
    test = stamps.filter(pc.equal(stamps["split"], "test"))
    lost = stamp_world.of_kind(test, "positive")["task_id"].to_pylist()
    with pytest.raises(DataError, match=r"both classes \[field test\].*0 positives"):
        rewrite(world, tmp_path, lose(stamps, lost))


def test_a_split_that_keeps_only_look_alikes_is_refused(world, tmp_path):
    stamps = world.table("stamps")
    kinds, pairs = stamps["control_kind"].to_pylist(), stamps["pair_id"].to_pylist()
    alone = [i for i, kind in enumerate(kinds) if kind == "unpaired"]
    for i in alone:
        kinds[i], pairs[i] = "hard_negative", f"own-{i}"
    stamps = stamp_world.replace(stamps, control_kind=kinds, pair_id=pairs)
    val = stamps.filter(pc.equal(stamps["split"], "val"))
    lost = stamp_world.of_kind(val, "positive")["task_id"].to_pylist()
    with pytest.raises(DataError, match=r"field val.*0 positives, [1-9]\d* controls"):
        rewrite(world, tmp_path, lose(stamps, lost))


def test_shards_are_written_in_passes_when_there_are_many(world, shards, tmp_path, monkeypatch):
    monkeypatch.setattr("darkhaloscope.stamps.shards._OPEN_SHARDS", 2)
    _, found = rewrite(world, tmp_path, world.table("stamps"))
    assert [p.read_bytes() for p in found.paths()] == [p.read_bytes() for p in shards.paths()]
    assert not list(tmp_path.rglob("spill*"))


@pytest.mark.parametrize("steps_per_sigma", [32.0, 96.0])
def test_quantised_shards_hold_the_same_rows_within_half_a_step(world, shards, tmp_path, steps_per_sigma):
    asked = {"form": "quantised", "steps_per_sigma": steps_per_sigma}
    summary, found = rewrite(
        world, tmp_path, world.table("stamps"), chosen=stamp_world.experiment(storage=asked)
    )
    kept, counted = shards.rows(), found.rows()
    assert counted.drop(["image"]).equals(kept.drop(["image"]))
    image, stored = tabular.pixels(kept, "image"), tabular.pixels(counted, "image")
    step = quantise.image_steps(image, steps_per_sigma)
    written = tabular.read_table(found.paths(), ["image_step_r_nmgy"])["image_step_r_nmgy"].to_numpy()
    np.testing.assert_array_equal(written, step[:, 1])
    assert (np.abs(stored.astype(float) - image) <= 0.5001 * step[..., None, None]).all()
    assert (stored != image).mean() > 0.99
    assert summary["storage"] == {**asked, "wide_rows": {}}
    assert sum(p.stat().st_size for p in found.paths()) < 0.5 * sum(p.stat().st_size for p in shards.paths())


def test_bright_rows_of_quantised_shards_are_counted_by_kind(world, tmp_path):
    stamps = world.table("stamps").combine_chunks()
    image = tabular.pixels(stamps, "image").copy()
    bright = np.flatnonzero(np.asarray(stamps["control_kind"].to_pylist()) == "paired")[:3]
    image[bright, 2, 10, 10] = 400.0
    at = stamps.column_names.index("image")
    stamps = stamps.set_column(at, stamps.schema.field(at), tensor_array(image, stamps.schema.field(at).type))
    chosen = stamp_world.experiment(storage={"form": "quantised"})
    summary, found = rewrite(world, tmp_path, stamps, chosen=chosen)
    assert summary["storage"]["wide_rows"] == {"paired": 3}
    assert tabular.pixels(found.rows(), "image").max() == pytest.approx(400.0, rel=1e-6)


def test_a_stamp_that_cannot_be_quantised_is_named(world, tmp_path):
    stamps = world.table("stamps").combine_chunks()
    image = tabular.pixels(stamps, "image").copy()
    image[8, 1] = 0.25
    at = stamps.column_names.index("image")
    stamps = stamps.set_column(at, stamps.schema.field(at), tensor_array(image, stamps.schema.field(at).type))
    task = stamps["task_id"][8].as_py()
    with pytest.raises(DataError, match=rf"cannot be quantised.*row {task}"):
        rewrite(world, tmp_path, stamps, chosen=stamp_world.experiment(storage={"form": "quantised"}))


def test_the_form_decides_the_schema_of_the_record():
    assert stored_schema(stamp_world.experiment().storage).label == STAMPS.label
    quantised = stamp_world.experiment(storage={"form": "quantised"}).storage
    assert stored_schema(quantised).label == f"quantised_stamps/{STAMPS.version}"


def test_what_a_killed_attempt_left_is_replaced(world, tmp_path):
    (tmp_path / "train-00099.parquet").write_bytes(b"half a shard")
    (tmp_path / "spill").mkdir()
    (tmp_path / "spill" / "train-00000.parquet").write_bytes(b"half a spill")
    summary = write_shards(
        world.experiment,
        stamp_world.PROFILE,
        manifest_records={"042": world.manifest},
        stamp_records={"042": world.stamps},
        store=world.store,
        staging=tmp_path,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(summary["part_rows"])


def test_another_shard_size_holds_the_same_rows_in_the_same_order(world, shards, tmp_path):
    profile = dataclasses.replace(stamp_world.PROFILE, shard_rows=1000)
    _, found = rewrite(world, tmp_path, world.table("stamps"), profile=profile)
    assert len(found.paths()) == 3
    assert found.metadata(["task_id"]).equals(shards.metadata(["task_id"]))
