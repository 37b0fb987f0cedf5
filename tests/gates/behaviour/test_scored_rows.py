"""B6, B7, B9, B10: what is judged of the scores of whole splits, on scores with a known answer."""

from dataclasses import replace

import gate_world
import numpy as np
import pyarrow as pa
import pytest
from gate_world import LIMITS
from gates.faults import models
from scipy.special import expit

from darkhaloscope.errors import DataError
from darkhaloscope.gates.behaviour import calibration, matched, representation, strata
from darkhaloscope.gates.behaviour.scored import RememberedScore, Scored, operating_threshold, score_split
from darkhaloscope.gates.inputs import MissingInputError
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.statistics import auc, grouped_auc_interval, linearised_auc_interval


def rows(kinds, seed=1, **columns):
    rng = np.random.default_rng(seed)
    n = len(kinds)
    lens = np.asarray(kinds) == "positive"
    values = {
        "arc_snr_footprint_r": np.where(lens, rng.uniform(4, 60, n), np.nan),
        "theta_e_arcsec": np.where(lens, rng.uniform(0.7, 2.5, n), np.nan),
        "psf_fwhm_r_arcsec": np.full(n, 1.3),
        "psfdepth_r_mag": rng.uniform(23, 24, n),
        "host_mag_r": rng.uniform(18, 20, n),
        **{f"arc_flux_{b}_nmgy": rng.uniform(1, 5, n) for b in "grz"},
        **columns,
    }
    return pa.table(
        {"control_kind": kinds, "host_id": [f"{seed}-{i}" for i in range(n)]}
        | {name: pa.array(v, mask=np.isnan(v)) for name, v in values.items()}
    )


def split(n=400, seed=1, separation=2.0, snr=None, slope=0.0):
    """Positives whose logit lies ``separation`` (and more with S/N) above that of as many controls."""
    rng = np.random.default_rng(seed)
    kinds = ["positive"] * n + ["unpaired"] * n
    given = {} if snr is None else {"arc_snr_footprint_r": np.concatenate([snr, np.full(n, np.nan)])}
    table = rows(kinds, seed, **given)
    signal = np.nan_to_num(table["arc_snr_footprint_r"].to_numpy(zero_copy_only=False))
    logit = rng.normal(0, 1, 2 * n) + np.repeat([separation, 0.0], n) + slope * (signal >= 20)
    return Scored(table, expit(logit))


def gap(val, test):
    return strata.judge_split_gap(strata.measure_split_gap(val, test, limits=LIMITS), LIMITS)


def test_a_harder_split_is_not_a_leak():
    faint, bright = (
        np.random.default_rng(3).permutation(np.repeat([10.0, 30.0], [300, 100])),
        np.repeat([10.0, 30.0], [100, 300]),
    )
    verdict = gap(
        split(seed=1, separation=0.5, snr=bright, slope=2.0),
        split(seed=2, separation=0.5, snr=faint, slope=2.0),
    )
    plain = verdict.values["plain"]
    assert plain["val"]["lower"] > plain["test"]["upper"]
    assert verdict.status is GateStatus.PASS


def test_a_leak_is_found_at_equal_signal():
    verdict = gap(split(seed=1, separation=3.0), split(seed=2, separation=1.5))
    assert verdict.status is GateStatus.FAIL
    assert verdict.lower > 0.02


def test_splits_without_a_common_bin_fail():
    verdict = gap(split(snr=np.full(400, 5.0)), split(seed=2, snr=np.full(400, 50.0)))
    assert verdict.status is GateStatus.FAIL
    assert "no bin" in verdict.reason
    assert "needed" in gap(split(n=20), split(seed=2)).reason


def test_linearised_auc_is_the_auc_and_its_bootstrap():
    rng = np.random.default_rng(5)
    labels, groups = np.arange(600) % 2 == 0, np.arange(600) // 3
    score = np.round(rng.normal(labels * 0.8, 1.0) + rng.normal(size=200)[groups], 1)
    found, boot = (
        linearised_auc_interval(labels, score, groups),
        grouped_auc_interval(labels, score, groups, 800, 1),
    )
    assert found.value == pytest.approx(auc(labels, score), abs=1e-12)
    assert found.upper - found.lower == pytest.approx(boot.upper - boot.lower, rel=0.15)
    assert found.n == 200


def test_a_weight_of_two_is_a_row_twice():
    rng = np.random.default_rng(6)
    labels, score = np.arange(60) % 2 == 0, rng.normal(size=60)
    weight = np.where(np.arange(60) < 10, 2.0, 1.0)
    twice = np.concatenate([np.arange(60), np.arange(10)])
    found = linearised_auc_interval(labels, score, np.arange(60), weights=weight)
    again = linearised_auc_interval(labels[twice], score[twice], twice)
    assert (found.value, found.lower) == pytest.approx((again.value, again.lower))


def calibrated(n=4000, seed=1, sharpness=1.0, prior=0.3):
    """Scores that are probabilities at a prior, then sharpened about it."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(np.log(prior / (1 - prior)), 1.2, n)
    lens = rng.uniform(size=n) < expit(logit)
    kinds = np.where(lens, "positive", "unpaired").tolist()
    return Scored(rows(kinds, seed), expit(sharpness * logit)), float(lens.mean())


def ece(scored, prior):
    measured = calibration.measure_calibration(scored, prior=prior, n_boot=100, seed=1)
    return calibration.judge_calibration(measured, LIMITS)


def test_calibrated_scores_pass_and_overconfident_ones_do_not():
    scored, prior = calibrated()
    verdict = ece(scored, prior)
    assert verdict.status is GateStatus.PASS
    assert verdict.value < 0.03
    p, lens = scored.p, scored.positive
    assert verdict.values["brier"] == pytest.approx(((p - lens) ** 2).mean(), rel=1e-6)
    assert ece(calibrated(sharpness=4.0)[0], prior).status is GateStatus.FAIL


def test_calibration_is_asked_at_the_declared_prior():
    """The classes of a split are weighted to the prior: dropping positives changes nothing."""
    scored, prior = calibrated()
    kept = ~scored.positive | (np.arange(len(scored.p)) % 2 == 0)
    assert ece(scored.where(kept), prior).value < 0.05
    assert ece(scored.where(kept), float(scored.positive[kept].mean())).status is GateStatus.FAIL


def test_few_galaxies_are_not_calibrated():
    scored, prior = calibrated(n=40)
    assert "needed" in ece(scored, prior).reason


def twins(p_arc, p_twin, p_nothing, n=200):
    kinds = ["positive"] * n + ["matched_light"] * n + ["unpaired"] * n
    p = np.concatenate([np.full(n, v) if np.isscalar(v) else v for v in (p_arc, p_twin, p_nothing)])
    return Scored(rows(kinds), p + 1e-6 * np.arange(len(p)))


def unlensed(scored):
    return matched.judge_matched_light(matched.measure_matched_light(scored, fpr=0.01), LIMITS)


def test_a_model_of_light_calls_arcs_and_twins_alike():
    bright = np.where(np.arange(200) < 40, 0.9, 0.1)
    verdict = unlensed(twins(bright, bright, 0.05))
    assert verdict.status is GateStatus.FAIL
    assert "unlensed share 0.5" in verdict.reason


def test_a_model_of_arcs_passes_though_most_false_positives_are_twins():
    arcs, lights = (np.where(np.arange(200) < called, 0.9, 0.01) for called in (150, 20))
    verdict = unlensed(twins(arcs, lights, 0.05))
    assert verdict.status is GateStatus.PASS
    assert verdict.values["false_positives"] == {"matched_light": 20, "nothing_added": 2}


def test_shares_are_of_as_many_arcs_as_twins():
    """With a quarter of the twins the counts fall, the share does not."""
    full = twins(np.where(np.arange(200) < 100, 0.9, 0.01), np.where(np.arange(200) % 2, 0.9, 0.01), 0.05)
    few = full.where((full.kind != "matched_light") | (np.arange(600) % 4 < 2) & (np.arange(600) % 8 < 4))
    a, b = (matched.measure_matched_light(s, fpr=0.01)["share"]["value"] for s in (full, few))
    assert a == pytest.approx(b, abs=0.02)


def test_without_matched_light_it_does_not_apply():
    assert unlensed(split()).status is GateStatus.NOT_APPLICABLE
    assert "needed" in unlensed(twins(0.9, 0.1, 0.05, n=10)).reason


def test_the_operating_point_lets_a_share_of_galaxies_pass():
    scored = twins(0.9, 0.9, np.linspace(0.0, 0.5, 200))
    threshold = operating_threshold(scored, 0.05)
    assert int((scored.p[scored.kind == "unpaired"] > threshold).sum()) == 10
    with pytest.raises(DataError, match="No control"):
        operating_threshold(scored.where(scored.positive), 0.05)


def test_a_stamp_is_scored_once_and_answers_are_probabilities(good):
    seen = []

    def score(images, table):
        seen.append(len(images))
        return images[:, 1].max(axis=(1, 2)).astype(float).clip(0, 1)

    remembered = RememberedScore(score)
    table = good.table.slice(0, 6)
    images = gate_world.columns_of(table)["image"]
    first = remembered(images, table)
    np.testing.assert_array_equal(
        remembered(images[::-1], table.take(pa.array(range(5, -1, -1)))), first[::-1]
    )
    changed = images.copy()
    changed[2, 0, 0, 0] += 1e-3
    remembered(changed, table)
    assert seen == [6, 1]
    for wrong in (np.full(6, 1.5), np.full(6, np.nan), np.zeros(5)):
        with pytest.raises(DataError, match="not a probability"):
            RememberedScore(lambda _i, _r, wrong=wrong: wrong)(images, table)


def test_a_split_is_scored_row_by_row(good):
    score = models.sees_arcs(good.table)
    scored = score_split(good.shards, "val", score, n_hosts=400, seed=3)
    assert scored.rows.num_rows == int((gate_world.values(good.table, "split") == "val").sum())
    assert auc(scored.positive, scored.p) > 0.9
    assert scored.p[scored.positive].mean() > 0.7
    assert score_split(ShardSet(good.shards.paths("train")), "val", score, n_hosts=9, seed=3).p.size == 0


def test_another_preprocess_spec_is_refused(good, tmp_path):
    model = models.sound_model(good, tmp_path).model
    assert model.ask is model.ask
    other = replace(model.preprocess, clip=3.0)
    with pytest.raises(DataError, match=r"another PreprocessSpec.*clip"):
        _ = replace(model, preprocess=other).ask


def test_a_probe_without_inverse_variance_is_deferred(good):
    class NoNoise(ShardSet):
        def sample(self, *args, **given):
            table = super().sample(*args, **given)
            zero = np.zeros((table.num_rows, 3, 64, 64), dtype=np.float32)
            at = table.column_names.index("invvar")
            flat = pa.FixedShapeTensorArray.from_numpy_ndarray(zero)
            return table.set_column(at, table.schema.field("invvar"), flat)

    spec = gate_world.spec_of(good.world.experiment)
    given = {"n_hosts": 40, "epochs": 1, "n_boot": 20, "seed": 1}
    with pytest.raises(MissingInputError, match="invvar"):
        representation.measure_representation(NoNoise(good.shards.paths()), spec, **given)
    verdict = representation.judge_representation(
        representation.measure_representation(good.shards, spec, **given), LIMITS
    )
    assert verdict.status in (GateStatus.PASS, GateStatus.FAIL)
    assert "units of the noise" in verdict.reason
