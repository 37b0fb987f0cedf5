"""A sound data set large enough for every gate, made by the real chain, and a reader of changed copies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import healpy as hp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import stamp_world
from stamp_world import CELLS, World

from darkhaloscope import tabular
from darkhaloscope.config import Experiment, SnrTargeting
from darkhaloscope.gates.columns import Columns, Plan, scan_columns
from darkhaloscope.gates.features import Sample, measure_sample
from darkhaloscope.gates.hosts import HostSums, measure_hosts
from darkhaloscope.gates.population import Population
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import ANCHORS, BANDS, BRICKS, HOSTS, STAMPS
from darkhaloscope.stamps import quantise
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.stamps.snr_target import declared_target
from darkhaloscope.streams import uniform

HOSTS_PER_CELL = 22
SIZE_PX = stamp_world.PROFILE.stamp_px
PROFILE = replace(
    stamp_world.PROFILE, gate_hosts_per_class=400, oracle_rows=30, bootstrap=100, gate_probe_epochs=10
)
FRACTIONS = (0.625, 0.1875, 0.1875)
LIMITS = Thresholds()


def experiment(**sections) -> Experiment:
    return stamp_world.experiment(
        **{
            "split": {"guard_deg": 0.0, "fractions": FRACTIONS},
            "snr_targeting": {"mode": "floor", "low": 3.0, "high": 60.0},
            **sections,
        }
    )


def hosts(seed: int = 3, hosts_per_cell: int = HOSTS_PER_CELL) -> pa.Table:
    rng = np.random.Generator(np.random.Philox(key=8 + seed))
    cell = np.repeat(sorted(CELLS), hosts_per_cell)
    n = len(cell)
    ra, dec = hp.pix2ang(32, cell, nest=True, lonlat=True)
    mag_r = rng.uniform(18.5, 20.5, n)
    table = stamp_world.make_hosts(
        ids=[f"10000-{c}-{i}" for i, c in enumerate(cell)],
        bricks=[f"b{c}" for c in cell],
        ra=ra + rng.uniform(-0.05, 0.05, n),
        dec=dec + rng.uniform(-0.05, 0.05, n),
        mags=np.stack([mag_r + rng.normal(1.6, 0.1, n), mag_r, mag_r - rng.normal(0.8, 0.1, n)], axis=1),
        offset_px=rng.uniform(-0.5, 0.5, (n, 2)),
        rng=rng,
    )
    return _with_uneven_sky(table, rng)


def _with_uneven_sky(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Give every host its own depth and sky residual, as a survey does."""
    n = table.num_rows
    sigma = np.array(stamp_world.SIGMA_NMGY, dtype=np.float32)[:, None, None]
    extra = rng.uniform(0.0, 1.5, (n, 1, 1, 1)).astype(np.float32)
    image = tabular.pixels(table, "image").copy()
    image += sigma * np.sqrt(extra) * rng.standard_normal(image.shape, dtype=np.float32)
    image += sigma * rng.normal(0.0, 0.8, (n, 3, 1, 1)).astype(np.float32)
    data = columns_of(table)
    invvar = tabular.pixels(table, "invvar") / (1.0 + extra)
    return HOSTS.table({**data, "image": image, "invvar": invvar}, stamp_world.HOST_PX)


def bricks() -> pa.Table:
    """One brick per cell, as many galaxies and as much area in each."""
    cell = np.array(sorted(CELLS))
    n = len(cell)
    ra, dec = hp.pix2ang(32, cell, nest=True, lonlat=True)
    columns = {column.name: np.zeros(n) for column in BRICKS}
    columns |= {
        "brickname": [f"b{c}" for c in cell],
        "brickid": np.arange(n, dtype=np.int32),
        "ra": ra,
        "dec": dec,
        "area_deg2": np.full(n, 0.01),
        "tile": [stamp_world.TILE] * n,
        "n_galaxies": np.full(n, HOSTS_PER_CELL),
        "status": ["ok"] * n,
        **{f"nexp_{band}": np.ones(n, np.int32) for band in BANDS},
    }
    return BRICKS.table(columns)


def anchors(beside: tuple[float, float, str] | None = None) -> pa.Table:
    """Known objects in the cells of the world, 0.2 deg from any host; one more at a given place and use."""
    ra, dec = hp.pix2ang(32, np.array(sorted(CELLS)), nest=True, lonlat=True)
    use = [["grade", "hard_negative", "exclude"][i % 3] for i in range(len(ra))]
    dec = dec - 0.2
    if beside is not None:
        ra, dec, use = np.append(ra, beside[0]), np.append(dec, beside[1]), [*use, beside[2]]
    n = len(ra)
    kind = ["lookalike" if u == "hard_negative" else "lens" for u in use]
    texts = {
        "object_class": "galaxy lens",
        "discovery": "imaging",
        "grade": "confident",
        "reference": "a paper",
    }
    return ANCHORS.table(
        {
            "anchor_id": [f"a{i}" for i in range(n)],
            "name": [f"LENS {i}" for i in range(n)],
            "ra": ra,
            "dec": dec,
            "kind": kind,
            **{name: [text] * n for name, text in texts.items()},
            "z_lens": [None] * n,
            "theta_e_arcsec": [None] * n,
            "catalog_sha256": ["0" * 64] * n,
            "catalog_row": np.arange(n),
            "healpix": hp.ang2pix(32, ra, dec, nest=True, lonlat=True),
            "use": use,
            "exclude_reason": ["" if u != "exclude" else "cluster" for u in use],
        }
    )


@dataclass(frozen=True)
class Rows:
    """STAMPS rows in memory, read the way a ShardSet is."""

    table: pa.Table

    def metadata(self, columns=None, split=None) -> pa.Table:
        assert split is None
        return self.table if columns is None else self.table.select(columns)

    def sample(self, n_hosts_per_class, *, seed, columns=None, split=None, kinds=None) -> pa.Table:
        """All rows of the split and classes: the sets of these tests are smaller than any sample."""
        del n_hosts_per_class, seed
        keep = np.ones(self.table.num_rows, dtype=bool)
        if split is not None:
            keep &= np.asarray(self.table["split"].to_pylist()) == split
        if kinds is not None:
            keep &= np.isin(np.asarray(self.table["control_kind"].to_pylist()), list(kinds))
        rows = self.table.filter(pa.array(keep))
        return rows if columns is None else rows.select(columns)

    def iter_batches(self, split=None, columns=None, tasks=None):
        assert split is None
        rows = self.table if tasks is None else self.table.filter(pc.is_in(self.table["task_id"], tasks))
        chosen = rows if columns is None else rows.select(columns)
        return iter(chosen.combine_chunks().to_batches(max_chunksize=256))

    @property
    def population(self) -> Population:
        return Population.of(self.table)

    def load(self, task_ids, columns=None) -> pa.Table:
        """Rows of the given tasks, in that order."""
        at = pc.index_in(pa.array(task_ids), value_set=self.table["task_id"].combine_chunks())
        rows = self.table.take(at)
        return rows if columns is None else rows.select(columns)

    @property
    def columns(self) -> Columns:
        return self.planned()

    def planned(self, splits=None, targeting: SnrTargeting | None = None) -> Columns:
        """What one pass finds, beside a plan of the splits and a declared target."""
        return scan_columns(self, Plan(32, splits, targeting and declared_target(targeting)))


@dataclass(frozen=True)
class GateWorld:
    """The sound set: its files, its rows, and what the gates take from them."""

    world: World
    table: pa.Table
    sample: Sample
    hosts: HostSums

    @property
    def rows(self) -> Rows:
        return Rows(self.table)

    @property
    def shards(self) -> ShardSet:
        return ShardSet(self.world.paths("shards"))


def spec_of(chosen: Experiment) -> PreprocessSpec:
    return PreprocessSpec.from_config(chosen.preprocess, crop_px=SIZE_PX)


def sample_of(table: pa.Table, chosen: Experiment) -> Sample:
    return measure_sample(
        Rows(table),
        hosts_per_class=PROFILE.gate_hosts_per_class,
        spec=spec_of(chosen),
        seed=chosen.seed,
        probe_min_snr=LIMITS.value("S6", "min_snr_footprint"),
    )


def host_sums(world: World, table: pa.Table) -> HostSums:
    return measure_hosts(
        world.paths("hosts"), table["host_id"].to_pylist(), experiment=world.experiment, size_px=SIZE_PX
    )


_BUILT: dict[tuple[int, int], GateWorld] = {}


def build(folder: Path, seed: int = 3, hosts_per_cell: int = HOSTS_PER_CELL) -> GateWorld:
    """Build once per process and seed; the seed draws hosts and tasks."""
    key = (seed, hosts_per_cell)
    if key not in _BUILT:
        folder.mkdir(parents=True, exist_ok=True)
        bank = stamp_world.bank(folder)
        chosen = experiment().model_copy(update={"seed": seed})
        world = stamp_world.build(folder, chosen, bank, host_table=hosts(seed, hosts_per_cell))
        table = tabular.read_table(world.paths("shards")).combine_chunks()
        _BUILT[key] = GateWorld(world, table, sample_of(table, chosen), host_sums(world, table))
    return _BUILT[key]


def forget(seed: int) -> None:
    """Drop a world, for those who build many."""
    for key in [key for key in _BUILT if key[0] == seed]:
        del _BUILT[key]


def changed(table: pa.Table, **columns) -> pa.Table:
    """A table with other values in some columns; pixel columns are arrays (n, ...)."""
    return STAMPS.table({**columns_of(table), **columns}, SIZE_PX)


def on_target(table: pa.Table, targeting: SnrTargeting) -> pa.Table:
    """A table whose positives have the S/N that an experiment declares."""
    snr = np.array(table["arc_snr_footprint_r"].to_pylist(), dtype=float)
    drawn = declared_target(targeting).quantile(uniform(1, "on_target", table["task_id"].to_pylist()))
    return changed(table, arc_snr_footprint_r=_nullable(np.where(kinds(table) == "positive", drawn, snr)))


def _nullable(column: np.ndarray) -> pa.Array:
    return pa.array(column, mask=np.isnan(column))


def quantised(table: pa.Table, steps_per_sigma: float = 32.0) -> pa.Table:
    """The rows as quantised shards give them back."""
    stored = quantise.quantised(table, steps_per_sigma).to_batches()
    return pa.Table.from_batches([quantise.restored(b, table.column_names) for b in stored]).combine_chunks()


def columns_of(table: pa.Table) -> dict:
    """The columns of a table, pixels as arrays."""
    images = {"image", "invvar", "maskbits"}
    return {n: tabular.pixels(table, n) if n in images else table[n] for n in table.column_names}


def values(table: pa.Table, name: str) -> np.ndarray:
    """A column as an array that may be written."""
    return np.array(table[name].to_pylist())


def kinds(table: pa.Table) -> np.ndarray:
    return values(table, "control_kind")


def keep(table: pa.Table, flags) -> pa.Table:
    return table.filter(pa.array(np.asarray(flags, dtype=bool))).combine_chunks()
