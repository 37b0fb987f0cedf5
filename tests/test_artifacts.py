import errno
import json
import os
from pathlib import Path

import pytest

from darkhaloscope import artifacts
from darkhaloscope.artifacts import ArtifactStore, atomic_path, equal_plan, plan_hash
from darkhaloscope.errors import ArtifactError, StorageError

PLAN = {"config_hash": "c", "code_version": "v", "inputs": {"up": "h"}}


def commit(store: ArtifactStore, content: bytes = b"pixels", **plan):
    plan = PLAN | plan
    staging = store.stage("stamps", "gen6", "042", plan=plan_hash(**plan))
    (staging / "part-0.bin").write_bytes(content)
    return store.commit(
        "stamps", "gen6", "042", staging=staging, schema="stamps/1", rows={"part-0.bin": 3}, **plan
    )


def test_commit_then_read(store):
    record = commit(store)
    read = store.record("stamps", "gen6", "042")
    assert read == record
    assert (read.rows, read.key) == (3, "stamps/gen6/042")
    assert store.paths(read)[0].read_bytes() == b"pixels"
    assert store.partitions("stamps", "gen6") == ["042"]


def test_staged_partition_is_not_readable(store):
    staging = store.stage("stamps", "gen6", "042", plan="p")
    (staging / "part-0.bin").write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"materialise stamps/gen6/042 first"):
        store.record("stamps", "gen6", "042")
    assert not store.has("stamps", "gen6", "042")


def test_same_plan_resumes_and_another_starts_afresh(store):
    first = store.stage("stamps", "gen6", "042", plan="p")
    (first / "part-0.bin").write_bytes(b"done")
    assert (store.stage("stamps", "gen6", "042", plan="p") / "part-0.bin").is_file()
    other = store.stage("stamps", "gen6", "042", plan="q")
    assert list(other.iterdir()) == []
    assert not first.exists(), "parts of another plan must not linger"


def test_partition_is_replaced_whole(store):
    commit(store)
    staging = store.stage("stamps", "gen6", "042", plan="new")
    (staging / "part-9.bin").write_bytes(b"new")
    store.commit("stamps", "gen6", "042", staging=staging, schema="", **PLAN)
    names = {p.name for p in store.directory("stamps", "gen6", "042").iterdir()}
    assert names == {"part-9.bin", artifacts.MANIFEST_NAME}


def test_content_hash_is_of_content_only(store, tmp_path):
    first = commit(store, config_hash="one")
    second = commit(ArtifactStore(tmp_path / "elsewhere"), config_hash="two")
    assert first.content_hash == second.content_hash
    assert commit(store, content=b"other").content_hash != first.content_hash


def test_truncated_part_is_refused_on_read(store):
    record = commit(store)
    store.paths(record)[0].write_bytes(b"pix")
    with pytest.raises(ArtifactError, match=r"part-0\.bin.*must be 6 bytes, got 3 bytes"):
        store.record("stamps", "gen6", "042")


def test_changed_part_of_same_size_is_found_by_verify(store):
    record = commit(store)
    store.paths(record)[0].write_bytes(b"pixelz")
    store.record("stamps", "gen6", "042")
    with pytest.raises(ArtifactError, match="changed after it was committed"):
        store.verify(record)


def test_empty_commit_is_refused(store):
    staging = store.stage("stamps", "gen6", "042", plan="p")
    with pytest.raises(ArtifactError, match="Nothing to commit"):
        store.commit("stamps", "gen6", "042", staging=staging, schema="", **PLAN)


def test_equal_plan_compares_all_three(store):
    record = commit(store)
    assert equal_plan(record, "c", "v", {"up": "h"})
    assert not equal_plan(record, "x", "v", {"up": "h"})
    assert not equal_plan(record, "c", "x", {"up": "h"})
    assert not equal_plan(record, "c", "v", {"up": "x"})


def test_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path):
    def fill() -> None:
        with atomic_path(tmp_path / "part.bin") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match=r"part\.bin.*Next: free some space"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_on_a_real_full_file_system(tmp_path):
    """/dev/full refuses every write: the error must be the typed one without any mock."""
    target = tmp_path / "part.bin"

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.symlink_to("/dev/full")
            with temporary.open("wb") as handle:
                handle.write(b"x" * 100_000)

    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(StorageError, match="No space left"):
        write()
    assert not target.exists()


def test_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    artifacts.write_json(path, {"v": 1})
    with pytest.raises(ValueError, match="JSON"):
        artifacts.write_json(path, {"v": float("nan")})
    assert json.loads(path.read_text()) == {"v": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_writer_left_behind_is_no_part(store):
    contents = []
    for left_over in (False, True):
        staging = store.stage("a", plan="p")
        (staging / "part.parquet").write_bytes(b"rows")
        if left_over:
            (staging / ".other.parquet.0123.tmp").write_bytes(b"half of the rows")
        record = store.commit(
            "a", staging=staging, schema="s/1", config_hash="c", code_version="v", inputs={}, rows={}
        )
        contents.append(record.content_hash)
    assert contents[0] == contents[1]
