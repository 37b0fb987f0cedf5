"""A small sky of host cutouts with sources and splits, for tests of stamps and what reads them.

Hosts are written in the HOSTS schema with pixels of their own (a round
exponential galaxy on white noise), sources come from the real bank builder on a
mock COSMOS. The chain from manifest to shards runs through the engines.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import healpy as hp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope import profiles, tabular
from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore
from darkhaloscope.config import Experiment
from darkhaloscope.schema import ANCHORS, BANDS, HOSTS, MANIFEST, SELECTIONS, Role
from darkhaloscope.sources import open_sources
from darkhaloscope.sources.bank import build_bank
from darkhaloscope.sources.mock_cosmos import write_mock_cosmos
from darkhaloscope.stamps.compose import make_stamps
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for, plan_injection
from darkhaloscope.stamps.manifest import build_manifest
from darkhaloscope.stamps.shards import write_shards
from darkhaloscope.survey.photoz import REDSHIFTS
from darkhaloscope.survey.tiles import SplitMap
from darkhaloscope.units import run_unit

TILE = "042"
CELLS = {42 * 16 + i: ("train" if i < 10 else "val" if i < 13 else "test") for i in range(16)}
HOSTS_PER_CELL = 6
HOST_PX = 101
SKY_NMGY = (0.06, 0.15, 0.5)
SIGMA_NMGY = (0.0035, 0.005, 0.011)
PROFILE = dataclasses.replace(profiles.TEST, unit_hosts=24, shard_rows=40, max_hosts_per_tile=None)

METADATA = [column.name for column in HOSTS if column.role is not Role.PIXELS]


def experiment(**sections) -> Experiment:
    """An experiment with every kind of control and no guard band, unless told otherwise."""
    values = {"split": {"guard_deg": 0.0}, **sections}
    return Experiment(name="unit", title="t", description="d", seed=3, **values)


def split_map(guard_deg: float = 0.0) -> SplitMap:
    ones = dict.fromkeys(CELLS, 1.0)
    return SplitMap(32, guard_deg, CELLS, ones, ones)


@cache
def hosts() -> pa.Table:
    """Hosts of one tile, six per cell, each cell one brick."""
    rng = np.random.Generator(np.random.Philox(key=7))
    cell = np.repeat(sorted(CELLS), HOSTS_PER_CELL)
    n = len(cell)
    ra, dec = hp.pix2ang(32, cell, nest=True, lonlat=True)
    mag_r = rng.uniform(18.5, 20.5, n)
    mags = np.stack([mag_r + 1.6, mag_r, mag_r - 0.8], axis=1)
    offset = rng.uniform(-0.5, 0.5, (n, 2))
    return make_hosts(
        ids=[f"10000-{c}-{i}" for i, c in enumerate(cell)],
        bricks=[f"b{c}" for c in cell],
        ra=ra + rng.uniform(-0.05, 0.05, n),
        dec=dec + rng.uniform(-0.05, 0.05, n),
        mags=mags,
        offset_px=offset,
        rng=rng,
    )


def make_hosts(*, ids, bricks, ra, dec, mags, offset_px, rng) -> pa.Table:
    n = len(ids)
    axis = np.arange(HOST_PX) - (HOST_PX - 1) / 2
    radius = np.hypot(
        axis[None, None, :] - offset_px[:, 0, None, None], axis[None, :, None] - offset_px[:, 1, None, None]
    )
    light = np.exp(-radius / 3.0) / (2 * np.pi * 9.0)
    flux = 10 ** (0.4 * (22.5 - mags))
    noise = rng.standard_normal((n, 3, HOST_PX, HOST_PX)) * np.array(SIGMA_NMGY)[:, None, None]
    image = light[:, None] * flux[:, :, None, None] + noise
    invvar = np.broadcast_to((1 / np.array(SIGMA_NMGY) ** 2)[:, None, None], image.shape)
    columns = {
        "host_id": ids,
        "brickname": bricks,
        "ra": ra,
        "dec": dec,
        "tile": [TILE] * n,
        "x_offset_px": offset_px[:, 0],
        "y_offset_px": offset_px[:, 1],
        "type": ["DEV"] * n,
        "shape_r_arcsec": np.full(n, 0.8),
        "ebv": rng.uniform(0.01, 0.1, n),
        **dict.fromkeys(REDSHIFTS, pa.nulls(n, pa.float64())),
        "reject_reason": [""] * n,
        "status": ["ok"] * n,
        "nan_pixels": np.zeros(n, np.int32),
        "image": image.astype(np.float32),
        "invvar": invvar.astype(np.float32),
        "maskbits": np.zeros((n, HOST_PX, HOST_PX), np.int32),
        **{f"is_{name}": np.full(n, not name.startswith("early_bright")) for name in SELECTIONS},
    }
    for b, band in enumerate(BANDS):
        columns[f"psf_fwhm_{band}_arcsec"] = rng.uniform(1.1, 1.5, n)
        columns[f"psfdepth_{band}_mag"] = rng.uniform(23.0, 24.0, n)
        columns[f"nexp_{band}"] = rng.integers(2, 6, n).astype(np.int32)
        columns[f"host_mag_{band}"] = mags[:, b]
        columns[f"sky_{band}_nmgy"] = np.full(n, SKY_NMGY[b])
        columns[f"bad_pixel_frac_{band}"] = np.zeros(n)
    return HOSTS.table(columns, HOST_PX)


def metadata(table: pa.Table) -> pa.Table:
    return table.select(METADATA)


def replace(table: pa.Table, **columns) -> pa.Table:
    """A table with other values in some columns."""
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(
            at, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )
    return table


@cache
def bank(folder: Path) -> Path:
    write_mock_cosmos(folder / "cosmos", 40, 1)
    build_bank(folder / "cosmos", folder / "bank.h5", max_galaxies=None, seed=1)
    return folder / "bank.h5"


@dataclass(frozen=True)
class World:
    """A store with hosts, bank, manifest, stamps and shards of one experiment."""

    store: ArtifactStore
    experiment: Experiment
    bank_path: Path
    hosts: ArtifactRecord
    manifest: ArtifactRecord
    stamps: ArtifactRecord
    shards: ArtifactRecord
    summary: dict

    def paths(self, name: str) -> list[Path]:
        return self.store.paths(getattr(self, name), ".parquet")

    def table(self, name: str, columns=None) -> pa.Table:
        return tabular.read_table(self.paths(name), columns)


_WORLDS: dict = {}


def shared(tmp_path_factory) -> World:
    """The world of the default experiment, made once per test process; do not write into it."""
    if "world" not in _WORLDS:
        folder = tmp_path_factory.mktemp("stamp-world")
        _WORLDS["world"] = build(folder, experiment(), bank(folder))
    return _WORLDS["world"]


def manifest_of(
    chosen: Experiment, bank_path: Path, *, host_table=None, anchors=None, profile=PROFILE
) -> pa.Table:
    with open_sources(chosen.sources.kind, bank_path) as sources:
        return build_manifest(
            chosen,
            profile,
            hosts=metadata(hosts() if host_table is None else host_table),
            splits=split_map(chosen.split.guard_deg),
            sources=sources,
            anchors=anchors,
            tile=TILE,
        )


def commit_hosts(store: ArtifactStore, table: pa.Table) -> ArtifactRecord:
    """Write hosts in two parts, as two work units would."""
    staging = store.stage("host_cutouts", TILE, plan="p")
    half = table.num_rows // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        tabular.write_table(staging / f"hosts-{number}.parquet", HOSTS, part)
    return commit(store, staging, "host_cutouts", TILE, inputs={})


def commit(store: ArtifactStore, staging: Path, name: str, *partition: str, inputs) -> ArtifactRecord:
    return store.commit(
        name, *partition, staging=staging, schema="", config_hash="c", code_version="v", inputs=inputs
    )


def inject_here(units) -> None:
    for unit in units:
        run_unit("darkhaloscope.stamps.inject:inject_unit", unit)


def build(folder: Path, chosen: Experiment, bank_path: Path, *, host_table=None, run=inject_here) -> World:
    """Run manifest, injection and shards; ``run`` is given the work units."""
    store = ArtifactStore(folder / "store")
    table = hosts() if host_table is None else host_table
    host_record = commit_hosts(store, table)
    key = (chosen.name, TILE)
    staging = store.stage("manifest", *key, plan="p")
    tabular.write_table(
        staging / "manifest.parquet", MANIFEST, manifest_of(chosen, bank_path, host_table=table)
    )
    manifest = commit(store, staging, "manifest", *key, inputs={"host_cutouts": host_record.content_hash})
    staging = store.stage("injected_stamps", *key, plan="p")
    units = plan_injection(
        chosen,
        PROFILE,
        manifest_paths=store.paths(manifest, ".parquet"),
        host_paths=store.paths(host_record, ".parquet"),
        bank_path=bank_path,
        staging=staging,
    )
    run(units)
    stamps = commit(store, staging, "injected_stamps", *key, inputs={"manifest": manifest.content_hash})
    staging = store.stage("training_shards", chosen.name, plan="p")
    summary = write_shards(
        chosen,
        PROFILE,
        manifest_records={TILE: manifest},
        stamp_records={TILE: stamps},
        store=store,
        staging=staging,
    )
    shards = commit(store, staging, "training_shards", chosen.name, inputs={})
    return World(store, chosen, bank_path, host_record, manifest, stamps, shards, summary)


def stamps_of(world: World, rows: pa.Table, *, host_paths=None, chosen=None, twins=None) -> pa.Table:
    """Stamps of manifest rows, on the world's hosts or on those of other files."""
    chosen = world.experiment if chosen is None else chosen
    wanted = rows["host_id"].to_pylist() + ([] if twins is None else twins["host_id"].to_pylist())
    located = locate_hosts(world.paths("hosts") if host_paths is None else host_paths, wanted)
    with open_sources(chosen.sources.kind, world.bank_path) as sources:
        return make_stamps(
            rows,
            hosts=load_hosts_for(chosen, located, size_px=PROFILE.stamp_px),
            sources=sources,
            experiment=chosen,
            twins=twins,
        )


def damaged_hosts(folder: Path, table: pa.Table, change, chosen_ids) -> Path:
    """Write the hosts with ``change(image, invvar, maskbits)`` applied to the pixels of some of them."""
    image, invvar, mask = (tabular.pixels(table, name).copy() for name in ("image", "invvar", "maskbits"))
    for row, host_id in enumerate(table["host_id"].to_pylist()):
        if host_id in chosen_ids:
            change(image[row], invvar[row], mask[row])
    columns = {name: table[name] for name in table.column_names}
    columns |= {"image": image, "invvar": invvar, "maskbits": mask}
    tabular.write_table(folder / "hosts.parquet", HOSTS, HOSTS.table(columns, HOST_PX))
    return folder / "hosts.parquet"


def of_kind(table: pa.Table, kind: str) -> pa.Table:
    return table.filter(pc.equal(table["control_kind"], kind))


def anchors_at(ra, dec, use) -> pa.Table:
    """Anchor rows at positions, with their use."""
    n = len(ra)
    columns = {c.name: [""] * n for c in ANCHORS if c.type == pa.string()}
    columns |= {
        "ra": ra,
        "dec": dec,
        "use": use,
        "z_lens": [None] * n,
        "theta_e_arcsec": [None] * n,
        "catalog_row": list(range(n)),
        "healpix": [0] * n,
    }
    return ANCHORS.table(columns)


def of_host(table: pa.Table, row: int, dra_arcsec: float = 0.0) -> tuple[float, float]:
    """Position of a host, moved along RA."""
    ra, dec = table["ra"][row].as_py(), table["dec"][row].as_py()
    return ra + dra_arcsec / 3600.0 / np.cos(np.radians(dec)), dec


def clear_band(band: int):
    """A change for :func:`damaged_hosts`: no inverse variance in one band."""

    def change(image, invvar, mask):
        invvar[band] = 0.0

    return change
