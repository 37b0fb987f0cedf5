"""L84: validation rows were relabelled train by a hash of the row while their galaxies stayed."""

import pytest
import stamp_world

from darkhaloscope.survey.tiles import cell_ids


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.mark.parametrize("name", ["manifest", "stamps", "shards"])
def test_galaxy_source_and_cell_are_in_one_split(world, name):
    table = world.table(name, ["host_id", "source_id", "healpix", "pair_id", "split", "ra", "dec"])
    split = table["split"].to_pylist()
    for key in ("host_id", "source_id", "healpix", "pair_id"):
        seen = {}
        for value, of_row in zip(table[key].to_pylist(), split, strict=True):
            if value is not None:
                assert seen.setdefault(value, of_row) == of_row, (key, value)
        assert len(set(seen.values())) == 3
    cells = cell_ids(table["ra"].to_numpy(), table["dec"].to_numpy(), 32)
    assert [stamp_world.CELLS[cell] for cell in cells.tolist()] == split


def test_no_step_writes_the_split_again(world):
    planned = dict(zip(*(world.table("manifest")[c].to_pylist() for c in ("task_id", "split")), strict=True))
    for name in ("stamps", "shards"):
        table = world.table(name, ["task_id", "split"])
        assert dict(zip(*(table[c].to_pylist() for c in table.column_names), strict=True)) == planned
