"""S2 and S2p: is light in the core enough, by its amount or by its statistics."""

from __future__ import annotations

from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut.classifiers import judge_classifier, measure_classifier, worse
from darkhaloscope.gates.shortcut.twins import TwinLight, judge_twin_flux, measure_twin_flux
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.gates.views import Features, aperture_table, core_table


def measure_aperture_light(
    sample: Sample, view: Features, twins: TwinLight | None, *, seed: int, n_boot: int
) -> Measured:
    """Cross-validate a logistic regression on aperture fluxes and colours (S2).

    Parameters
    ----------
    sample : Sample
        Classes.
    view : Features
        The view the classifier sees.
    twins : TwinLight or None
        Arcs beside their matched light, the same in every view; None without matched light.
    seed, n_boot : int
        See :func:`classifiers.measure_classifier`.
    """
    measured = measure_classifier(sample, aperture_table(view), seed=seed, n_boot=n_boot)
    return {**measured, "twins": measure_twin_flux(twins)}


def judge_aperture_light(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when aperture light alone tells the class, or twins are not equally bright (S2)."""
    told = judge_classifier(measured, limits, gate="S2", what="aperture light", nothing_added=True)
    return worse(told, judge_twin_flux(measured["twins"], limits))


def measure_core(sample: Sample, view: Features, *, seed: int, n_boot: int) -> Measured:
    """Cross-validate a logistic regression on seven statistics of the core per band (S2p)."""
    return measure_classifier(sample, core_table(view), seed=seed, n_boot=n_boot)


def judge_core(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when core statistics tell positives from matched light; others inform (S2p)."""
    return judge_classifier(measured, limits, gate="S2p", what="core statistics", nothing_added=False)
