"""Stamps whose flux was chosen for an S/N: it is reached, recorded, carried on and made again."""

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import ConfigError
from darkhaloscope.schema import MANIFEST, STAMPS, per_band
from darkhaloscope.stamps.agreement import compare_rows
from darkhaloscope.stamps.snr_target import declared_target

AIM = {"mode": "choose_flux", "low": 2.0, "high": 50.0}
MAGNITUDES = per_band("src_mag_{b}")


@pytest.fixture(scope="module")
def aimed():
    return stamp_world.experiment(snr_targeting=AIM)


@pytest.fixture(scope="module")
def plan(world, aimed):
    return stamp_world.manifest_of(aimed, world.bank_path)


@pytest.fixture(scope="module")
def made(world, aimed, plan):
    return stamp_world.stamps_of(world, plan, chosen=aimed)


def column(table, name):
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)


def test_the_target_is_drawn_from_its_own_stream(world, aimed, plan):
    """Nothing else of the manifest moves, and controls aim at nothing."""
    before = stamp_world.manifest_of(stamp_world.experiment(), world.bank_path)
    for name in MANIFEST.names():
        assert plan[name].equals(before[name]) == (name != "target_snr"), name
    positives = stamp_world.of_kind(plan, "positive")
    assert plan["target_snr"].null_count == plan.num_rows - positives.num_rows
    target = column(positives, "target_snr")
    assert (target.min(), target.max()) == pytest.approx((2.0, 50.0), rel=0.2)
    # 73 values of a log-uniform distribution: its largest distance from the diagonal (5 %: 0.156)
    share = np.sort(np.log(target / 2.0) / np.log(25.0))
    assert np.abs(share - np.linspace(0, 1, len(share))).max() < 0.17
    # 73 independent pairs: a correlation above 0.35 has a chance of 0.2 %
    for name in ("theta_e_arcsec", "lens_q", "gamma1", "src_x_arcsec", "src_rotation_rad", "src_mag_r"):
        assert abs(np.corrcoef(np.log(target), column(positives, name))[0, 1]) < 0.35, name


@pytest.mark.parametrize("photons", [True, False])
def test_every_positive_reaches_its_target(world, plan, photons):
    chosen = stamp_world.experiment(snr_targeting=AIM, noise={"arc_shot_noise": photons})
    made = stamp_world.of_kind(stamp_world.stamps_of(world, plan, chosen=chosen), "positive")
    assert set(made["status"].to_pylist()) == {"ok"}
    # The inverse variance of lit pixels is kept in steps of a thousandth.
    rtol = 3e-4 if photons else 1e-5
    np.testing.assert_allclose(column(made, "arc_snr_footprint_r"), column(made, "target_snr"), rtol=rtol)


def test_the_applied_magnitudes_are_recorded_with_the_drawn_colours(plan, made):
    drawn, applied = (stamp_world.of_kind(table, "positive") for table in (plan, made))
    change = np.stack([column(applied, name) - column(drawn, name) for name in MAGNITUDES])
    np.testing.assert_allclose(change[0], change[1], atol=1e-9)
    np.testing.assert_allclose(change[2], change[1], atol=1e-9)
    assert np.abs(change[1]).min() > 1e-3
    flux = 10 ** (0.4 * (22.5 - column(applied, "src_mag_r"))) * column(applied, "magnification")
    ratio = column(applied, "arc_flux_r_nmgy") / flux
    assert ratio.max() < 1.001
    assert np.median(ratio) > 0.97
    others = made.filter(pa.array(np.asarray(made["control_kind"].to_pylist()) != "positive"))
    assert others["src_mag_r"].null_count == others.num_rows


def test_applied_magnitudes_without_a_target_give_the_same_light(world, aimed, made):
    """The row as recorded stands alone: rendered at its own magnitudes it is the same arc."""
    applied = stamp_world.of_kind(made, "positive").select(MANIFEST.names())
    plain = stamp_world.replace(applied, target_snr=[None] * applied.num_rows)
    again = stamp_world.stamps_of(world, plain, chosen=aimed)
    for name in per_band("arc_flux_{b}_nmgy"):
        np.testing.assert_allclose(
            column(again, name), column(stamp_world.of_kind(made, "positive"), name), rtol=1e-5
        )


def test_the_target_is_applied_and_the_brightness_of_the_prior_is_not(world, plan):
    """One magnitude brighter in every band, a source is scaled back; one colour or target changed is seen."""
    chosen = stamp_world.experiment(snr_targeting=AIM, noise={"arc_shot_noise": False})
    some = stamp_world.of_kind(plan, "positive").slice(0, 8)

    def image(**changes):
        rows = stamp_world.replace(some, **changes)
        return tabular.pixels(stamp_world.stamps_of(world, rows, chosen=chosen), "image")

    before = image()
    brighter = image(**{name: column(some, name) - 1.0 for name in MAGNITUDES})
    assert np.abs(brighter - before).max() < 1e-6
    assert np.abs(image(src_mag_g=column(some, "src_mag_g") - 1.0) - before).max() > 1e-3
    assert np.abs(image(target_snr=1.01 * column(some, "target_snr")) - before).max() > 1e-4


def test_matched_light_carries_the_scaled_flux_and_the_weight_of_its_twin(made):
    by_id = {row: i for i, row in enumerate(made["task_id"].to_pylist())}
    part = stamp_world.of_kind(made, "matched_light")
    twins = made.take(pa.array([by_id[name] for name in part["twin_task_id"].to_pylist()]))
    for name in per_band("arc_flux_{b}_nmgy"):
        np.testing.assert_allclose(column(part, name), column(twins, name), rtol=1e-6)
    np.testing.assert_array_equal(column(part, "sampling_weight"), column(twins, "sampling_weight"))
    assert len(set(column(part, "sampling_weight"))) > 5
    for kind in ("paired", "unpaired"):
        assert set(stamp_world.of_kind(made, kind)["sampling_weight"].to_pylist()) == {1.0}


def test_a_row_made_alone_is_the_same_bytes(world, aimed, plan, made):
    """Bit for bit in any company: every fifth row in reverse order, twins beside them."""
    places = list(range(plan.num_rows))[::-5]
    some = plan.take(pa.array(places))
    twins = stamp_world.of_kind(plan, "positive")
    again = stamp_world.stamps_of(world, some, chosen=aimed, twins=twins)
    assert {str(row) for row in compare_rows(made.take(pa.array(places)), again)} == {"bit for bit"}
    one = stamp_world.stamps_of(world, plan.slice(0, 1), chosen=aimed)
    assert [str(row) for row in compare_rows(made.slice(0, 1), one)] == ["bit for bit"]


def test_a_target_out_of_range_is_a_named_loss(world, plan, made):
    applied = stamp_world.of_kind(made, "positive")
    edge = float(np.quantile(column(applied, "src_mag_r"), 0.8))
    chosen = stamp_world.experiment(snr_targeting=AIM | {"mag_r_range": (10.0, edge)})
    found = stamp_world.stamps_of(world, plan, chosen=chosen)
    beyond = {
        row["task_id"]
        for row in applied.select(["task_id", "src_mag_r"]).to_pylist()
        if row["src_mag_r"] > edge
    }
    assert len(beyond) > 10
    lost = {}
    for row in found.drop_columns(["image", "invvar", "maskbits"]).to_pylist():
        lost.setdefault(row["status"], []).append(row)
    assert {row["task_id"] for row in lost["snr_unreachable"]} == beyond
    assert {row["twin_task_id"] for row in lost["twin_lost"]} == beyond
    assert all(row["sampling_weight"] is row["arc_flux_r_nmgy"] is None for row in lost["snr_unreachable"])
    assert len(lost["ok"]) == plan.num_rows - 2 * len(beyond)
    assert stamp_world.of_kind(found, "positive").filter(pa.array([True] * applied.num_rows))[
        "image"
    ].null_count == len(beyond)


def test_without_a_target_every_weight_is_one(world):
    stamps = world.table("stamps", ["sampling_weight", "target_snr"])
    assert set(stamps["sampling_weight"].to_pylist()) == {1.0}
    assert stamps["target_snr"].null_count == stamps.num_rows


def test_rows_that_aim_need_an_experiment_that_aims(world, plan):
    with pytest.raises(ConfigError, match="snr_targeting"):
        stamp_world.stamps_of(world, plan, chosen=stamp_world.experiment())


def test_the_declared_table_is_drawn(world):
    chosen = stamp_world.experiment(snr_targeting={"mode": "choose_flux", "target": "table"})
    positives = stamp_world.of_kind(stamp_world.manifest_of(chosen, world.bank_path), "positive")
    assert declared_target(chosen.snr_targeting).variation(column(positives, "target_snr")) < 0.15


def test_the_weight_is_no_input_and_the_target_is_truth():
    assert STAMPS["sampling_weight"].role == "result"
    assert STAMPS["target_snr"].role == MANIFEST["target_snr"].role == "truth"
