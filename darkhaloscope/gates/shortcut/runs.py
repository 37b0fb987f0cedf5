"""The shortcut gates: what each reads, and which figure it draws."""

from __future__ import annotations

from dataclasses import replace

from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.features import MATCHED
from darkhaloscope.gates.figures import draw_effects
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut import brightness, colour, figures, light, normalisation, profile, signal
from darkhaloscope.gates.shortcut.classes import kinds_of
from darkhaloscope.gates.shortcut.twins import TwinLight, twin_light


def ask_normalisation(data: DataSet) -> list[Verdict]:
    """S1: normalisation statistics."""
    measured = normalisation.measure_normalisation(data.sample)
    limit = data.limits.value("S1", "max_abs_d_matched_light")
    name = draw_effects(data.folder / "S1.png", measured["effects"], limit, "normalisation")
    return [replace(normalisation.judge_normalisation(measured, data.limits), view="model", figure=name)]


def ask_aperture_light(data: DataSet) -> list[Verdict]:
    """S2: aperture light."""
    twins = _twins(data)
    measured = {
        view: light.measure_aperture_light(data.sample, seen, twins, **_sizes(data))
        for view, seen in data.views.items()
    }
    name = figures.draw_aperture_light(data.folder / "S2.png", measured, data.limits)
    return data.in_views(measured, light.judge_aperture_light, name)


def ask_core(data: DataSet) -> list[Verdict]:
    """S2p: statistics of the core."""
    measured = {
        view: light.measure_core(data.sample, seen, **_sizes(data)) for view, seen in data.views.items()
    }
    name = figures.draw_classifier(data.folder / "S2p.png", measured, "core statistics")
    return data.in_views(measured, light.judge_core, name)


def ask_brightness(data: DataSet) -> list[Verdict]:
    """S3: brightness of the cores."""
    measured = {
        view: brightness.measure_brightness(data.sample, seen, data.hosts)
        for view, seen in data.views.items()
    }
    low, high = (data.limits.value("S3", f"{side}_ratio_matched_light") for side in ("min", "max"))
    name = figures.draw_brightness(data.folder / "S3.png", measured, low, high)
    return data.in_views(measured, brightness.judge_brightness, name)


def ask_colour(data: DataSet) -> list[Verdict]:
    """S4: colour."""
    twins = _twins(data)
    measured = {
        view: colour.measure_colour(data.sample, seen, twins, **_sizes(data))
        for view, seen in data.views.items()
    }
    name = figures.draw_colour(data.folder / "S4.png", measured, data.limits)
    return data.in_views(measured, colour.judge_colour, name)


def ask_profile(data: DataSet) -> list[Verdict]:
    """S5: the radial profile."""
    measured = {
        view: profile.measure_profile(data.sample, seen, **_sizes(data)) for view, seen in data.views.items()
    }
    name = figures.draw_profile(data.folder / "S5.png", measured)
    return data.in_views(measured, profile.judge_profile, name)


def ask_signal(data: DataSet) -> list[Verdict]:
    """S6: what a convolutional probe still sees."""
    measured = signal.measure_signal(
        data.sample, epochs=data.profile.gate_probe_epochs, limits=data.limits, **_sizes(data)
    )
    name = figures.draw_signal(data.folder / "S6.png", measured)
    return [replace(signal.judge_signal(measured, data.limits), view="model", figure=name)]


def _sizes(data: DataSet) -> dict[str, int]:
    return {"seed": data.experiment.seed, "n_boot": data.profile.bootstrap}


def _twins(data: DataSet) -> TwinLight | None:
    """Return arcs beside their matched light; hosts are asked for only where there is some."""
    return twin_light(data.sample, data.hosts) if MATCHED in kinds_of(data.sample) else None


GATES: dict[str, Ask] = {
    "S1": ask_normalisation,
    "S2": ask_aperture_light,
    "S2p": ask_core,
    "S3": ask_brightness,
    "S4": ask_colour,
    "S5": ask_profile,
    "S6": ask_signal,
}
"""The gates of this family, in the order they run."""
