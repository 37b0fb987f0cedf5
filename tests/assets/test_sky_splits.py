"""The published division of the sky in a campaign's store: it grows, never moves, is never dealt again."""

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from footprints import patch

from assets.sky import published_splits, sky_splits
from darkhaloscope import tabular
from darkhaloscope.config import Split
from darkhaloscope.errors import ArtifactError
from darkhaloscope.schema import BRICKS
from resources.campaign import Campaign


def publish(root, table, *, raise_on_error=True):
    """Commit a footprint as the campaign's and materialise the split maps."""
    campaign = Campaign(root=str(root))
    n = table.num_rows
    columns = {c.name: np.ones(n) for c in BRICKS if pa.types.is_floating(c.type)}
    columns |= {c.name: np.ones(n, dtype=int) for c in BRICKS if pa.types.is_integer(c.type)}
    columns |= {name: table[name] for name in table.column_names}
    columns |= {"brickname": [f"b{i}" for i in range(n)], "tile": ["000"] * n}
    staging = campaign.store.stage("footprint", plan="test")
    part = tabular.write_table(staging / "bricks.parquet", BRICKS, BRICKS.table(columns))
    campaign.store.commit(
        "footprint", staging=staging, schema=BRICKS.label, config_hash="", code_version="", inputs={},
        rows={part.path: n},
    )  # fmt: skip
    done = dg.materialize([sky_splits], resources={"campaign": campaign}, raise_on_error=raise_on_error)
    return campaign.store, done


def test_a_grown_footprint_extends_the_published_map(tmp_path):
    store, _ = publish(tmp_path, patch(8.0))
    before, first = published_splits(store, Split())
    publish(tmp_path, patch(8.0))
    assert published_splits(store, Split())[1] == first, "an equal sky keeps what is published"
    store, done = publish(tmp_path, patch(16.0))
    after, second = published_splits(store, Split())
    assert second != first
    assert {cell: after.cells[cell] for cell in before.cells} == before.cells
    assert len(after.cells) > len(before.cells)
    metadata = done.asset_materializations_for_node("sky_splits")[0].metadata
    assert any(name.endswith("_path") for name in metadata), "the map is shown"


def test_a_map_of_other_parameters_names_the_next_step(tmp_path):
    store, _ = publish(tmp_path, patch(8.0))
    with pytest.raises(ArtifactError, match="materialise sky_splits"):
        published_splits(store, Split(nside=128))


def test_a_damaged_map_is_never_dealt_again(tmp_path):
    store, _ = publish(tmp_path, patch(8.0))
    path = store.paths(store.record("sky_splits"), ".parquet")[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    _, done = publish(tmp_path, patch(16.0), raise_on_error=False)
    assert not done.success
    failure = next(e for e in done.all_events if e.is_step_failure)
    assert "changed after it was committed" in failure.step_failure_data.user_failure_data.description
    assert path.read_bytes() == bytes(content)
