"""The physics gates: what each reads, and which figure it draws."""

from __future__ import annotations

from dataclasses import replace

from darkhaloscope.gates import figures
from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.physics import arc_colours, flux
from darkhaloscope.gates.quality.storage import archived_sums
from darkhaloscope.gates.result import Verdict
from darkhaloscope.sources.library import open_sources


def ask_flux(data: DataSet) -> list[Verdict]:
    """P1: added flux against the oracle, in stamps as they were made."""
    sample = data.sample
    if data.experiment.storage.form == "quantised":
        sums = archived_sums(data.stamp_paths, sample.table["task_id"])
        sample = replace(sample, total_nmgy=sums)
    with open_sources(data.experiment.sources.kind, data.bank_path) as library:
        measured = flux.measure_flux(
            sample,
            data.hosts,
            library,
            experiment=data.experiment,
            size_px=data.profile.stamp_px,
            oracle_rows=data.profile.oracle_rows,
            limits=data.limits,
        )
    name = figures.draw_flux(data.folder / "P1.png", measured, data.limits.value("P1", "max_median_error"))
    return [replace(flux.judge_flux(measured, data.limits), figure=name)]


def ask_arc_colours(data: DataSet) -> list[Verdict]:
    """P3: colours of the arcs."""
    measured = arc_colours.measure_arc_colours(
        data.sample,
        data.hosts,
        experiment=data.experiment,
        limits=data.limits,
    )
    name = figures.draw_arc_colours(data.folder / "P3.png", measured)
    return [replace(arc_colours.judge_arc_colours(measured, data.limits), figure=name)]


GATES: dict[str, Ask] = {
    "P1": ask_flux,
    "P3": ask_arc_colours,
}
"""The gates of this family, in the order they run."""
