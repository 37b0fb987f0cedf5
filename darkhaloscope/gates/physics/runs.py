"""The physics gates: what each reads, and which figure it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from darkhaloscope.gates import figures
from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.physics import (
    arc_colours,
    flux,
    noise,
    path,
    photon_noise,
    position,
    signal_to_noise,
)
from darkhaloscope.gates.physics import figures as pictures
from darkhaloscope.gates.population import COMPARED_KINDS, POSITIVE
from darkhaloscope.gates.quality.storage import archived_sums
from darkhaloscope.gates.result import Verdict
from darkhaloscope.lensing.renderers import open_renderer
from darkhaloscope.stamps.hostpixels import HostStamps, locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for
from darkhaloscope.streams import uniform
from darkhaloscope.survey.release import get_release

_NOISE_HOSTS = 100
"""Galaxies per class for P8: a change of the sky variance to a tenth of its limit."""

_DARK_CONTROLS = 200


def ask_flux(data: DataSet) -> list[Verdict]:
    """P1: added flux against the oracle, in stamps as they were made."""
    arcs = data.arcs
    measured = flux.measure_flux(
        _as_made(data),
        data.hosts,
        flux.Expected(arcs.rows, arcs.oracle.sum(axis=(2, 3))),
        experiment=data.experiment,
        limits=data.limits,
    )
    name = figures.draw_flux(data.folder / "P1.png", measured, data.limits.value("P1", "max_median_error"))
    return [replace(flux.judge_flux(measured, data.limits), figure=name)]


def ask_position(data: DataSet) -> list[Verdict]:
    """P2: place and sharpness of the arcs, and the impulse."""
    rendering = data.experiment.renderer
    measured = position.measure_position(
        data.arcs,
        open_renderer(rendering.engine, rendering.quality),
        pixel_scale_arcsec=get_release(data.experiment.survey.release).pixel_scale_arcsec,
        seed=data.experiment.seed,
        limits=data.limits,
    )
    name = pictures.draw_position(data.folder / "P2.png", measured, data.limits)
    return [replace(position.judge_position(measured, data.limits), figure=name)]


def ask_arc_colours(data: DataSet) -> list[Verdict]:
    """P3: colours of the arcs, in stamps as they were made."""
    measured = arc_colours.measure_arc_colours(
        _as_made(data),
        data.hosts,
        experiment=data.experiment,
        limits=data.limits,
    )
    name = figures.draw_arc_colours(data.folder / "P3.png", measured)
    return [replace(arc_colours.judge_arc_colours(measured, data.limits), figure=name)]


def ask_snr(data: DataSet) -> list[Verdict]:
    """P5: every recorded signal-to-noise."""
    measured = signal_to_noise.measure_snr(data.arcs, seed=data.experiment.seed, limits=data.limits)
    name = pictures.draw_snr(data.folder / "P5.png", measured)
    return [replace(signal_to_noise.judge_snr(measured, data.limits), figure=name)]


def ask_rerendering(data: DataSet) -> list[Verdict]:
    """P6: rows made again."""
    columns = data.shards.metadata(["task_id", "control_kind"])
    measured = path.measure_rerendering(
        path.chosen_rows(columns, data.experiment.seed),
        data.shards,
        experiment=data.experiment,
        profile=data.profile,
        manifest_paths=data.manifest_paths,
        stamp_paths=data.stamp_paths,
        hosts_paths=data.hosts_paths,
        bank_path=data.bank_path,
    )
    return [path.judge_rerendering(measured, data.limits)]


def ask_nulls(data: DataSet) -> list[Verdict]:
    """P7: injections of nothing."""
    table = data.sample.table
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    dark = np.flatnonzero(np.isin(kind, path.UNLIT))
    draw = uniform(data.experiment.seed, "dark_controls", table["task_id"].take(pa.array(dark)).to_pylist())
    dark = np.sort(dark[np.argsort(draw, kind="stable")[:_DARK_CONTROLS]])
    controls = table.take(pa.array(dark))
    measured = path.measure_nulls(
        data.arcs,
        controls,
        data.shards,
        stamp_paths=data.stamp_paths,
        control_hosts=_hosts(data, controls),
        experiment=data.experiment,
    )
    return [path.judge_nulls(measured, data.limits)]


def ask_noise(data: DataSet) -> list[Verdict]:
    """P8: noise of both classes, as the shards give it."""
    table = data.shards.sample(
        min(_NOISE_HOSTS, data.profile.gate_hosts_per_class),
        seed=data.experiment.seed,
        kinds=[POSITIVE, *data.population.present(COMPARED_KINDS)],
    )
    measured = noise.measure_noise(table, _hosts(data, table), experiment=data.experiment)
    if data.experiment.noise.arc_shot_noise:
        measured["arcs"] = photon_noise.measure_photon_noise(data.arcs, seed=data.experiment.seed)
    name = pictures.draw_noise(data.folder / "P8.png", measured, data.limits.value("P8", "max_effect"))
    return [replace(noise.judge_noise(measured, data.limits), figure=name)]


def _as_made(data: DataSet) -> Sample:
    """Return the sample with the sums of its stamps before any rounding for storage."""
    if data.experiment.storage.form != "quantised":
        return data.sample
    return replace(data.sample, total_nmgy=archived_sums(data.stamp_paths, data.sample.table["task_id"]))


def _hosts(data: DataSet, table: pa.Table) -> HostStamps:
    located = locate_hosts(data.hosts_paths, table["host_id"].to_pylist())
    return load_hosts_for(data.experiment, located, size_px=data.profile.stamp_px)


GATES: dict[str, Ask] = {
    "P1": ask_flux,
    "P2": ask_position,
    "P3": ask_arc_colours,
    "P5": ask_snr,
    "P6": ask_rerendering,
    "P7": ask_nulls,
    "P8": ask_noise,
}
"""The gates of this family, in the order they run."""
