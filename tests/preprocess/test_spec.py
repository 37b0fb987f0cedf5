from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.config import Preprocess
from darkhaloscope.errors import ConfigError, ContractError, DataError
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.streams import generator


def spec(crop_px: int = 64, **section) -> PreprocessSpec:
    return PreprocessSpec.from_config(Preprocess(**section), crop_px=crop_px)


def stamps(n: int = 5, side: int = 64) -> np.ndarray:
    """Sky at a level of its own per stamp and band, and a bright core."""
    rng = generator(3, "preprocess", f"{n}:{side}")
    sky = rng.normal(0.0, 0.02, (n, 3, side, side)) + rng.normal(0.0, 0.1, (n, 3, 1, 1))
    axis = np.arange(side) - (side - 1) / 2
    core = 5.0 * np.exp(-0.5 * (np.hypot(axis[:, None], axis[None, :]) / 3.0) ** 2)
    return (sky + core).astype(np.float32)


def plain_normalised(image: np.ndarray, limit: float, *, outer: bool) -> np.ndarray:
    """The formula, one plane at a time, in double precision."""
    axis = np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])
    region = radius > (image.shape[-1] / 4 if outer else -1.0)
    out = np.empty(image.shape)
    for index in np.ndindex(image.shape[:2]):
        plane = image[index].astype(np.float64)
        median = np.median(plane[region])
        sigma = 1.4826 * np.median(np.abs(plane[region] - median))
        out[index] = np.clip((plane - median) / sigma, -limit, limit)
    return out


@pytest.mark.parametrize("normalisation", ["outer_mad", "raw_mad"])
@pytest.mark.parametrize("side", [64, 101])
def test_images_follow_the_plain_formula(normalisation, side):
    image = stamps(side=side)
    got = spec(side, normalisation=normalisation).images(image)
    assert got.dtype == np.float32
    np.testing.assert_allclose(
        got, plain_normalised(image, 10.0, outer=normalisation == "outer_mad"), atol=2e-4
    )


def test_clip_limits_the_core_and_leaves_the_sky():
    image = stamps()
    got, wide = spec(clip=4.0).images(image), spec(clip=1e6).images(image)
    assert got.max() == np.float32(4.0)
    small = np.abs(wide) < 4.0
    np.testing.assert_array_equal(got[small], wide[small])


def test_a_row_does_not_depend_on_its_batch():
    image = stamps(7)
    for centre in ("none", "blur", "noise"):
        chosen = spec(centre=centre)
        alone = np.concatenate([chosen.images(image[i : i + 1]) for i in range(7)])
        np.testing.assert_array_equal(chosen.images(image), alone)


def test_statistics_are_those_that_images_divides_by():
    image = stamps()
    median, sigma = spec().statistics(image)
    expected = (image - median[:, :, None, None]) / sigma[:, :, None, None]
    np.testing.assert_allclose(spec(clip=1e6).images(image), expected, rtol=1e-5, atol=1e-5)


def test_larger_stamps_are_cropped_about_their_centre():
    image = stamps(2, 101)
    np.testing.assert_array_equal(spec(61).images(image), spec(61).images(image[:, :, 20:81, 20:81]))


class TestCentreTreatment:
    radius = 10.0

    def inside(self) -> np.ndarray:
        axis = np.arange(64) - 31.5
        return np.hypot(axis[:, None], axis[None, :]) < self.radius

    @pytest.mark.parametrize("centre", ["mask", "blur", "noise"])
    def test_nothing_changes_outside_the_radius(self, centre):
        image = stamps()
        outside = ~self.inside()
        treated = spec(centre=centre, centre_radius_px=self.radius).images(image)
        plain = spec().images(image)
        np.testing.assert_array_equal(treated[:, :, outside], plain[:, :, outside])
        assert not np.array_equal(treated, plain)

    def test_mask_is_zero(self):
        treated = spec(centre="mask", centre_radius_px=self.radius).images(stamps())
        assert not treated[:, :, self.inside()].any()

    def test_blur_lowers_the_peak_and_keeps_the_light(self):
        image = stamps()
        unclipped = spec(clip=1e6).images(image)
        blurred = spec(clip=1e6, centre="blur", centre_radius_px=self.radius).images(image)
        assert np.all(blurred.max(axis=(2, 3)) < 0.6 * unclipped.max(axis=(2, 3)))
        np.testing.assert_allclose(
            blurred[:, :, self.inside()].sum(axis=2), unclipped[:, :, self.inside()].sum(axis=2), rtol=0.06
        )

    def test_noise_is_unit_normal_and_the_stamps_own(self):
        image = stamps()
        noise_spec = spec(centre="noise", centre_radius_px=self.radius)
        noise = noise_spec.images(image)[:, :, self.inside()]
        assert abs(noise.mean()) < 0.05
        assert abs(noise.std() - 1.0) < 0.05
        assert np.abs(np.corrcoef(noise[0, 0], noise[1, 0])[0, 1]) < 0.2
        np.testing.assert_array_equal(noise, noise_spec.images(image)[:, :, self.inside()])


class TestRefusals:
    def test_non_finite_stamps_are_named(self):
        image = stamps()
        image[3, 1, 5, 5] = np.nan
        with pytest.raises(DataError, match=r"NaN or infinite pixels \[row 3\]"):
            spec().images(image)
        np.testing.assert_array_equal(spec().valid_rows(image), [True, True, True, False, True])

    def test_a_dead_band_is_named(self):
        image = stamps()
        image[2, 0] = 0.0
        with pytest.raises(DataError, match=r"band without scatter \[row 2\]"):
            spec().images(image)
        np.testing.assert_array_equal(spec().valid_rows(image), [True, True, False, True, True])

    @pytest.mark.parametrize("shape", [(2, 2, 64, 64), (2, 3, 64, 63), (2, 3, 32, 32), (3, 64, 64)])
    def test_wrong_shapes_are_refused(self, shape):
        with pytest.raises(DataError, match="wrong shape"):
            spec().images(np.ones(shape, dtype=np.float32))

    @pytest.mark.parametrize(
        ("column", "role"),
        [
            ("theta_e_arcsec", "truth"),
            ("arc_snr_max_r", "result"),
            ("host_id", "identity"),
            ("nonsense", "no"),
        ],
    )
    def test_only_conditions_may_be_inputs(self, column, role):
        with pytest.raises(ConfigError, match=rf"{column}.*role condition.*got {role}"):
            spec(metadata=(column,))


class TestMetadata:
    columns = ("ebv", "nexp_r")
    table = pa.table({"ebv": [0.1, 0.2, 0.3], "nexp_r": pa.array([2, 4, 9], pa.int32())})

    def fitted(self) -> PreprocessSpec:
        return spec(metadata=self.columns).fit_metadata(self.table)

    def test_training_rows_come_out_standardised(self):
        got = self.fitted().metadata(self.table)
        assert got.shape == (3, 2)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got.mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(got.std(axis=0), 1.0, atol=1e-6)

    def test_other_rows_use_the_training_scale(self):
        other = pa.table({"ebv": [0.2, 9.0], "nexp_r": [5, 5]})
        got = self.fitted().metadata(other)
        np.testing.assert_allclose(got, [[0.0, 0.0], [5.0, 0.0]], atol=1e-6)

    def test_an_unfitted_spec_is_not_used(self):
        with pytest.raises(ContractError, match="fitted"):
            spec(metadata=self.columns).metadata(self.table)

    @pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
    def test_a_missing_condition_is_an_error_naming_the_row(self, bad):
        table = pa.table({"ebv": pa.array([0.1, bad], pa.float64()), "nexp_r": [1, 2]})
        with pytest.raises(DataError, match=r"null or not finite \[field ebv, row 1\]"):
            self.fitted().metadata(table)

    def test_a_missing_column_is_an_error(self):
        with pytest.raises(DataError, match=r"missing \[field nexp_r\]"):
            self.fitted().metadata(self.table.drop(["nexp_r"]))

    def test_a_constant_column_is_an_error(self):
        table = pa.table({"ebv": [0.3, 0.3, 0.3], "nexp_r": [1, 2, 3]})
        with pytest.raises(DataError, match=r"constant .*\[field ebv\]"):
            spec(metadata=self.columns).fit_metadata(table)

    def test_no_metadata_gives_no_columns(self):
        fitted = spec(metadata=()).fit_metadata(self.table)
        assert fitted.metadata(self.table).shape == (3, 0)


def test_round_trip_and_hash():
    fitted = TestMetadata().fitted()
    assert PreprocessSpec.from_dict(fitted.to_dict()) == fitted
    assert PreprocessSpec.from_dict(fitted.to_dict()).sha256 == fitted.sha256
    changed = [
        replace(fitted, clip=9.0),
        replace(fitted, crop_px=60),
        replace(fitted, normalisation="raw_mad"),
        replace(fitted, centre="mask"),
        replace(fitted, centre_radius_px=8.0),
        replace(fitted, metadata_mean=(0.0, 0.0)),
    ]
    assert len({s.sha256 for s in [fitted, *changed]}) == len(changed) + 1


def test_a_spec_of_another_version_is_refused():
    value = spec().to_dict()
    with pytest.raises(DataError, match="version 99"):
        PreprocessSpec.from_dict({**value, "version": 99})
    value.pop("clip")
    with pytest.raises(DataError, match="clip"):
        PreprocessSpec.from_dict(value)


class TestOrder:
    """A stamp goes through once, and its steps in one order."""

    def test_normalised_images_are_not_normalised_again(self):
        once = spec(clip=1e6).images(stamps())
        with pytest.raises(DataError, match="normalised before"):
            spec().images(once)

    def test_linear_images_are_no_stamps(self):
        with pytest.raises(ContractError, match="once"):
            spec().images(spec().linear(stamps()))

    def test_stamps_are_not_finished_before_they_are_scaled(self):
        with pytest.raises(ContractError, match="linear first"):
            spec().finish(stamps(), np.zeros(5, bool))

    def test_images_of_another_scale_are_refused(self):
        other = spec(normalisation="raw_mad").linear(stamps())
        with pytest.raises(ContractError, match="another spec"):
            spec().finish(other, np.zeros(5, bool))

    def test_snr_needs_its_noise(self):
        with pytest.raises(ContractError, match="inverse variances"):
            spec(normalisation="snr").images(stamps())


def test_snr_is_each_pixel_over_its_noise():
    image = stamps()
    invvar = np.full(image.shape, 400.0, np.float32)
    invvar[:, :, 3, 4] = 0.0
    got = spec(normalisation="snr", clip=1e6).images(image, invvar)
    np.testing.assert_allclose(got, image * np.sqrt(invvar), rtol=1e-6)
    assert not got[:, :, 3, 4].any()


def test_the_residual_has_no_radial_profile_and_keeps_an_arc():
    image = stamps(2)
    axis = np.arange(64) - 31.5
    radius, angle = np.hypot(axis[:, None], axis[None, :]), np.arctan2(axis[:, None], axis[None, :])
    arc = 0.5 * np.exp(-0.5 * ((radius - 9.0) / 1.5) ** 2) * (np.abs(angle) < 0.8)
    got = spec(normalisation="residual_radial", clip=1e6).images(image + arc.astype(np.float32))
    sigma = spec(normalisation="residual_radial").statistics(image)[1]
    for low in (0, 3, 8, 20):
        ring = got[:, :, (radius >= low) & (radius < low + 1)]
        np.testing.assert_allclose(np.median(ring, axis=2), 0.0, atol=0.06)
    inside = (radius > 8) & (radius < 10) & (np.abs(angle) < 0.5)
    np.testing.assert_allclose(got[:, :, inside].mean(axis=2) * sigma, arc[inside].mean(), rtol=0.15)


def test_a_centre_treated_by_chance_is_not_treated_at_inference():
    image = stamps()
    by_chance = spec(centre="mask", centre_probability=0.5)
    np.testing.assert_array_equal(by_chance.images(image), spec().images(image))
    treated = np.array([True, False, True, False, False])
    finished = by_chance.finish(by_chance.linear(image), treated)
    np.testing.assert_array_equal(finished[treated], spec(centre="mask").images(image)[treated])
    np.testing.assert_array_equal(finished[~treated], spec().images(image)[~treated])
