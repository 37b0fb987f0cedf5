"""Faults of the splits, and of columns that carry the label."""

from __future__ import annotations

from dataclasses import replace

import gate_world
import numpy as np
import pyarrow as pa
from gate_world import changed, kinds, values
from gates.faults import Fault, plants
from gates.faults.cases import ShardsCase
from gates.faults.quality import SHARDS, rows

from darkhaloscope.streams import uniform


def weighted(train: float, val: float, test: float):
    """Plant a plan whose splits hold these shares of galaxies and area."""

    def plant(case: ShardsCase) -> ShardsCase:
        split = case.splits.of(*(np.array(case.bricks[name].to_pylist()) for name in ("ra", "dec")))
        share = dict(zip(("train", "val", "test"), (train, val, test), strict=True))
        weight = np.array([share[s] / (split == s).sum() for s in split.tolist()])
        bricks = case.bricks
        for name, total in (("n_galaxies", 10_000), ("area_deg2", 1.0)):
            at = bricks.column_names.index(name)
            column = pa.array(weight * total).cast(bricks.schema.field(name).type, safe=False)
            bricks = bricks.set_column(at, bricks.schema.field(name), column)
        return replace(case, bricks=bricks)

    return plant


def guard_not_applied(case: ShardsCase) -> ShardsCase:
    """A guard band that was declared and never cut out (L1; L88)."""
    split = case.experiment.split.model_copy(update={"guard_deg": 2.5})
    return replace(case, experiment=case.experiment.model_copy(update={"split": split}))


def one_pool_of_sources(table: pa.Table) -> pa.Table:
    """Every split draws its sources from the whole bank (L3; L62, L90)."""
    source = values(table, "source_id").astype(object)
    lit = np.flatnonzero([s is not None for s in source])
    order = np.argsort(uniform(1, "pool", table["task_id"].take(pa.array(lit)).to_pylist()))
    source[lit] = source[lit][order]
    return changed(table, source_id=source)


def known_object(kind: str, use: str):
    """Plant a catalogued object at the first galaxy of a class in the training split."""

    def plant(case: ShardsCase) -> ShardsCase:
        here = (kinds(case.table) == kind) & (values(case.table, "split") == "train")
        row = int(np.flatnonzero(here)[0])
        ra, dec = (float(values(case.table, name)[row]) for name in ("ra", "dec"))
        return replace(case, anchors=gate_world.anchors((ra, dec + 1.0 / 3600.0, use)))

    return plant


def rounded_in_controls(table: pa.Table) -> pa.Table:
    """Depth of unpaired controls from a catalogue with two decimals (L5)."""
    depth = values(table, "psfdepth_z_mag")
    return changed(table, psfdepth_z_mag=np.where(kinds(table) == "unpaired", np.round(depth, 2), depth))


def single_precision(table: pa.Table) -> pa.Table:
    """Reddening of unpaired controls went through a float32 file (L5)."""
    ebv = values(table, "ebv").astype(float)
    return changed(table, ebv=np.where(kinds(table) == "unpaired", ebv.astype(np.float32), ebv))


def row_order_in_a_condition(table: pa.Table) -> pa.Table:
    """Seeing in r sorts with seeing in g for one class only; each column alone is the same (L5)."""
    g, r = (values(table, f"psf_fwhm_{band}_arcsec").copy() for band in "gr")
    alone = np.flatnonzero(kinds(table) == "unpaired")
    g[alone] = np.sort(g[alone])[::-1][np.argsort(np.argsort(r[alone]))]
    return changed(table, psf_fwhm_g_arcsec=g)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "cells_in_ring_order",
        SHARDS,
        ("L1",),
        "not that of their position",
        rows(plants.ring_order),
        ("L88",),
    ),
    Fault("guard_band_not_applied", SHARDS, ("L1",), r"guard 2\.5 deg", guard_not_applied, ("L88",)),
    Fault(
        "rows_relabelled",
        SHARDS,
        ("L2", "L1", "L3"),
        "galaxies in two splits, first",
        rows(plants.relabelled_rows),
        ("L84", "L90"),
        ("L4", "Q5"),
    ),
    Fault(
        "one_galaxy_under_two_ids",
        SHARDS,
        ("L2",),
        "two ids",
        rows(plants.moved_beside_test, 0.5 / 3600),
        ("L08",),
        ("L1",),
    ),
    Fault(
        "one_source_in_two_splits",
        SHARDS,
        ("L3",),
        "1 of",
        rows(plants.shared_source),
        ("L62",),
        ("P1", "P2", "P3", "P5", "P6"),
    ),
    Fault(
        "one_pool_of_sources",
        SHARDS,
        ("L3",),
        "sources in two splits",
        rows(one_pool_of_sources),
        ("L62", "L90"),
        ("P1", "P2", "P3", "P5", "P6", "P7"),
    ),
    Fault("splits_26_39_35", SHARDS, ("L4",), r"0\.26", weighted(0.26, 0.39, 0.35), ("L86",)),
    Fault("splits_81_11_7", SHARDS, ("L4",), "promised", weighted(0.82, 0.11, 0.07), ("L85",)),
    Fault(
        "null_in_controls_only",
        SHARDS,
        ("L5",),
        "nulls tell",
        rows(plants.null_in_controls),
        ("L97",),
        ("Q1",),
    ),
    Fault(
        "seeing_rounded_in_positives",
        SHARDS,
        ("L5",),
        "psf_fwhm_r_arcsec",
        rows(plants.rounded_seeing),
        (),
        ("P5", "P6"),
    ),
    Fault("depth_rounded_in_controls", SHARDS, ("L5",), "psfdepth_z_mag", rows(rounded_in_controls)),
    Fault("reddening_in_single_precision", SHARDS, ("L5",), "ebv", rows(single_precision)),
    Fault("related_columns", SHARDS, ("L5",), "psf_fwhm_", rows(row_order_in_a_condition), (), ("P6",)),
    Fault("anchor_in_training", SHARDS, ("L6",), "lens as positive", known_object("positive", "grade")),
    Fault(
        "known_lens_among_negatives",
        SHARDS,
        ("L6",),
        "lens as unpaired",
        known_object("unpaired", "exclude"),
        ("L102",),
    ),
    Fault(
        "look_alike_as_plain_control",
        SHARDS,
        ("L6",),
        "lookalike as unpaired",
        known_object("unpaired", "hard_negative"),
        ("L101",),
    ),
)
