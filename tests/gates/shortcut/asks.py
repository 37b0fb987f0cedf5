"""The shortcut gates asked of one sample, each in one line."""

from gate_world import LIMITS

from darkhaloscope.gates.shortcut import brightness, colour, light, normalisation, profile, signal
from darkhaloscope.gates.shortcut.twins import twin_light

VIEWS = ("raw", "model")


def s1(sample):
    return normalisation.judge_normalisation(normalisation.measure_normalisation(sample), LIMITS)


def s2(sample, view="model", hosts=None):
    """Without ``hosts`` the twins are left out and the classifier decides alone."""
    twins = None if hosts is None else twin_light(sample, hosts)
    measured = light.measure_aperture_light(sample, getattr(sample, view), twins, seed=1, n_boot=100)
    return light.judge_aperture_light(measured, LIMITS)


def s2p(sample, view="model"):
    return light.judge_core(light.measure_core(sample, getattr(sample, view), seed=1, n_boot=100), LIMITS)


def s3(sample, hosts, view="model"):
    return brightness.judge_brightness(
        brightness.measure_brightness(sample, getattr(sample, view), hosts), LIMITS
    )


def s4(sample, view="model", hosts=None):
    twins = None if hosts is None else twin_light(sample, hosts)
    measured = colour.measure_colour(sample, getattr(sample, view), twins, seed=1, n_boot=100)
    return colour.judge_colour(measured, LIMITS)


def s5(sample, view="model"):
    measured = profile.measure_profile(sample, getattr(sample, view), seed=1, n_boot=100)
    return profile.judge_profile(measured, LIMITS)


def s6(sample, epochs=10):
    measured = signal.measure_signal(sample, epochs=epochs, seed=1, n_boot=100, limits=LIMITS)
    return signal.judge_signal(measured, LIMITS)
