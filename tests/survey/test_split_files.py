import pyarrow as pa
import pytest
from footprints import patch

from darkhaloscope import tabular
from darkhaloscope.config import Split
from darkhaloscope.errors import ArtifactError
from darkhaloscope.schema import SKY_SPLITS
from darkhaloscope.survey.dealing import assign_splits
from darkhaloscope.survey.split_files import publish_splits, read_splits, split_file


@pytest.fixture
def published(tmp_path):
    publish_splits(patch(8.0), [Split()], [], tmp_path / "first")
    return sorted((tmp_path / "first").iterdir())


def test_a_map_is_read_as_it_was_dealt_with_the_guard_that_is_asked_for(published):
    dealt = assign_splits(patch(8.0), Split(guard_deg=0.2))
    assert read_splits(published, Split(guard_deg=0.2)) == dealt


def test_a_way_with_an_empty_split_and_many_digits_survives_its_file(tmp_path):
    for way in (Split(fractions=(0.8, 0.0, 0.2)), Split(fractions=(0.7000001, 0.1499999, 0.15), seed=2**40)):
        (one,) = publish_splits(patch(8.0), [way], [], tmp_path)
        assert read_splits([tmp_path / one.part.path], way) == one.splits


def test_ways_that_differ_have_files_of_their_own_and_the_guard_is_no_way():
    ways = [Split(), Split(nside=64), Split(seed=14), Split(fractions=(0.8, 0.1, 0.1))]
    assert len({split_file(way) for way in ways}) == len(ways)
    assert split_file(Split(guard_deg=1.0)) == split_file(Split())


def test_a_grown_sky_extends_the_file_and_an_equal_one_gives_equal_bytes(published, tmp_path):
    (same,) = publish_splits(patch(8.0), [Split()], published, tmp_path / "same")
    assert same.new_cells == 0
    assert (tmp_path / "same" / same.part.path).read_bytes() == published[0].read_bytes()
    (grown,) = publish_splits(patch(16.0), [Split()], published, tmp_path / "grown")
    before = read_splits(published, Split()).cells
    assert grown.new_cells == len(grown.splits.cells) - len(before) > 0
    assert {cell: grown.splits.cells[cell] for cell in before} == before
    assert grown.splits.cells != assign_splits(patch(16.0), Split()).cells


def test_a_map_that_nobody_asks_for_now_is_kept_and_grows_too(published, tmp_path):
    result = publish_splits(patch(16.0), [Split(nside=64)], published, tmp_path / "next")
    assert {one.part.path for one in result} == {split_file(Split()), split_file(Split(nside=64))}
    before = read_splits(published, Split()).cells
    kept = read_splits(sorted((tmp_path / "next").iterdir()), Split()).cells
    assert {cell: kept[cell] for cell in before} == before
    assert len(kept) > len(before)


@pytest.mark.parametrize("way", [Split(nside=64), Split(seed=14), Split(fractions=(0.8, 0.1, 0.1))])
def test_a_published_map_of_other_parameters_names_the_next_step(published, way):
    with pytest.raises(ArtifactError, match="materialise sky_splits") as raised:
        read_splits(published, way)
    assert split_file(way) in str(raised.value)
    assert published[0].name in str(raised.value)


def test_a_map_under_a_wrong_name_is_no_map(published, tmp_path):
    wrong = tmp_path / split_file(Split(seed=14))
    wrong.write_bytes(published[0].read_bytes())
    with pytest.raises(ArtifactError, match="other parameters than its name"):
        read_splits([wrong], Split(seed=14))
    with pytest.raises(ArtifactError, match="other parameters than its name"):
        publish_splits(patch(8.0), [Split(seed=14)], [wrong], tmp_path / "next")


def test_rows_of_two_divisions_are_no_map(published, tmp_path):
    rows = tabular.read_table(published[0])
    seeds = [13] * (rows.num_rows - 1) + [14]
    path = tmp_path / published[0].name
    tabular.write_table(path, SKY_SPLITS, rows.set_column(2, "seed", pa.array(seeds, pa.int64())))
    with pytest.raises(ArtifactError, match="mixes divisions"):
        read_splits([path], Split())
