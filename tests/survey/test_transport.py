import gzip

import pyarrow.fs as pafs
import pytest
import s3_server
import survey_server

from darkhaloscope.errors import ConfigError, DataError, EngineError, MissingDataError
from darkhaloscope.survey import transport


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "served"
    (top / "south/coadd").mkdir(parents=True)
    (top / "south/coadd/a.fits").write_bytes(b"x" * 5000)
    (top / "south/coadd/b.fits").write_bytes(b"y")
    return top


@pytest.fixture
def pauses():
    return []


def web(server, pauses):
    return transport.WebTransport(server.url, pause=pauses.append)


def test_a_file_arrives_whole(tree, tmp_path, pauses):
    with survey_server.serving(tree) as server:
        size = web(server, pauses).download("south/coadd/a.fits", tmp_path / "a")
    assert size == 5000
    assert (tmp_path / "a").read_bytes() == b"x" * 5000
    assert pauses == []


def test_a_busy_server_is_given_the_pause_it_asks_for(tree, tmp_path, pauses):
    with survey_server.serving(tree) as server:
        server.faults["south/coadd/a.fits"] = [survey_server.BUSY, survey_server.BUSY]
        web(server, pauses).download("south/coadd/a.fits", tmp_path / "a")
    assert pauses == [7.0, 7.0]


def test_a_cut_connection_is_tried_again_with_growing_pauses(tree, tmp_path, pauses):
    with survey_server.serving(tree) as server:
        server.faults["south/coadd/a.fits"] = [survey_server.CUT] * 3
        web(server, pauses).download("south/coadd/a.fits", tmp_path / "a")
    assert (tmp_path / "a").stat().st_size == 5000
    assert pauses == [1.0, 2.0, 4.0]


def test_a_missing_file_is_not_tried_again(tree, tmp_path, pauses):
    with survey_server.serving(tree) as server:
        with pytest.raises(MissingDataError, match="does not hold"):
            web(server, pauses).download("south/coadd/none.fits", tmp_path / "a")
        assert server.requests["south/coadd/none.fits"] == 1


def test_a_server_that_stays_busy_ends_in_an_error_that_says_how_often_it_was_asked(tree, tmp_path, pauses):
    with survey_server.serving(tree) as server:
        server.faults["south/coadd/a.fits"] = [survey_server.BUSY] * 9
        with pytest.raises(EngineError, match="HTTP 429 on the last of 5 tries"):
            web(server, pauses).download("south/coadd/a.fits", tmp_path / "a")
        assert server.requests["south/coadd/a.fits"] == 5


def test_no_server_at_all_is_an_engine_error(tmp_path, pauses):
    offline = transport.WebTransport("http://127.0.0.1:9", pause=pauses.append)
    with pytest.raises(EngineError, match="check the network"):
        offline.download("a", tmp_path / "a")


def test_index_pages_give_names_without_sorting_links_and_parents(tree, pauses):
    with survey_server.serving(tree) as server:
        files = web(server, pauses)
        assert files.names("south/coadd") == ["a.fits", "b.fits"]
        assert files.names("nowhere") == []


def test_other_statuses_are_refused_at_once(tree, tmp_path, pauses, monkeypatch):
    with survey_server.serving(tree) as server:
        files = web(server, pauses)
        monkeypatch.setattr(transport, "_BUSY", ())
        server.faults["south/coadd/a.fits"] = [survey_server.BUSY]
        with pytest.raises(DataError, match="HTTP 429"):
            files.download("south/coadd/a.fits", tmp_path / "a")


def test_arrow_file_systems_download_list_and_miss(tree, tmp_path):
    files = transport.S3Transport(str(tree), filesystem=pafs.LocalFileSystem())
    assert files.download("south/coadd/a.fits", tmp_path / "a") == 5000
    assert (tmp_path / "a").read_bytes() == b"x" * 5000
    assert files.names("south/coadd") == ["a.fits", "b.fits"]
    assert files.names("nowhere") == []
    with pytest.raises(MissingDataError, match="does not hold"):
        files.download("south/coadd/none.fits", tmp_path / "b")


S3 = "s3://served/south?region=here&anonymous=true"
"""The tree as a bucket."""


@pytest.fixture
def bucket(tree):
    with survey_server.serving(tree.parent, s3_server.S3Handler) as server:
        yield server


@pytest.mark.parametrize("how", ["setting", "environment"])
def test_s3_is_read_with_the_protocol_of_s3(bucket, tmp_path, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    files = transport.open_transport(S3, bucket.url if how == "setting" else "")
    assert files.download("coadd/a.fits", tmp_path / "a") == 5000
    assert (tmp_path / "a").read_bytes() == b"x" * 5000
    assert files.names("coadd") == ["a.fits", "b.fits"]
    assert files.names("nowhere") == []
    with pytest.raises(MissingDataError, match="does not hold"):
        files.download("coadd/none.fits", tmp_path / "b")
    assert bucket.requests["GET served/south/coadd/a.fits"] == 1


def test_a_busy_s3_server_is_asked_again(bucket, tmp_path, pauses):
    bucket.faults["served/south/coadd/a.fits"] = [survey_server.BUSY]
    files = transport.S3Transport(S3, bucket.url, pause=pauses.append)
    assert files.download("coadd/a.fits", tmp_path / "a") == 5000
    asked = sum(count for path, count in bucket.requests.items() if path.endswith("a.fits"))
    assert asked > 2, "one HEAD and one GET, and what was refused"


def test_no_s3_server_at_all_is_an_engine_error(tmp_path, pauses, monkeypatch):
    files = transport.S3Transport(S3, "http://127.0.0.1:9", pause=pauses.append)
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    with pytest.raises(EngineError, match="check the network"):
        files.download("coadd/a.fits", tmp_path / "a")


@pytest.mark.parametrize(
    ("location", "says"), [("s3://bucket/dr10?colour=blue", "colour"), ("s3:///dr10", "no bucket")]
)
def test_an_s3_location_that_is_none_is_an_error_of_the_configuration(location, says):
    with pytest.raises(ConfigError, match=says):
        transport.open_transport(location)


def test_a_packed_file_arrives_as_it_is(bucket, tree, tmp_path):
    packed = gzip.compress(b"bricks" * 1000)
    (tree / "south/bricks.fits.gz").write_bytes(packed)
    assert transport.S3Transport(S3, bucket.url).download("bricks.fits.gz", tmp_path / "a") == len(packed)
    assert (tmp_path / "a").read_bytes() == packed
