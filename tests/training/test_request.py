from dataclasses import replace

import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import ConfigError, DataError, MissingDataError
from darkhaloscope.training.request import TrainRequest


@pytest.fixture
def request_(tmp_path) -> TrainRequest:
    paths = [tmp_path / name for name in ("val-00000.parquet", "train-00001.parquet", "train-00000.parquet")]
    for path in paths:
        path.write_text(path.name)
    return synthetic.request(paths, tmp_path / "out")


def test_round_trip(request_, tmp_path):
    assert TrainRequest.read(request_.write(tmp_path / "request.json")) == request_


def test_shards_are_found_by_name_and_sorted(request_):
    request = replace(request_, shard_paths=[*request_.shard_paths, "x/test-00000.parquet"])
    assert [path.name for path in request.shards("train")] == ["train-00000.parquet", "train-00001.parquet"]
    with pytest.raises(DataError, match=r"field val.*at least one val-\*\.parquet"):
        replace(request_, shard_paths=request_.shard_paths[1:]).shards("val")


def test_the_test_split_is_never_opened(request_):
    request = replace(request_, shard_paths=[*request_.shard_paths, "absent/test-00000.parquet"])
    assert request.content_sha256() == request_.content_sha256()


def test_the_key_follows_content_and_configuration(request_, tmp_path):
    key = request_.key(request_.content_sha256())
    assert replace(request_, output_dir="elsewhere").key(request_.content_sha256()) == key
    assert replace(request_, threads=2).key(request_.content_sha256()) != key
    assert replace(request_, shards_hash="other").key(request_.content_sha256()) != key
    (tmp_path / "train-00001.parquet").write_text("changed")
    assert request_.key(request_.content_sha256()) != key


def test_bad_requests_are_refused(request_, tmp_path):
    with pytest.raises(ConfigError, match="threads"):
        replace(request_, threads=0)
    with pytest.raises(ConfigError, match="device"):
        replace(request_, device="tpu")
    with pytest.raises(ConfigError, match="profile"):
        replace(request_, profile={"name": "demo"}).parsed_profile()
    with pytest.raises(ConfigError, match="experiment"):
        replace(request_, experiment={"name": "x"}).parsed_experiment()
    with pytest.raises(MissingDataError, match="request not found"):
        TrainRequest.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"surprise": 1}')
    with pytest.raises(ConfigError, match=r"bad\.json.*surprise"):
        TrainRequest.read(tmp_path / "bad.json")
    (tmp_path / "val-00000.parquet").unlink()
    with pytest.raises(MissingDataError, match=r"val-00000\.parquet"):
        request_.content_sha256()
