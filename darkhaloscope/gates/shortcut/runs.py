"""The shortcut gates: what each reads, and which figure it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from darkhaloscope.gates import figures
from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut import light
from darkhaloscope.gates.thresholds import Thresholds


def ask_normalisation(data: DataSet) -> list[Verdict]:
    """S1: normalisation statistics."""
    measured = light.measure_normalisation(data.sample)
    limit = data.limits.value("S1", "max_abs_d_matched_light")
    name = figures.draw_effects(data.folder / "S1.png", measured["effects"], limit, "normalisation")
    return [replace(light.judge_normalisation(measured, data.limits), view="model", figure=name)]


def ask_aperture_light(data: DataSet) -> list[Verdict]:
    """S2: aperture light."""
    return _probed(data, "S2", "aperture light", light.measure_aperture_light, light.judge_aperture_light)


def ask_core(data: DataSet) -> list[Verdict]:
    """S2p: statistics of the core."""
    return _probed(data, "S2p", "core statistics", light.measure_core, light.judge_core)


def ask_brightness(data: DataSet) -> list[Verdict]:
    """S3: brightness of the cores."""
    measured = {
        view: light.measure_brightness(data.sample, seen, data.hosts) for view, seen in data.views.items()
    }
    low, high = (data.limits.value("S3", f"{side}_ratio_matched_light") for side in ("min", "max"))
    name = figures.draw_brightness(data.folder / "S3.png", measured, low, high)
    return data.in_views(measured, light.judge_brightness, name)


def ask_signal(data: DataSet) -> list[Verdict]:
    """S6: what a convolutional probe still sees."""
    measured = light.measure_signal(
        data.sample,
        epochs=data.profile.gate_probe_epochs,
        seed=data.experiment.seed,
        n_boot=data.profile.bootstrap,
        limits=data.limits,
    )
    name = figures.draw_signal(data.folder / "S6.png", measured)
    return [replace(light.judge_signal(measured, data.limits), view="model", figure=name)]


def _probed(
    data: DataSet,
    gate: str,
    title: str,
    measure: Callable[..., Measured],
    judge: Callable[[Measured, Thresholds], Verdict],
) -> list[Verdict]:
    measured = {
        view: measure(data.sample, seen, seed=data.experiment.seed, n_boot=data.profile.bootstrap)
        for view, seen in data.views.items()
    }
    return data.in_views(measured, judge, figures.draw_roc(data.folder / f"{gate}.png", measured, title))


GATES: dict[str, Ask] = {
    "S1": ask_normalisation,
    "S2": ask_aperture_light,
    "S2p": ask_core,
    "S3": ask_brightness,
    "S6": ask_signal,
}
"""The gates of this family, in the order they run."""
