"""Faults that let a network tell the classes without seeing a lens, and one that hides the lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
from gate_world import changed, columns_of, experiment, kinds, values
from gates.faults import Fault, plants
from gates.faults.cases import ShardsCase
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.schema import HOSTS

Images = NDArray[np.float32]

_RENDERER = ("P1", "P5", "P6")
"""Gates that hold every stamp against the renderer: light of another amount trips them."""

_BLIND = ("S2", "S2p", "S4")
"""Gates whose every feature a blank core makes constant: they tested nothing, and say so."""


def redrawn(table: pa.Table, kind: str, draw: Callable[[Images], Images]) -> pa.Table:
    """Added light of a class drawn anew: ``draw`` takes and returns one stamp's light (3, size, size)."""
    image = tabular.pixels(table, "image").copy()
    host, of = values(table, "host_id"), kinds(table)
    bare = {h: i for i, h in enumerate(host) if of[i] == "paired"}
    for row in np.flatnonzero(of == kind):
        if host[row] in bare:
            control = image[bare[host[row]]]
            image[row] = control + draw(image[row] - control).astype(np.float32)
    return changed(table, image=image)


def rings(table: pa.Table) -> pa.Table:
    """Arcs painted as whole rings of their own radius and light (S5)."""
    return redrawn(table, "positive", _ring)


def inside_out(table: pa.Table) -> pa.Table:
    """Matched light put twice as far out as the arcs' (S2)."""
    return redrawn(table, "matched_light", lambda light: _ring(light, stretch=2.0))


def redder_arcs(table: pa.Table, mag: float) -> pa.Table:
    """Arcs redder in g-r than their sources (S4)."""
    factor = np.array([10.0 ** (-0.4 * mag), 1.0, 1.0], dtype=np.float32)[:, None, None]
    return redrawn(table, "positive", lambda light: factor * light)


def lost_twins(table: pa.Table) -> pa.Table:
    """Matched light whose twins nobody wrote down (S2, S4)."""
    unknown = np.where(kinds(table) == "matched_light", "0" * 32, None)
    return changed(table, twin_task_id=unknown)


def _ring(light: Images, stretch: float = 1.0) -> Images:
    axis = np.arange(light.shape[-1]) - (light.shape[-1] - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])
    flux = light.sum(axis=(1, 2))
    weight = np.maximum(light[1], 0.0)
    mean = stretch * float((weight * radius).sum() / weight.sum())
    shape = np.exp(-0.5 * ((radius - mean) / 2.0) ** 2)
    return np.asarray(flux[:, None, None] * shape / shape.sum(), dtype=np.float32)


def _rows(change: Callable[..., pa.Table], *args: object) -> Callable[[ShardsCase], ShardsCase]:
    return lambda case: replace(case, table=change(case.table, *args))


def bright_control_hosts(case: ShardsCase) -> ShardsCase:
    """Unpaired controls on galaxies with brighter cores than their catalogue says (S3; L94).

    Light is added by pixel value alone, so stamps and host cutouts stay one image.
    """
    unpaired = kinds(case.table) == "unpaired"
    image = tabular.pixels(case.table, "image").copy()
    core = np.percentile(image[unpaired], 98.0, axis=(0, 2, 3)).astype(np.float32)[:, None, None]
    image[unpaired] += np.float32(3.0) * np.maximum(image[unpaired] - core, np.float32(0.0))
    hosts = tabular.pixels(case.hosts, "image").copy()
    of = np.isin(values(case.hosts, "host_id"), values(case.table, "host_id")[unpaired])
    hosts[of] += np.float32(3.0) * np.maximum(hosts[of] - core, np.float32(0.0))
    columns = {**columns_of(case.hosts), "image": hosts}
    return replace(case, table=changed(case.table, image=image), hosts=HOSTS.table(columns, hosts.shape[-1]))


def _masked(case: ShardsCase) -> ShardsCase:
    """The predecessor's remedy: nothing is shown inside the radius where the shortcut lies."""
    sections = {"centre": "mask", "centre_radius_px": 16.0}
    return replace(case, experiment=experiment(preprocess=sections))


def _masked_without_matched_light(case: ShardsCase) -> ShardsCase:
    """The same remedy where no control carries light: the arcs go and no twin says so."""
    chosen = experiment(
        preprocess={"centre": "mask", "centre_radius_px": 16.0}, controls={"matched_light": False}
    )
    table = plants.no_host_galaxies(case.table, "matched_light")
    return replace(case, experiment=chosen, table=table)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "sky_left_in_positives",
        "training_shards",
        ("S1",),
        r"median_[grz] of positives",
        _rows(plants.sky_residual),
        also=(*_RENDERER, "P2", "P3", "S2", "S4"),
    ),
    Fault(
        "arcs_five_per_cent_brighter_than_matched_light",
        "training_shards",
        ("S2",),
        r"brighter than their matched light by 0\.0[45]",
        _rows(plants.scaled_light, 1.05),
        also=_RENDERER,
    ),
    Fault(
        "arcs_eight_times_as_bright",
        "training_shards",
        ("S2", "S2p", "S3"),
        r"aperture light tells positives|brighter than their matched light",
        _rows(plants.scaled_light, 8.0),
        lessons=("L100",),
        also=(*_RENDERER, "P3", "P8", "S1", "S4", "S5"),
    ),
    Fault(
        "matched_light_twice_as_far_out",
        "training_shards",
        ("S2",),
        r"brighter than their matched light|aperture light tells positives from matched_light",
        _rows(inside_out),
        also=("P6", "S4", "S5"),
    ),
    Fault(
        "twins_not_recorded",
        "training_shards",
        ("S2", "S4"),
        r"^0 arcs with their matched light",
        _rows(lost_twins),
        also=("S6",),
    ),
    Fault(
        "light_on_the_galaxy_itself",
        "training_shards",
        ("S2p", "S3"),
        r"core statistics tells positives from matched_light",
        _rows(plants.light_in_the_core),
        lessons=("L95",),
        also=(*_RENDERER, "P2", "P8", "S2", "S4", "S5"),
    ),
    Fault(
        "bright_control_hosts",
        "training_shards",
        ("S3",),
        r"before injection",
        bright_control_hosts,
        lessons=("L94",),
        also=("S2",),
    ),
    Fault(
        "all_arcs_of_one_colour",
        "training_shards",
        ("S4",),
        r"colour tells positives from|redder than their matched light",
        lambda case: replace(case, table=plants.same_colour(case.table, recorded=True)),
        lessons=("L35",),
        also=(*_RENDERER, "P3", "S2"),
    ),
    Fault(
        "arcs_a_tenth_of_a_magnitude_redder",
        "training_shards",
        ("S4",),
        r"redder than their matched light by 0\.(09|1).* mag in g-r",
        _rows(redder_arcs, 0.1),
        also=(*_RENDERER, "P3", "S2"),
    ),
    Fault(
        "arcs_painted_as_rings",
        "training_shards",
        ("S5",),
        r"radial profile tells positives from matched_light",
        _rows(rings),
        also=("P2", "P5", "P6", "P8", "S2", "S2p", "S4"),
    ),
    Fault(
        "centre_masked_with_the_arcs",
        "training_shards",
        ("S6",),
        r"model view",
        _masked,
        lessons=("L48",),
        also=_BLIND,
    ),
    Fault(
        "centre_masked_without_matched_light",
        "training_shards",
        ("S6",),
        r"costs a probe .* against paired",
        _masked_without_matched_light,
        lessons=("L48",),
        also=_BLIND,
    ),
)
"""Faults of the shortcut family."""
