import hashlib

import pyarrow.compute as pc
import pytest
import s3_server
import sky_tree
import survey_server

from darkhaloscope.errors import ConfigError, MissingDataError
from darkhaloscope.survey import coadds, layout
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.roots import RootSettings, open_root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    sky_tree.write_tree(root, sky_tree.pair())
    return root


def remote(server, tmp_path, **changes):
    return RootSettings(server.url, cache=str(tmp_path / "cache"), **changes)


def test_footprint_parents_and_stamps_are_the_same_behind_a_web_server(tree, tmp_path):
    with survey_server.serving(tree) as server:
        far = remote(server, tmp_path)
        found = {}
        for name, root in (("near", tree), ("far", far)):
            bricks = read_footprint(root, DR10_SOUTH)
            tile = bricks["tile"][0].as_py()
            parents = select_parents(root, DR10_SOUTH, tile, bricks).table
            cut = coadds.cut_positions(
                root, DR10_SOUTH, bricks, parents["ra"].to_numpy(), parents["dec"].to_numpy(), 65
            )
            found[name] = (bricks, parents, cut)
    near, far_found = found["near"], found["far"]
    assert near[0].equals(far_found[0])
    assert near[1].equals(far_found[1])
    assert near[1].num_rows > 0
    assert [c.status for c in near[2]] == [c.status for c in far_found[2]]
    assert any(c.status == "ok" for c in near[2])
    for a, b in zip(near[2], far_found[2], strict=True):
        if a.status == "ok":
            assert a.image.tobytes() == b.image.tobytes()


def test_a_brick_the_server_lacks_is_a_status_of_the_stamp(tree, tmp_path):
    with survey_server.serving(tree) as server:
        far = remote(server, tmp_path)
        bricks = read_footprint(far, DR10_SOUTH)
        name = bricks["brickname"][0].as_py()
        assert pc.all(pc.equal(bricks["status"], "ok")).as_py()
        (tree / layout.coadd_file(DR10_SOUTH, name, "image", "z")).rename(tmp_path / "away")
        try:
            row = bricks.slice(0, 1)
            (cut,) = coadds.cut_positions(far, DR10_SOUTH, row, row["ra"], row["dec"], 65)
        finally:
            (tmp_path / "away").rename(tree / layout.coadd_file(DR10_SOUTH, name, "image", "z"))
    assert cut.status == "missing_band_z"


def test_checksums_of_a_list_are_used(tree, tmp_path):
    relative = layout.ALL_BRICKS
    digest = hashlib.sha256((tree / relative).read_bytes()).hexdigest()
    listing = tmp_path / "sums"
    listing.write_text(f"{digest}  ./{relative}\n\n")
    with survey_server.serving(tree) as server:
        server.faults[relative] = [survey_server.ALTERED]
        path = open_root(remote(server, tmp_path, checksums=str(listing))).path(relative)
        assert server.requests[relative] == 2
    assert path.read_bytes() == (tree / relative).read_bytes()


def test_a_line_that_is_no_checksum_is_named(tmp_path):
    (tmp_path / "sums").write_text("abc  file\n")
    settings = RootSettings("http://127.0.0.1:9", cache=str(tmp_path), checksums=str(tmp_path / "sums"))
    with pytest.raises(ConfigError, match=r"sums:1"):
        open_root(settings)


def test_a_remote_root_needs_a_cache():
    with pytest.raises(ConfigError, match="coadd_cache"):
        open_root("https://example.org/dr10")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ConfigError, match="s3://"):
        open_root("ftp://example.org/dr10")


@pytest.mark.parametrize("location", ["https:///dr10", "s3://", "", "c:/dr10"])
def test_a_location_without_a_place_is_refused(location):
    with pytest.raises(ConfigError, match="survey-bricks"):
        open_root(location)


def test_a_tree_in_a_bucket_gives_the_bricks_of_the_tree(tree, tmp_path):
    with survey_server.serving(tree.parent, s3_server.S3Handler) as server:
        far = RootSettings(
            f"s3://{tree.name}?region=here&anonymous=true", cache=str(tmp_path), s3_endpoint=server.url
        )
        found = read_footprint(far, DR10_SOUTH)
        tile = found["tile"][0].as_py()
        assert found.equals(read_footprint(tree, DR10_SOUTH))
        parents = select_parents(far, DR10_SOUTH, tile, found).table
        assert parents.num_rows
        assert parents.equals(select_parents(tree, DR10_SOUTH, tile, found).table)


def test_settings_travel_as_json(tmp_path):
    settings = RootSettings(str(tmp_path), cache_gb=3.0)
    assert open_root(settings.as_dict()) is open_root(settings)


def test_a_local_root_says_what_it_lacks(tmp_path):
    with pytest.raises(MissingDataError, match=str(tmp_path)):
        layout.sweep_files(open_root(tmp_path), DR10_SOUTH)


def test_files_that_never_arrive_whole_are_losses_with_a_reason(tree, tmp_path):
    brick = sky_tree.pair()[0]
    sweep = sky_tree.sweep_path(tree, brick).relative_to(tree).as_posix()
    image = layout.coadd_file(DR10_SOUTH, brick.name, "image", "r")
    with survey_server.serving(tree) as server:
        # An error page with status 200, every time it is asked for.
        server.faults[image] = [survey_server.PAGE] * 50
        far = remote(server, tmp_path)
        bricks = read_footprint(far, DR10_SOUTH)
        row = bricks.filter(pc.equal(bricks["brickname"], brick.name))
        (cut,) = coadds.cut_positions(far, DR10_SOUTH, row, row["ra"], row["dec"], 65)
        assert cut.status == "unreadable_image_r"
        server.faults[sweep] = [survey_server.PAGE] * 50
        with pytest.raises(MissingDataError, match=r"No sweep of the tile.*damaged"):
            select_parents(far, DR10_SOUTH, bricks["tile"][0].as_py(), bricks)
