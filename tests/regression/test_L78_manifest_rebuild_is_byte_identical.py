"""L78: a manifest made with an engine's random numbers could not be made again."""

import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope.schema import MANIFEST
from darkhaloscope.tabular import write_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_the_same_inputs_give_the_same_bytes(world, tmp_path):
    [part] = world.manifest.parts
    reordered = stamp_world.hosts().take(pa.array(range(stamp_world.hosts().num_rows - 1, -1, -1)))
    for number, table in enumerate((stamp_world.hosts(), reordered)):
        made = stamp_world.manifest_of(world.experiment, world.bank_path, host_table=table)
        assert write_table(tmp_path / f"{number}.parquet", MANIFEST, made).sha256 == part.sha256
