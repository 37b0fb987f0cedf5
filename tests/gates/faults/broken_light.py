"""Plants of added light: a renderer that does one thing wrong, and rows changed after they were made.

A fault of the renderer is planted by making the light again with it: pixels,
fluxes and signal-to-noise follow together, as they did where it happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from gate_world import changed, kinds, values
from gates.faults import plants
from gates.faults.cases import BankCase, ShardsCase
from gates.physics.arc_world import Wrong
from numpy.typing import NDArray
from scipy import ndimage

from darkhaloscope import tabular
from darkhaloscope.lensing.psf import convolve, moffat_kernel, moffat_radius_arcsec
from darkhaloscope.lensing.renderers import open_renderer
from darkhaloscope.schema import STAMPS
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps import light
from darkhaloscope.stamps.compose import make_stamps
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for
from darkhaloscope.streams import generator, uniform

Scene = dict[str, Any]


def rendered_with(
    case: ShardsCase, wrong: Callable[[Any], Wrong], manifest: pa.Table | None = None
) -> ShardsCase:
    """Make the light of the case again with a wrong renderer, from its own or another manifest."""
    of = kinds(case.table)
    lit = np.flatnonzero((of == "positive") | (of == "matched_light"))
    ids = case.table["task_id"].take(pa.array(lit))
    tasks = case.manifest if manifest is None else manifest
    rows = tasks.take(pc.index_in(ids, value_set=tasks["task_id"].combine_chunks()).combine_chunks())
    located = locate_hosts(case.good.world.paths("hosts"), rows["host_id"].to_pylist())
    size = tabular.pixels(case.table, "image").shape[-1]
    hosts = load_hosts_for(case.experiment, located, size_px=size)

    def opened(engine: str, quality: str) -> Wrong:
        return wrong(open_renderer(engine, quality))

    with (
        open_sources(case.experiment.sources.kind, case.bank_path) as sources,
        mock.patch.object(light, "open_renderer", opened),
    ):
        made = make_stamps(rows, hosts=hosts, sources=sources, experiment=case.experiment)
    ok = np.asarray(made["status"].to_pylist(), dtype=object) == "ok"
    made, lit = made.filter(pa.array(ok)), lit[ok]
    # rows whose light fell off the stamp were lost
    gone = np.setdiff1d(np.flatnonzero((of == "positive") | (of == "matched_light")), lit)
    order = np.arange(len(of))
    order[lit] = len(of) + np.arange(len(lit))
    both = pa.concat_tables([case.table.select(STAMPS.names()), made]).combine_chunks()
    table = both.take(pa.array(np.delete(order, gone))).combine_chunks()
    return replace(case, table=table)


def with_scene(change: Callable[[Scene], Scene]) -> Callable[[ShardsCase], ShardsCase]:
    """Plant: the scene that reaches the renderer is not the one that was recorded."""
    return lambda case: rendered_with(case, lambda inner: Wrong(inner, scene=change))


def with_image(change: Callable[[NDArray[Any], Scene], NDArray[Any]]) -> Callable[[ShardsCase], ShardsCase]:
    """Plant: the rendered image is not the scene's."""
    return lambda case: rendered_with(case, lambda inner: Wrong(inner, image=change))


def with_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[ShardsCase], ShardsCase]:
    """Plant: rows were changed after they were made."""
    return lambda case: replace(case, table=change(case.table))


def with_bank(change: Callable[[BankCase], plants.BankChange]) -> Callable[[BankCase], BankCase]:
    """Plant: the templates of a bank, or what it says of them."""

    def plant(case: BankCase) -> BankCase:
        to = case.folder / f"{abs(hash(change))}.h5"
        return replace(case, bank_path=plants.changed_bank(case.bank_path, to, change(case)))

    return plant


def missing_root_q(scene: Scene) -> Scene:
    """theta_E of another convention: the major instead of the intermediate axis (L24)."""
    return {**scene, "theta_e_arcsec": scene["theta_e_arcsec"] / np.sqrt(scene["lens_q"])}


def without_offsets(scene: Scene) -> Scene:
    """Every source sits behind its deflector."""
    return {**scene, "src_x_arcsec": 0.0 * scene["src_x_arcsec"], "src_y_arcsec": 0.0 * scene["src_y_arcsec"]}


def rounded_to_pixels(scene: Scene) -> Scene:
    """The galaxy's place is taken to the nearest pixel (L25)."""
    scale = scene["pixel_scale_arcsec"]
    half = 0.5 * (1 - scene["size_px"] % 2)

    def nearest(offset: NDArray[Any]) -> NDArray[Any]:
        return (np.round(offset / scale + half) - half) * scale

    return {**scene, **{name: nearest(scene[name]) for name in ("lens_x_arcsec", "lens_y_arcsec")}}


def swapped_seeing(scene: Scene) -> Scene:
    """Bands are given each other's PSF: g that of z, z that of g."""
    return {**scene, "psf_fwhm_arcsec": np.asarray(scene["psf_fwhm_arcsec"])[:, ::-1]}


def blurred_before_lensing(scene: Scene) -> Scene:
    """The PSF is applied to the source and the lens to the blurred source: the wrong order."""
    scale = scene["template_scale_arcsec"]
    kernel = moffat_kernel(1.3, scale, enclosed=0.99, subsampling=1)
    blurred = np.stack([convolve(template, kernel) for template in np.asarray(scene["templates"])])
    blurred /= blurred.sum(axis=(1, 2), keepdims=True)
    fwhm = np.full_like(np.asarray(scene["psf_fwhm_arcsec"]), 0.4)
    return {**scene, "templates": blurred.astype(np.float32), "psf_fwhm_arcsec": fwhm}


def unturned(scene: Scene) -> Scene:
    """Templates keep the orientation they have in the bank (L38)."""
    return {**scene, "src_rotation_rad": 0.0 * scene["src_rotation_rad"]}


def kernel_in_the_corner(image: NDArray[Any], scene: Scene) -> NDArray[Any]:
    """A kernel of radius r embedded in 64 px moves light by r - 32 px (L26)."""
    radius_px = (
        np.asarray(moffat_radius_arcsec(0.999, scene["psf_fwhm_arcsec"])) / scene["pixel_scale_arcsec"]
    )
    moved = image.copy()
    for i, by_band in enumerate(np.ceil(radius_px).astype(int) - 32):
        for b, shift in enumerate(by_band):
            moved[i, b] = np.roll(image[i, b], (shift, shift), axis=(0, 1))
    return moved


def one_direction(case: ShardsCase) -> ShardsCase:
    """Every source was drawn on the same side of its deflector: recorded, and applied."""
    x, y = (case.manifest[f"src_{axis}_arcsec"].to_numpy(zero_copy_only=False) for axis in "xy")
    drawn = {"src_x_arcsec": np.hypot(x, y), "src_y_arcsec": 0.0 * y}
    manifest = case.manifest
    for name, column in drawn.items():
        at = manifest.column_names.index(name)
        field = manifest.schema.field(name)
        manifest = manifest.set_column(at, field, pa.array(column, mask=np.isnan(column)))
    return replace(rendered_with(case, Wrong, manifest), manifest=manifest)


def another_axis_recorded(case: ShardsCase) -> ShardsCase:
    """A second draw of the lens's position angle is recorded everywhere and never applied (L34)."""

    def redrawn(table: pa.Table) -> pa.Table:
        at = table.column_names.index("lens_phi_rad")
        angle = np.pi * uniform(9, "fault", table["task_id"].to_pylist())
        mask = table["lens_phi_rad"].is_null().to_numpy()
        return table.set_column(at, table.schema.field(at), pa.array(angle, mask=mask))

    return replace(case, table=redrawn(case.table), manifest=redrawn(case.manifest))


def recorded_q_of_another(table: pa.Table) -> pa.Table:
    """The axis ratio in the rows of the shards is not the manifest's (L34)."""
    q = values(table, "lens_q").astype(float)
    lit = np.flatnonzero(np.isfinite(q))
    q[lit] = np.roll(q[lit], 1)
    return changed(table, lens_q=pa.array(q, mask=np.isnan(q)))


def smooth_arcs(case: ShardsCase) -> ShardsCase:
    """Arcs without photon noise on noisy images, in stamps that say they have it (L39)."""
    quiet = case.experiment.noise.model_copy(update={"arc_shot_noise": False})
    made = rendered_with(replace(case, experiment=case.experiment.model_copy(update={"noise": quiet})), Wrong)
    invvar = tabular.pixels(case.table, "invvar")
    return replace(case, table=changed(made.table, invvar=invvar))


def snr_is(table: pa.Table, column: str, other: str) -> pa.Table:
    """One signal-to-noise recorded under the name of another (L49)."""
    return changed(table, **{column: table[other]})


def on_positives(change: Callable[[NDArray[Any], str], NDArray[Any]]) -> Callable[[ShardsCase], ShardsCase]:
    """Plant: something was done to the pixels of positives and to no others."""

    def plant(table: pa.Table) -> pa.Table:
        image = tabular.pixels(table, "image").copy()
        ids = table["task_id"].to_pylist()
        for row in np.flatnonzero(kinds(table) == "positive"):
            image[row] = change(image[row], ids[row])
        return changed(table, image=image)

    return with_table(plant)


def noisier(image: NDArray[Any], task: str) -> NDArray[Any]:
    """Sky noise a second time, at a third of its level (L42)."""
    sigma = 1.4826 * np.median(np.abs(image - np.median(image, axis=(1, 2), keepdims=True)), axis=(1, 2))
    noise = generator(1, "fault_noise", task).standard_normal(image.shape)
    return (image + sigma[:, None, None] * noise / 3.0).astype(np.float32)


def on_a_lattice(image: NDArray[Any], task: str) -> NDArray[Any]:
    """Written as integers of 1e-4 nMgy, as coadds once were (L52)."""
    del task
    return (np.rint(image.astype(np.float64) / 1e-4) * 1e-4).astype(np.float32)


def half_precision(image: NDArray[Any], task: str) -> NDArray[Any]:
    """Three digits (L50)."""
    del task
    return image.astype(np.float16).astype(np.float32)


def resampled(image: NDArray[Any], task: str) -> NDArray[Any]:
    """Moved by a fifth of a pixel with linear interpolation: neighbours share their noise."""
    del task
    return np.stack([ndimage.shift(plane, (0.2, 0.2), order=1, mode="nearest") for plane in image])


def path_rounds(table: pa.Table) -> pa.Table:
    """Controls pass a step that rounds to half precision: injection of nothing is no longer nothing."""
    image = tabular.pixels(table, "image").copy()
    dark = np.isin(kinds(table), ["paired", "unpaired"])
    image[dark] = image[dark].astype(np.float16).astype(np.float32)
    return changed(table, image=image)


def radii_in_another_scale(content: plants.BankContent) -> plants.BankContent:
    """Radii were measured in pixels of 0.05 arcsec on images of 0.03 (L22)."""
    content[1]["hlr_catalogue_arcsec"] *= 0.05 / 0.03
    return content
