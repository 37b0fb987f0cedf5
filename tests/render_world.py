"""A campaign directory with what ``dhs render`` reads: hosts, bank, manifest and stamps of gen6.

Some hosts cannot carry a stamp, so that some rows have no pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import stamp_world

from assets.experiments import get_experiment
from assets.sources import BANK_FILE
from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.schema import HOSTS

EXPERIMENT = "gen6"

_CAMPAIGNS: dict[str, Path] = {}


def campaign(tmp_path_factory) -> Path:
    """The campaign directory, made once per test process; do not write into its store."""
    if EXPERIMENT not in _CAMPAIGNS:
        root = tmp_path_factory.mktemp("campaign")
        bank = stamp_world.bank(root)
        world = stamp_world.build(root, get_experiment(EXPERIMENT), bank, host_table=_hosts())
        staging = world.store.stage("cosmos_bank", plan="p")
        shutil.copyfile(bank, staging / BANK_FILE)
        stamp_world.commit(world.store, staging, "cosmos_bank", inputs={})
        _CAMPAIGNS[EXPERIMENT] = root
    return _CAMPAIGNS[EXPERIMENT]


def _hosts() -> pa.Table:
    """The hosts, every tenth of them without data in r."""
    table = stamp_world.hosts()
    columns = {name: table[name] for name in table.column_names}
    columns |= {column.name: tabular.pixels(table, column.name).copy() for column in HOSTS.pixel_columns()}
    columns["invvar"][::10, 1] = 0.0
    return HOSTS.table(columns, stamp_world.HOST_PX)


def stamps(root: Path) -> pa.Table:
    """The stored stamps of a campaign."""
    store = ArtifactStore(root / "store")
    record = store.record("injected_stamps", EXPERIMENT, stamp_world.TILE)
    return tabular.read_table(store.paths(record, ".parquet"))
