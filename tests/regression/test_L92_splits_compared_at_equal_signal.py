"""L92: AUC 0.8945 on val and 0.9945 on test were explained by stratification that nobody measured."""

import numpy as np
import pyarrow as pa
import pytest
from gate_world import LIMITS
from scipy.special import expit

from darkhaloscope.gates.behaviour import strata
from darkhaloscope.gates.behaviour.scored import Scored
from darkhaloscope.gates.result import GateStatus


def scored(seed, faint, separation, n=300):
    """A split with a share of faint arcs, whose model separates bright ones by ``separation``."""
    rng = np.random.default_rng(seed)
    snr = np.where(np.arange(n) < faint * n, 6.0, 40.0)
    logit = np.concatenate([rng.normal(np.where(snr > 20, separation, 0.5)), rng.normal(size=n)])
    none = [None] * n
    rows = pa.table(
        {
            "control_kind": ["positive"] * n + ["paired"] * n,
            "host_id": [f"{seed}-{i}" for i in range(n)] * 2,
            "arc_snr_footprint_r": pa.array([*snr.tolist(), *none], pa.float64()),
            "theta_e_arcsec": pa.array([1.5] * n + none, pa.float64()),
            "psf_fwhm_r_arcsec": np.full(2 * n, 1.3),
        }
    )
    return Scored(rows, expit(logit))


@pytest.mark.parametrize(
    ("val", "status"), [((0.8, 3.0), GateStatus.PASS), ((0.2, 1.0), GateStatus.FAIL)], ids=["harder", "other"]
)
def test_only_a_gap_that_signal_does_not_explain_fails(val, status):
    test = scored(2, 0.2, 3.0)
    measured = strata.measure_split_gap(scored(1, *val), test, limits=LIMITS)
    plain = measured["plain"]
    assert plain["val"]["upper"] < plain["test"]["lower"]
    assert strata.judge_split_gap(measured, LIMITS).status is status
