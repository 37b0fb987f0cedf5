"""Data sets found on disk: ours with and without a store around them, and the predecessor's."""

import shutil
from dataclasses import replace

import gate_world
import numpy as np
import predecessor_world as pw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope import tabular
from darkhaloscope.artifacts import MANIFEST_NAME, ArtifactStore, read_json, write_json
from darkhaloscope.errors import ArtifactError, DataError, MissingDataError
from darkhaloscope.gates.dataset_on_disk import find_shards, judge_on_disk, parquet_files
from darkhaloscope.gates.registry import DATA_GATES
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS
from darkhaloscope.stamps.predecessor import PredecessorShards

PROFILE = replace(gate_world.PROFILE, bootstrap=50, gate_probe_epochs=2)


def judge(path, folder, **given):
    return judge_on_disk(find_shards(path), profile=PROFILE, folder=folder, **given)


def statuses(report):
    return {result.key: result.status for result in report}


def lacking(report):
    """What deferred gates say is missing."""
    return {r.gate: r.reason for r in report if r.status is GateStatus.DEFERRED}


@pytest.fixture(scope="module")
def sound(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    return judge(pw.write(folder / "data", rows), folder / "out")


def test_every_gate_answers_for_the_predecessors_files(sound):
    assert sound.gates() == list(DATA_GATES)
    assert [r.key for r in sound if r.status is GateStatus.FAIL] == []
    assert statuses(sound)["L2"] is statuses(sound)["L3"] is statuses(sound)["Q6"] is GateStatus.PASS
    assert statuses(sound)["S2:model"] is GateStatus.PASS


def test_deferred_gates_name_what_is_missing(sound):
    missing = lacking(sound)
    assert "column nan_pixels" in missing["Q3"]
    assert "manifest" in missing["Q4"]
    assert "the experiment's controls: none was declared" in missing["Q5"]
    assert "footprint" in missing["L4"]
    assert "psfdepth_g_mag" in missing["Q1"]
    assert "host_cutouts" in missing["S3"]


def test_the_report_says_how_the_files_were_read(sound):
    about = sound.about
    assert about["form"] == "the predecessor's stamps"
    assert "lens_e = (1 - q)/(1 + q)" in about["columns read"]["lens_q"]
    assert "AB mag" in about["columns read"]["psfdepth_r_mag"]
    assert "src_reff_arcsec" in about["columns ignored"]
    assert "no inverse variance" in about["columns absent"]["invvar"]
    assert sound.experiment == "none"


def test_nulls_in_controls_alone_are_found(as_it_was, tmp_path):
    report = judge(pw.write(tmp_path / "data", as_it_was), tmp_path / "out")
    failed = {r.gate: r.reason for r in report if r.status is GateStatus.FAIL}
    assert "psf_fwhm_g_arcsec is null" in failed["Q1"]
    assert "nulls tell unpaired from positives" in failed["L5"]
    assert set(failed) == {"Q1", "L5"}


def test_pixels_that_are_not_finite_fail_by_file_and_row(rows, tmp_path):
    image = np.ones((3, 64, 64), np.float32)
    image[2, 0, 0] = np.inf
    blobs = rows["stamp_npz"].to_pylist()
    blobs[7] = pw.stamp(image)
    spoilt = pw.changed(rows, stamp_npz=pa.array(blobs, pa.binary()))
    report = judge(pw.write(tmp_path / "data", spoilt, by_folder=False, files=1), tmp_path / "out")
    (result,) = report.of("Q3")
    assert result.status is GateStatus.FAIL
    assert "part-00000.gz.parquet, row 7" in result.reason
    assert [r.gate for r in report if r.status is GateStatus.FAIL] == ["Q3"]


def test_positives_lost_in_injection_are_found(rows, tmp_path):
    positive = np.asarray(rows["is_control"]) == 0
    lost = positive & (np.asarray(rows["psfsize_r"]) > np.median(np.asarray(rows["psfsize_r"])))
    lossy = pw.changed(rows, cutout_ok=(~lost).astype(np.int32))
    report = judge(pw.write(tmp_path / "data", lossy), tmp_path / "out")
    (result,) = report.of("Q4")
    assert result.status is GateStatus.FAIL
    assert "cutout_failed" in result.reason
    assert report.about["rows without a stamp"] == lost.sum()


def test_rows_moved_between_splits_are_found(rows, tmp_path):
    twice = pa.concat_tables(
        [rows, pw.changed(rows, task_id=[f"{t}-2" for t in rows["task_id"].to_pylist()])]
    )
    split = np.array(twice["region_split"].to_pylist(), dtype=object)
    moved = np.arange(len(split)) % 3 == 0
    split[moved & (split == "val")] = "train"
    relabelled = pw.changed(twice, region_split=pa.array(split.tolist()))
    report = judge(pw.write(tmp_path / "data", relabelled), tmp_path / "out")
    failed = {r.gate for r in report if r.status is GateStatus.FAIL}
    assert {"L1", "L2", "Q6"} <= failed


def test_without_a_split_every_gate_of_rows_is_deferred(rows, tmp_path):
    lone = pw.changed(rows, region_split=None)
    report = judge(pw.write(tmp_path / "data", lone, by_folder=False), tmp_path / "out")
    assert set(statuses(report).values()) == {GateStatus.DEFERRED}
    assert "column region_split" in lacking(report)["L2"]
    assert "column region_split" in lacking(report)["S2"]


def test_a_stamp_that_cannot_be_read_fails_the_gates_that_read_it(rows, tmp_path):
    blobs = rows["stamp_npz"].to_pylist()
    blobs[3] = blobs[3][:100]
    cut = pw.changed(rows, stamp_npz=pa.array(blobs, pa.binary()))
    report = judge(pw.write(tmp_path / "data", cut, by_folder=False, files=1), tmp_path / "out")
    (result,) = report.of("S5")
    assert result.status is GateStatus.FAIL
    assert "row 3" in result.reason
    assert statuses(report)["L2"] is GateStatus.PASS


def test_the_hash_follows_the_bytes(rows, tmp_path):
    one = find_shards(pw.write(tmp_path / "one", rows)).content_hash
    assert find_shards(pw.write(tmp_path / "two", rows)).content_hash == one
    other = pw.changed(rows, ebv=np.asarray(rows["ebv"]) + 0.001)
    assert find_shards(pw.write(tmp_path / "three", other)).content_hash != one


@pytest.fixture(scope="module")
def store(good, tmp_path_factory):
    """The world's shards in a store of their own, where one test may break them."""
    source = good.world.store
    folder = tmp_path_factory.mktemp("store")
    shutil.copytree(source.root, folder / "store")
    held = ArtifactStore(folder / "store")
    record = in_store(held) / MANIFEST_NAME
    raw = read_json(record)
    for name in ("manifest", "injected_stamps"):
        for path in held.directory(name).glob(f"**/{MANIFEST_NAME}"):
            made = held.record(name, *path.parent.relative_to(held.directory(name)).parts)
            raw["inputs"][made.key] = made.content_hash
    write_json(record, raw)
    return held, good.world.experiment


def in_store(store):
    (name,) = (p.name for p in store.directory("training_shards").iterdir())
    return store.directory("training_shards", name)


def test_shards_in_a_store_bring_what_lies_beside_them(store, tmp_path):
    held, experiment = store
    report = judge(in_store(held), tmp_path, experiment=experiment)
    assert {"manifest_paths", "stamp_paths", "hosts_paths"} <= set(report.about["inputs beside it"])
    assert statuses(report)["Q4"] is statuses(report)["P3"] is GateStatus.PASS
    assert report.artefact_hash == held.record("training_shards", in_store(held).name).content_hash


def test_a_manifest_made_again_since_is_left_out(store, tmp_path):
    held, experiment = store
    broken = tmp_path / "store"
    shutil.copytree(held.root, broken)
    for path in broken.glob("manifest/*/*/_manifest.json"):
        text = path.read_text()
        record = held.record("manifest", *path.parent.relative_to(broken / "manifest").parts)
        path.write_text(text.replace(record.content_hash, "0" * 64))
    report = judge(in_store(ArtifactStore(broken)), tmp_path / "out", experiment=experiment)
    assert "Made again since" in report.about["inputs left out"]["manifest_paths"]
    assert "manifest" in lacking(report)["Q4"]


def test_shards_changed_after_they_were_committed_are_refused(store, tmp_path):
    held, _ = store
    broken = tmp_path / "store"
    shutil.copytree(held.root, broken)
    part = parquet_files(in_store(ArtifactStore(broken)))[0]
    raw = bytearray(part.read_bytes())
    raw[100] ^= 1
    part.write_bytes(raw)
    with pytest.raises(ArtifactError, match="changed after it was committed"):
        find_shards(in_store(ArtifactStore(broken)))


def test_loose_shards_take_hosts_and_bank_by_name(good, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in good.world.paths("shards"):
        shutil.copy(path, loose / path.name)
    alone = judge(loose, tmp_path / "alone", experiment=good.world.experiment)
    assert {"Q4", "P1", "P3", "S3", "L4"} <= set(lacking(alone))
    assert "host_cutouts" in lacking(alone)["P3"]
    hosts = good.world.paths("hosts")[0].parent
    given = judge(
        loose,
        tmp_path / "given",
        experiment=good.world.experiment,
        hosts=hosts,
        bank=good.world.bank_path,
    )
    assert statuses(given)["P3"] is statuses(given)["S3:model"] is GateStatus.PASS


def test_a_column_that_our_shards_lack_is_named(good, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in good.world.paths("shards"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["source_id"]), loose / path.name)
    report = judge(loose, tmp_path / "out", experiment=good.world.experiment)
    assert "column source_id" in lacking(report)["L3"]
    assert statuses(report)["L2"] is GateStatus.PASS


def test_other_tables_are_refused(good, tmp_path):
    with pytest.raises(MissingDataError):
        find_shards(tmp_path)
    tabular.write_table(tmp_path / "hosts.parquet", STAMPS, good.table.slice(0, 2))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "hosts.parquet")
    with pytest.raises(DataError, match="Neither training shards nor stamps of the predecessor"):
        find_shards(tmp_path)


def test_the_predecessors_reader_is_a_shard_set(rows, tmp_path):
    found = find_shards(pw.write(tmp_path, rows))
    assert isinstance(found.shards, PredecessorShards)
    assert found.form == "predecessor"
    assert found.size_px == gate_world.SIZE_PX
