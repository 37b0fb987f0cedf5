"""Faults of what rows say of themselves: conditions, completeness, losses, shares, copies, the S/N mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import gate_world
import numpy as np
import pyarrow as pa
from gate_world import changed, keep, kinds, values
from gates.faults import Fault, plants
from gates.faults.cases import ShardsCase

from darkhaloscope import tabular
from darkhaloscope.config import SnrTargeting, Storage
from darkhaloscope.streams import uniform

SHARDS = "training_shards"
TARGET = SnrTargeting(mode="choose_flux", target="table")


def rows(change: Callable[..., pa.Table], *args, **given) -> Callable[[ShardsCase], ShardsCase]:
    """Plant a change of the shards' rows."""
    return lambda case: replace(case, table=change(case.table, *args, **given))


def stamps(change: Callable[..., pa.Table]) -> Callable[[ShardsCase], ShardsCase]:
    """Plant a change of what the archive says became of the tasks."""
    return lambda case: replace(case, stamps=change(case.stamps))


def stored(change: Callable[[pa.Table], pa.Table]) -> Callable[[ShardsCase], ShardsCase]:
    """Plant a change of pixels on their way into quantised shards."""

    def plant(case: ShardsCase) -> ShardsCase:
        chosen = case.experiment.model_copy(update={"storage": Storage(form="quantised")})
        return replace(case, table=change(case.table), experiment=chosen)

    return plant


def one_class_in_better_depth(table: pa.Table, mag: float = 0.3) -> pa.Table:
    """Unpaired controls from images 0.3 mag deeper (Q1)."""
    depth = values(table, "psfdepth_r_mag")
    return changed(table, psfdepth_r_mag=depth + mag * (kinds(table) == "unpaired"))


def depth_in_other_unit(table: pa.Table) -> pa.Table:
    """The depth of controls as the inverse variance that the sweeps call psfdepth (Q1; L57)."""
    depth = values(table, "psfdepth_r_mag")
    ivar = 25.0 * 10.0 ** (0.8 * (depth - 22.5))
    return changed(table, psfdepth_r_mag=np.where(kinds(table) == "unpaired", ivar, depth))


def brighter_controls(table: pa.Table) -> pa.Table:
    """Unpaired controls on the brighter half of their galaxies (Q1; L94)."""
    mag, alone = values(table, "host_mag_r"), kinds(table) == "unpaired"
    return keep(table, ~alone | (mag < np.median(mag[alone])))


def r_only_stamps(table: pa.Table, every: int = 40) -> pa.Table:
    """Stamps of which only r was read, the other planes zero (Q2; L71)."""
    chosen = np.arange(table.num_rows) % every == 7
    image, invvar = (tabular.pixels(table, name).copy() for name in ("image", "invvar"))
    for plane in (image, invvar):
        plane[np.ix_(chosen, [0, 2])] = 0.0
    bandset = values(table, "bandset").astype(object)
    bandset[chosen] = "r"
    return changed(table, image=image, invvar=invvar, bandset=bandset)


def lost_in_one_class(table: pa.Table, share: float = 0.05) -> pa.Table:
    """Positives that came to no row at all: a work unit died and nobody counted (Q4; L68)."""
    drawn = uniform(1, "lost", table["task_id"].to_pylist())
    return keep(table, (kinds(table) != "positive") | (drawn > share))


def without_any_control(table: pa.Table) -> pa.Table:
    """The debug tier: control fraction 0 (Q5; L98)."""
    return keep(table, kinds(table) == "positive")


def repeated_rows(table: pa.Table) -> pa.Table:
    """A part that was read twice (Q6)."""
    return pa.concat_tables([table, table.slice(0, 20)]).combine_chunks()


def _aimed(change: Callable[[pa.Table], pa.Table]) -> Callable[[ShardsCase], ShardsCase]:
    """Declare a target of S/N that the positives have, and plant a change."""

    def plant(case: ShardsCase) -> ShardsCase:
        chosen = case.experiment.model_copy(update={"snr_targeting": TARGET})
        table = gate_world.on_target(case.table, TARGET)
        return replace(case, table=change(table), experiment=chosen)

    return plant


_SUBSET = ("Q5", "L4")
"""Rows that are gone change the shares that were promised."""

FAULTS: tuple[Fault, ...] = (
    Fault(
        "sharper_seeing",
        SHARDS,
        ("Q1", "L5"),
        "psf_fwhm_r_arcsec",
        rows(plants.sharper_seeing),
        (),
        ("P1", "P2", "P5", "P6"),
    ),
    Fault(
        "controls_in_deeper_images",
        SHARDS,
        ("Q1",),
        "psfdepth_r_mag",
        rows(one_class_in_better_depth),
        (),
        ("L5",),
    ),
    Fault("depth_in_other_unit", SHARDS, ("Q1", "L5"), "psfdepth_r_mag", rows(depth_in_other_unit), ("L57",)),
    Fault(
        "brighter_control_hosts",
        SHARDS,
        ("Q1", "L5"),
        "host_mag_",
        rows(brighter_controls),
        ("L94", "L103"),
        (*_SUBSET, "S1", "S2", "S2p", "S3", "S4", "S5"),
    ),
    Fault(
        "brighter_positive_hosts",
        SHARDS,
        ("Q1", "L5"),
        "host_mag_",
        rows(plants.brighter_hosts),
        ("L94",),
        (*_SUBSET, "Q7", "S1", "S2", "S2p", "S3", "S4", "S5", "S6"),
    ),
    Fault(
        "constant_seeing",
        SHARDS,
        ("Q1",),
        "constant over all rows",
        rows(plants.constant_conditions),
        ("L108",),
        ("P1", "P2", "P5", "P6"),
    ),
    Fault("missing_band", SHARDS, ("Q2",), "unpaired/.*: gr", rows(plants.missing_band), ("L71",)),
    Fault(
        "r_only_stamps",
        SHARDS,
        ("Q2",),
        ": r",
        rows(r_only_stamps),
        ("L71",),
        ("Q1", "P1", "P2", "P3", "P5", "P6", "P7", "P8"),
    ),
    Fault(
        "empty_plane",
        SHARDS,
        ("Q2",),
        "invvar_z",
        rows(plants.empty_plane),
        ("L72",),
        ("Q1", "P5", "P6", "P8"),
    ),
    Fault(
        "nan_pixel",
        SHARDS,
        ("Q3",),
        "1 rows with NaN",
        rows(plants.nan_pixel, counted=True),
        ("L70",),
        ("P6", "P7"),
    ),
    Fault(
        "nan_pixel_not_counted",
        SHARDS,
        ("Q3",),
        "found in the sample only",
        rows(plants.nan_pixel, counted=False),
        ("L70", "L72"),
        ("P6", "P7"),
    ),
    Fault(
        "kernel_wider_than_the_stamp",
        SHARDS,
        ("Q4",),
        "psf_kernel_too_large",
        stamps(plants.lose_wide_psf),
        ("L28",),
    ),
    Fault("positives_without_a_row", SHARDS, ("Q4",), "no_row", stamps(lost_in_one_class), ("L68",)),
    Fault(
        "split_without_controls",
        SHARDS,
        ("Q5",),
        "in val",
        rows(plants.without_controls, "val"),
        ("L98",),
        ("L4", "S6"),
    ),
    Fault(
        "debug_tier",
        SHARDS,
        ("Q5", "Q1", "L5"),
        "needed",
        rows(without_any_control),
        ("L98",),
        ("L4", "S1", "S2", "S2p", "S3", "S4", "S5", "S6", "P1", "P2", "P3", "P7", "P8"),
    ),
    Fault("half_the_positives", SHARDS, ("Q5",), "positive", rows(plants.half_the_positives), (), ("S6",)),
    Fault("part_read_twice", SHARDS, ("Q6",), "repeat a task", rows(repeated_rows), ("L124",)),
    Fault(
        "galaxy_in_nine_selections",
        SHARDS,
        ("Q6",),
        "9 rows of one galaxy",
        rows(plants.one_row_per_selection),
        ("L77",),
        ("Q5", "Q1", "L5", "P6"),
    ),
    Fault(
        "galaxies_under_two_ids",
        SHARDS,
        ("Q6",),
        "under another id",
        rows(plants.second_ids, 0.1),
        (),
        ("P1", "P2", "P5", "P6", "P7", "S3"),
    ),
    Fault(
        "faint_arcs_missing",
        SHARDS,
        ("Q7",),
        "S/N",
        _aimed(plants.faint_arcs_missing),
        (),
        ("Q5", "P5", "P6", "S6"),
    ),
    Fault(
        "coarse_steps",
        SHARDS,
        ("Q8",),
        "sigma",
        stored(plants.coarse_steps),
        ("L50",),
        ("P1", "P6", "P7", "P8"),
    ),
)
