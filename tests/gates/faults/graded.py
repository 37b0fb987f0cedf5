"""Faults of any size: what a gate must see, from nothing to gross, in a unit people use.

The power of each gate is the smallest size it finds. Faults here grow with one
number; those of the other modules are of one size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import gate_world
import numpy as np
import pyarrow as pa
from gate_world import changed, columns_of, keep, kinds, values
from gates.faults import leakage, plants, quality, shortcut
from gates.faults.cases import ShardsCase

from darkhaloscope import tabular
from darkhaloscope.schema import STAMPS
from darkhaloscope.streams import uniform

Grow = Callable[[ShardsCase, float], ShardsCase]


@dataclass(frozen=True)
class Graded:
    """A fault that can be of any size.

    Parameters
    ----------
    gate : str
        The gate whose business it is.
    fault : str
        What is wrong, for the table.
    unit : str
        Unit of the size.
    sizes : tuple of float
        Sizes to try, ascending; the largest must be seen.
    plant : callable
        Sound case and size to broken case.
    counted : bool
        Whether one row is enough, whatever the size of the set.
    """

    gate: str
    fault: str
    unit: str
    sizes: tuple[float, ...]
    plant: Grow
    counted: bool = False


def _rows(change: Callable[[pa.Table, float], pa.Table]) -> Grow:
    """Plant a change of the shards' rows."""
    return lambda case, size: replace(case, table=change(case.table, size))


def _shifted(column: str) -> Callable[[pa.Table, float], pa.Table]:
    def change(table: pa.Table, size: float) -> pa.Table:
        return changed(table, **{column: values(table, column) + size * (kinds(table) == "positive")})

    return change


def _share_of(table: pa.Table, kind: str, share: float) -> np.ndarray:
    """Rows of a class chosen by id hash."""
    return (kinds(table) == kind) & (uniform(1, "graded", table["task_id"].to_pylist()) < share)


def _lost_positives(case: ShardsCase, percent: float) -> ShardsCase:
    stamps = case.stamps
    status = values(stamps, "status").astype(object)
    status[_share_of(stamps, "positive", percent / 100.0)] = "psf_kernel_too_large"
    at = stamps.column_names.index("status")
    lost = stamps.set_column(at, stamps.schema.field("status"), pa.array(status, pa.string()))
    return replace(case, stamps=lost)


def _fewer_positives(table: pa.Table, percent: float) -> pa.Table:
    return keep(table, ~_share_of(table, "positive", percent / 100.0))


def _brighter_hosts(table: pa.Table, percent: float) -> pa.Table:
    """Positives lose the faintest hosts."""
    faint = values(table, "host_mag_r") > np.quantile(values(table, "host_mag_r"), 1.0 - percent / 100.0)
    return keep(table, ~(faint & (kinds(table) == "positive")))


def _scaled_arcs(table: pa.Table, percent: float) -> pa.Table:
    return plants.scaled_light(table, 1.0 + percent / 100.0)


def _recoloured(table: pa.Table, mag: float) -> pa.Table:
    """Arcs brighter in g and fainter in z by as many magnitudes."""
    factor = np.array([10.0 ** (0.4 * mag), 1.0, 10.0 ** (-0.4 * mag)])
    return plants.repainted(table, lambda flux, _row: flux * factor)


def _noisier(table: pa.Table, percent: float) -> pa.Table:
    """Positives with more sky noise."""
    image = tabular.pixels(table, "image").copy()
    rows = np.flatnonzero(kinds(table) == "positive")
    sigma = 1.0 / np.sqrt(np.maximum(tabular.pixels(table, "invvar")[rows], 1e-9))
    extra = np.sqrt((1.0 + percent / 100.0) ** 2 - 1.0)
    noise = np.random.Generator(np.random.Philox(key=1)).standard_normal(sigma.shape, dtype=np.float32)
    image[rows] += (extra * sigma * noise).astype(np.float32)
    return changed(table, image=image)


def _wrong_snr(table: pa.Table, percent: float) -> pa.Table:
    names = [name for name in table.column_names if name.startswith("arc_snr_")]
    scaled = {
        name: np.array(table[name].to_pylist(), dtype=float) * (1.0 + percent / 100.0) for name in names
    }
    return changed(
        table, **{name: pa.array(column, mask=np.isnan(column)) for name, column in scaled.items()}
    )


def _moved_arcs(table: pa.Table, percent: float) -> pa.Table:
    """Arcs drawn out from the deflector by a share of their radius."""
    from scipy import ndimage

    image = tabular.pixels(table, "image").copy()
    host, of = values(table, "host_id"), kinds(table)
    bare = {h: i for i, h in enumerate(host) if of[i] == "paired"}
    stretch = 1.0 + percent / 100.0
    centre = (image.shape[-1] - 1) / 2
    for row in np.flatnonzero(of == "positive"):
        control = image[bare[host[row]]]
        arc = image[row] - control
        drawn = [
            ndimage.affine_transform(
                plane, np.eye(2) / stretch, offset=centre - centre / stretch, order=3, prefilter=True
            )
            / stretch**2
            for plane in arc
        ]
        image[row] = control + np.stack(drawn)
    return changed(table, image=image)


def _centred_arcs(table: pa.Table, percent: float) -> pa.Table:
    """A share of the arcs' light moved into a blob on the deflector."""
    core = tabular.pixels(plants.light_in_the_core(table, 1.0), "image")
    share = np.float32(percent / 100.0)
    return changed(table, image=(1 - share) * tabular.pixels(table, "image") + share * core)


def _ringed(table: pa.Table, percent: float) -> pa.Table:
    """A share of the arcs' light spread over rings of their radii."""
    rings = tabular.pixels(shortcut.rings(table), "image")
    share = np.float32(percent / 100.0)
    return changed(table, image=(1 - share) * tabular.pixels(table, "image") + share * rings)


def _misplaced_controls(table: pa.Table, count: float) -> pa.Table:
    """So many val rows called train."""
    split = values(table, "split").astype(object)
    split[np.flatnonzero(split == "val")[: int(count)]] = "train"
    return changed(table, split=split)


def _shared_sources(table: pa.Table, count: float) -> pa.Table:
    source, split = values(table, "source_id").astype(object), values(table, "split")
    lit = np.array([s is not None for s in source])
    to, of = np.flatnonzero(lit & (split == "test")), np.flatnonzero(lit & (split == "train"))
    source[to[: int(count)]] = source[of[: int(count)]]
    return changed(table, source_id=source)


def _repeated(table: pa.Table, count: float) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, int(count))]).combine_chunks()


def _without_z(table: pa.Table, count: float) -> pa.Table:
    return plants.missing_band(table, int(count))


def _broken_pixels(table: pa.Table, count: float) -> pa.Table:
    nan_pixels = values(table, "nan_pixels")
    nan_pixels[: int(count)] += 1
    return changed(table, nan_pixels=nan_pixels)


def _touched_controls(table: pa.Table, permille: float) -> pa.Table:
    image = tabular.pixels(table, "image").copy()
    image[kinds(table) == "paired"] *= np.float32(1.0 + permille / 1000.0)
    return changed(table, image=image)


def _null_in_controls(table: pa.Table, percent: float) -> pa.Table:
    """A condition that controls lack."""
    ebv = np.array(table["ebv"].to_pylist(), dtype=float)
    chosen = (kinds(table) != "positive") & (
        uniform(1, "graded", table["task_id"].to_pylist()) < percent / 100.0
    )
    columns = columns_of(table)
    rebuilt = STAMPS.table(columns, tabular.pixels(table, "image").shape[-1])
    at = rebuilt.column_names.index("ebv")
    return rebuilt.set_column(
        at, rebuilt.schema.field("ebv"), pa.array(ebv, rebuilt.schema.field(at).type, mask=chosen)
    )


def _aimed(case: ShardsCase, percent: float) -> ShardsCase:
    """A declared target of S/N of which the fainter half lost so many arcs."""
    chosen = case.experiment.model_copy(update={"snr_targeting": quality.TARGET})
    table = plants.faint_arcs_missing(gate_world.on_target(case.table, quality.TARGET), percent / 100.0)
    return replace(case, table=table, experiment=chosen)


def _stepped(case: ShardsCase, sigma: float) -> ShardsCase:
    """Pixels stored in steps of so many sigma of the sky."""
    return quality.stored(lambda table: gate_world.quantised(table, 1.0 / sigma))(case)


def _known_negative(case: ShardsCase, _count: float) -> ShardsCase:
    return leakage.known_object("unpaired", "exclude")(case)


def _moved_splits(case: ShardsCase, points: float) -> ShardsCase:
    """Galaxies and area moved from train to test."""
    train, val, test = case.experiment.split.fractions
    return leakage.weighted(train - points / 100.0, val, test + points / 100.0)(case)


def _other_axis(table: pa.Table, percent: float) -> pa.Table:
    """Rows whose recorded axis ratio is not the one that was drawn."""
    chosen = _share_of(table, "positive", percent / 100.0)
    q = np.array(table["lens_q"].to_pylist(), dtype=float) - 0.05 * chosen
    return changed(table, lens_q=pa.array(q, mask=np.isnan(q)))


def _masked(case: ShardsCase, radius_px: float) -> ShardsCase:
    """A model that is shown nothing within a radius."""
    section = case.experiment.preprocess.model_copy(update={"centre": "mask", "centre_radius_px": radius_px})
    return replace(case, experiment=case.experiment.model_copy(update={"preprocess": section}))


PERCENT = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 80.0)
MAG = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
SKY = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02)
ONE = (1.0,)

GRADED: tuple[Graded, ...] = (
    Graded("Q1", "positives in wider seeing", "arcsec", MAG, _rows(_shifted("psf_fwhm_r_arcsec"))),
    Graded("Q1", "positives in shallower images", "mag", MAG, _rows(_shifted("psfdepth_r_mag"))),
    Graded("Q2", "stamps without z", "rows", ONE, _rows(_without_z), counted=True),
    Graded("Q3", "stamps with NaN", "rows", ONE, _rows(_broken_pixels), counted=True),
    Graded("Q4", "positives lost", "%", PERCENT, _lost_positives),
    Graded("Q5", "positives missing from the shards", "%", PERCENT, _rows(_fewer_positives)),
    Graded("Q7", "faint half of the arcs lost", "%", PERCENT, _aimed),
    Graded("Q8", "steps of stored pixels", "sigma", (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0), _stepped),
    Graded(
        "L4",
        "galaxies in the wrong split",
        "points",
        (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 14.0),
        _moved_splits,
    ),
    Graded("L5", "controls without E(B-V)", "%", PERCENT, _rows(_null_in_controls)),
    Graded("L6", "known lenses among the controls", "rows", ONE, _known_negative, counted=True),
    Graded("P6", "rows with another axis ratio", "%", PERCENT, _rows(_other_axis)),
    Graded("P7", "controls rescaled", "permille", ONE, _rows(_touched_controls), counted=True),
    Graded("S5", "arcs' light in rings", "% of it", (*PERCENT, 100.0), _rows(_ringed)),
    Graded("S6", "centre hidden", "px", (4.0, 6.0, 8.0, 10.0, 12.0, 16.0), _masked),
    Graded("Q6", "rows written twice", "rows", ONE, _rows(_repeated), counted=True),
    Graded("L2", "rows in another split", "rows", ONE, _rows(_misplaced_controls), counted=True),
    Graded("L3", "sources shared by splits", "sources", ONE, _rows(_shared_sources), counted=True),
    Graded("P1", "flux of arcs too high", "%", PERCENT, _rows(_scaled_arcs)),
    Graded("P2", "arcs drawn out", "%", PERCENT, _rows(_moved_arcs)),
    Graded("P3", "arcs bluer in g and z", "mag", MAG, _rows(_recoloured)),
    Graded("P5", "recorded S/N too high", "%", PERCENT, _rows(_wrong_snr)),
    Graded("P8", "noise of positives too high", "%", PERCENT, _rows(_noisier)),
    Graded("S1", "sky of positives too high", "nMgy/px", SKY, _rows(plants.sky_residual)),
    Graded("S2", "arcs brighter than matched light", "%", PERCENT, _rows(_scaled_arcs)),
    Graded("S2p", "arcs' light in the core", "% of it", PERCENT, _rows(_centred_arcs)),
    Graded("S3", "hosts of positives brighter", "% of faint hosts left out", PERCENT, _rows(_brighter_hosts)),
    Graded("S4", "arcs bluer than matched light", "mag", MAG, _rows(_recoloured)),
)
