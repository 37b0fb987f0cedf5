"""S4: is colour enough to tell the class."""

from __future__ import annotations

import numpy as np

from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut.classes import kinds_of
from darkhaloscope.gates.shortcut.classifiers import judge_classifier, measure_classifier, worse
from darkhaloscope.gates.shortcut.twins import TwinLight, judge_twin_colour, measure_twin_colour
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.gates.views import Features, colour_table, core_colours_mag

_BINS = 48
_COVERAGE = (0.005, 0.995)


def measure_colour(
    sample: Sample, view: Features, twins: TwinLight | None, *, seed: int, n_boot: int
) -> Measured:
    """Cross-validate a logistic regression on aperture colours alone (S4).

    Parameters
    ----------
    sample : Sample
        Classes.
    view : Features
        The view the classifier sees.
    twins : TwinLight or None
        Arcs beside their matched light; None without matched light.
    seed, n_boot : int
        See :func:`classifiers.measure_classifier`.

    Returns
    -------
    dict
        As of the classifier, with ``twins`` and, for the figure, histograms of
        g-r and r-z within 10 px by class.
    """
    measured = measure_classifier(sample, colour_table(view), seed=seed, n_boot=n_boot)
    return {**measured, "twins": measure_twin_colour(twins), "distributions": _distributions(sample, view)}


def judge_colour(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when colour alone tells the class, or twins have not one colour (S4)."""
    told = judge_classifier(measured, limits, gate="S4", what="colour", nothing_added=True)
    return worse(told, judge_twin_colour(measured["twins"], limits))


def _distributions(sample: Sample, view: Features) -> Measured:
    colours = core_colours_mag(view)
    found: Measured = {}
    for c, name in enumerate(("g-r", "r-z")):
        values = colours[:, c]
        values = values[np.isfinite(values)]
        if values.size == 0:
            continue
        low, high = np.quantile(values, _COVERAGE)
        edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
        found[name] = {"edges": edges.tolist(), "counts": {}}
        for kind in [*sample.population.present([POSITIVE]), *kinds_of(sample)]:
            counts = np.histogram(colours[sample.population.where(kind), c], edges)[0]
            found[name]["counts"][kind] = [int(k) for k in counts]
    return found
