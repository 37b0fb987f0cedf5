"""Estimates with intervals: the only place where a number gets its uncertainty.

Every function takes plain arrays and returns an :class:`Interval`, so a rate or
an effect size can never be reported without its sample. Rows of one galaxy are
not independent: where ``groups`` is taken, rows that share a group count as one
galaxy. Thresholds and verdicts do not belong here.
"""

from darkhaloscope.statistics.histograms import total_variation, total_variation_interval
from darkhaloscope.statistics.intervals import (
    CONFIDENCE,
    Interval,
    clopper_pearson,
    risk_ratio,
    wilson,
)
from darkhaloscope.statistics.ranking import (
    auc,
    group_index,
    grouped_auc_interval,
    grouped_auc_loss,
    linearised_auc_interval,
)
from darkhaloscope.statistics.samples import (
    cohen_d,
    ks_distance,
    ks_interval,
    ks_p_value,
    ks_two_sample,
    mean_interval,
    mean_ratio_interval,
)

__all__ = [
    "CONFIDENCE",
    "Interval",
    "auc",
    "clopper_pearson",
    "cohen_d",
    "group_index",
    "grouped_auc_interval",
    "grouped_auc_loss",
    "ks_distance",
    "ks_interval",
    "ks_p_value",
    "ks_two_sample",
    "linearised_auc_interval",
    "mean_interval",
    "mean_ratio_interval",
    "risk_ratio",
    "total_variation",
    "total_variation_interval",
    "wilson",
]
