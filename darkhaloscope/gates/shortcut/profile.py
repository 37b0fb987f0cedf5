"""S5: is the radial profile enough to tell the class."""

from __future__ import annotations

import numpy as np

from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut.classes import kinds_of
from darkhaloscope.gates.shortcut.classifiers import judge_classifier, measure_classifier
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.gates.views import PROFILE_BIN_PX, Features, profile_table
from darkhaloscope.schema import BANDS


def measure_profile(sample: Sample, view: Features, *, seed: int, n_boot: int) -> Measured:
    """Cross-validate a logistic regression on radial medians within 32 px (S5).

    Returns
    -------
    dict
        As of the classifier and, for the figure, the mean profile by class and band.
    """
    measured = measure_classifier(sample, profile_table(view), seed=seed, n_boot=n_boot)
    profiles = {}
    for kind in [*sample.population.present([POSITIVE]), *kinds_of(sample)]:
        mean = view.profile[sample.population.where(kind)].mean(axis=0)
        profiles[kind] = {band: [float(v) for v in mean[b]] for b, band in enumerate(BANDS)}
    radius = PROFILE_BIN_PX * (np.arange(view.profile.shape[2]) + 0.5)
    return {**measured, "profiles": profiles, "radius_px": radius.tolist()}


def judge_profile(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the radial profile tells positives from matched light; others inform (S5)."""
    return judge_classifier(measured, limits, gate="S5", what="the radial profile", nothing_added=False)
