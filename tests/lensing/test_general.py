"""Any mass and any PSF: against the fast renderer, lenstronomy, and closed forms."""

import numpy as np
import pytest

from darkhaloscope.errors import ContractError, DataError
from darkhaloscope.lensing import psf, sie
from darkhaloscope.lensing.general import render_general
from darkhaloscope.lensing.mass import Composite, PointMass, PowerLaw, Shear, Sie
from darkhaloscope.lensing.psf_models import GaussianPsf, MeasuredPsf, MoffatPsf
from darkhaloscope.lensing.render import render_lensed, render_unlensed
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.trial import hard_scenes, trial_scenes

PX = 0.262
SHARED = (
    "templates",
    "template_scale_arcsec",
    "size_px",
    "pixel_scale_arcsec",
    "src_rotation_rad",
    "src_flip",
)


def generally(scenes, mass=None):
    """Arguments of the general renderer for the scenes of the fast one."""

    def composite(row):
        place = {"x_arcsec": row["lens_x_arcsec"], "y_arcsec": row["lens_y_arcsec"]}
        ellipse = (row["theta_e_arcsec"], row["lens_q"], row["lens_phi_rad"])
        main = Sie(*ellipse, **place) if mass is None else mass(*ellipse, **place)
        return Composite((main, Shear(row["gamma1"], row["gamma2"], **place)))

    names = [name for name, value in scenes.items() if np.ndim(value) == 1]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(scenes[n] for n in names), strict=True)]
    return {name: scenes[name] for name in SHARED} | {
        "masses": [composite(row) for row in rows],
        "psfs": [[MoffatPsf(fwhm) for fwhm in row] for row in scenes["psf_fwhm_arcsec"]],
        "src_x_arcsec": scenes["lens_x_arcsec"] + scenes["src_x_arcsec"],
        "src_y_arcsec": scenes["lens_y_arcsec"] + scenes["src_y_arcsec"],
        "flux_nmgy": scenes["flux_nmgy"],
    }


def worst(found, expected):
    """Largest pixel difference over the peak, per scene and band."""
    return np.abs(found - expected).max(axis=(2, 3)) / expected.max(axis=(2, 3))


def dot(size_px, x=0.0, y=0.0, **changes):
    """A source much smaller than a pixel, unlensed."""
    axis = np.arange(25) - 12
    image = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2 / 2.5**2)
    return {
        "templates": (image / image.sum())[None],
        "masses": [Composite(())],
        "psfs": [[MoffatPsf(1.2)]],
        "template_scale_arcsec": 0.03,
        "size_px": size_px,
        "pixel_scale_arcsec": PX,
        "src_x_arcsec": x,
        "src_y_arcsec": y,
        "src_rotation_rad": 0.0,
        "src_flip": False,
        "flux_nmgy": [[1.0]],
        "sampling": Sampling(2, 8),
    } | changes


def centroid_px(image):
    axis = np.arange(len(image)) - (len(image) - 1) / 2
    return np.array([image.sum(axis=0) @ axis, image.sum(axis=1) @ axis]) / image.sum()


@pytest.mark.parametrize("size_px", [64, 101])
@pytest.mark.parametrize("make", [trial_scenes, hard_scenes])
def test_sie_and_moffat_are_the_fast_renderers(make, size_px):
    scenes = make(4, size_px=size_px)
    for sampling in (Sampling(2, 1), Sampling(2, 2)):
        found = render_general(**generally(scenes), sampling=sampling)
        expected = render_lensed(**scenes, quality=sampling)
        assert worst(found.image, expected.image).max() < 3e-4
        np.testing.assert_allclose(found.magnification, expected.magnification, rtol=1e-6)


def test_nothing_in_the_way_is_the_fast_renderer_unlensed():
    scenes = dot(48, 1.3, -0.4)
    found = render_general(**scenes)
    expected = render_unlensed(
        scenes["templates"],
        template_scale_arcsec=0.03,
        size_px=48,
        pixel_scale_arcsec=PX,
        x_arcsec=1.3,
        y_arcsec=-0.4,
        rotation_rad=0.0,
        flip=False,
        psf_fwhm_arcsec=[[1.2]],
        flux_nmgy=[[1.0]],
        quality=Sampling(2, 8),
    ).image
    # That one scales the sampled flux to the source's.
    assert found.magnification[0] == pytest.approx(1.0, abs=2e-3)
    assert worst(found.image / found.magnification[0], expected).max() < 1e-3


# scipy.fft inside lenstronomy 1.13 with numpy 2
@pytest.mark.filterwarnings("ignore:`axes` should not be:DeprecationWarning")
@pytest.mark.parametrize(("size_px", "fine"), [(48, 5), (49, 3)])
def test_power_law_and_measured_psf_are_lenstronomys(size_px, fine):
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    s = trial_scenes(1, seed=4, size_px=size_px, fwhm_arcsec=(1.1,)) | {"src_flip": np.array([False])}
    s["theta_e_arcsec"] = np.array([1.1])
    row = {name: value[0] for name, value in s.items() if np.ndim(value) == 1}
    x, y = row["lens_x_arcsec"], row["lens_y_arcsec"]
    # A PSF without any symmetry; lenstronomy centres it on its middle pixel, we on its centroid.
    axis = np.arange(161) - 80
    kernel = sum(
        weight
        * psf.moffat_profile(np.hypot(axis[None] - dx * fine, axis[:, None] - dy * fine) * PX / fine, w)
        for weight, dx, dy, w in ((1.0, -0.47, -0.76, 0.9), (0.4, 2.0, 0.7, 1.2), (0.3, -1.1, 1.6, 1.0))
    )
    kernel /= kernel.sum()
    model = ImageModel(
        ImageData(
            image_data=np.zeros((size_px, size_px)),
            transform_pix2angle=np.eye(2) * PX,
            ra_at_xy_0=-PX * (size_px - 1) / 2,
            dec_at_xy_0=-PX * (size_px - 1) / 2,
        ),
        PSF("PIXEL", kernel_point_source=kernel, point_source_supersampling_factor=fine),
        LensModel(["EPL", "SHEAR", "POINT_MASS"]),
        LightModel(["INTERPOL"]),
        kwargs_numerics={
            "supersampling_factor": fine,
            "supersampling_convolution": True,
            "supersampling_kernel_size": None,
        },
    )
    e1, e2 = sie.ellipticity_from_axis_ratio(row["lens_q"], row["lens_phi_rad"])
    expected = model.image(
        [
            {"theta_E": 1.1, "gamma": 2.3, "e1": e1, "e2": e2, "center_x": x, "center_y": y},
            {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": x, "dec_0": y},
            {"theta_E": 0.2, "center_x": 1.1, "center_y": 0.3},
        ],
        [
            {
                "image": s["templates"][0].astype(float) / s["template_scale_arcsec"] ** 2,
                "amp": s["flux_nmgy"][0, 0],
                "center_x": x + row["src_x_arcsec"],
                "center_y": y + row["src_y_arcsec"],
                "phi_G": row["src_rotation_rad"],
                "scale": s["template_scale_arcsec"],
            }
        ],
    )
    arguments = generally(s, lambda *ellipse, **place: PowerLaw(*ellipse, slope=2.3, **place))
    arguments["masses"] = [Composite((arguments["masses"][0], PointMass(0.2, 1.1, 0.3)))]
    arguments["psfs"] = [[MeasuredPsf.of(kernel, PX / fine, holds_pixel=False)]]
    found = render_general(**arguments, sampling=Sampling(fine, 1)).image[0, 0]
    assert np.abs(found - expected).max() / expected.max() < 1e-3
    assert np.abs(found - expected[::-1, ::-1]).max() / expected.max() > 0.1  # no accident of symmetry


@pytest.mark.parametrize("size_px", [64, 65])
@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.5, 0.5), (-0.3, 0.45)])
@pytest.mark.parametrize("n", [60, 61])
def test_measured_psf_does_not_move_light(size_px, n, dx, dy):
    axis = np.arange(n) - (n - 1) / 2
    image = psf.moffat_profile(np.hypot(axis[None, :] - dx, axis[:, None] - dy) * PX, 1.2)
    for star in (MeasuredPsf.of(image, PX, holds_pixel=True), MoffatPsf(1.2, 4.765), GaussianPsf(1.0)):
        found = render_general(**dot(size_px, 0.4, -0.7, psfs=[[star]])).image[0, 0]
        assert np.hypot(*(centroid_px(found) - np.array([0.4, -0.7]) / PX)) < 0.01


@pytest.mark.parametrize("scale_px", [1.0, 0.5, 0.4])
def test_measured_moffat_is_the_moffat_at_any_scale_of_its_own(scale_px):
    scenes = dot(40, 0.3, 0.1)
    scale = scale_px * PX
    axis = (np.arange(141) - 70) * scale
    star = psf.moffat_profile(np.hypot(axis[None, :], axis[:, None]), 1.2)
    found, expected = (
        render_general(**scenes | {"psfs": [[model]]}).image
        for model in (MeasuredPsf.of(star, scale, holds_pixel=False), MoffatPsf(1.2))
    )
    assert worst(found, expected).max() < 2e-3


def test_psf_that_holds_the_pixel_is_not_blurred_by_it_again():
    """A star on survey pixels, given as the PSF, comes out as itself."""
    star = render_general(**dot(61)).image[0, 0].astype(float)
    again = {"psfs": [[MeasuredPsf.of(star, PX, holds_pixel=True)]]}
    found = render_general(**dot(61, **again)).image[0, 0]
    dot_rms_px = 2.5 * 0.03 / PX
    peak = found.max() / star.max()
    assert 1.0 - 2.0 * dot_rms_px**2 < peak < 1.0  # the dot's own size, once more
    blurred = {"psfs": [[MeasuredPsf.of(star, PX, holds_pixel=False)]]}
    assert render_general(**dot(61, **blurred)).image.max() < 0.99 * found.max()


def test_flux_is_kept_and_magnification_is_the_round_lens_closed_form():
    """A source at beta behind an SIS has two images, mu = theta_E / beta +- 1; its size adds a little."""
    beta, theta_e, sigma = 0.8, 1.2, 2.5 * 0.03
    found = render_general(**dot(64, beta, masses=[Sie(theta_e)], flux_nmgy=[[2.0]]))
    assert found.magnification[0] == pytest.approx(
        2 * theta_e / beta * (1 + (sigma / beta) ** 2 / 2), rel=1e-3
    )
    # 64 px hold all but 0.05 % of the light of a 1.2 arcsec Moffat.
    assert found.image.sum() == pytest.approx(2.0 * found.magnification[0], rel=1e-3)


def test_light_at_the_edge_of_a_template_falls_to_zero_over_one_of_its_pixels():
    """Then bilinear interpolation keeps the flux of a template that is cut off."""
    cut_off = dot(64, templates=np.full((1, 5, 5), 1 / 25), template_scale_arcsec=0.2)
    assert render_general(**cut_off).magnification[0] == pytest.approx(1.0, abs=1e-3)


def test_subhalo_changes_the_image_where_it_is():
    main = Composite((PowerLaw(1.2, 0.8, 0.3), Shear(0.03, 0.02)))
    without, found = (
        render_general(**dot(64, 0.1, 0.05, masses=[mass])).image[0, 0]
        for mass in (main, Composite((main, PointMass(0.1, 1.25, 0.0))))
    )
    y, x = np.unravel_index(np.abs(found - without).argmax(), found.shape)
    assert np.hypot((x - 31.5) * PX - 1.25, (y - 31.5) * PX) < 0.8
    assert np.abs(found - without).max() > 0.05 * without.max()


def test_light_far_outside_the_stamp_counts_and_none_wraps():
    scenes = dot(21, masses=[Sie(4.0)], psfs=[[MoffatPsf(2.0, 2.5)]])
    found = render_general(**scenes)
    whole = render_general(**scenes | {"size_px": 121})
    assert found.magnification[0] == whole.magnification[0]
    np.testing.assert_allclose(
        found.image[0, 0], whole.image[0, 0, 50:71, 50:71], atol=2e-3 * whole.image.max()
    )


def test_too_large_an_image_and_bad_arguments_are_named():
    with pytest.raises(DataError, match="too large"):
        render_general(**dot(32, masses=[Sie(70.0)]))
    with pytest.raises(DataError, match="src_x_arcsec"):
        render_general(**dot(32, np.nan))
    with pytest.raises(DataError, match="flux_nmgy"):
        render_general(**dot(32, flux_nmgy=[[np.inf]]))
    with pytest.raises(ContractError, match="masses"):
        render_general(**dot(32, masses=[]))
    with pytest.raises(ContractError, match="psfs"):
        render_general(**dot(32, flux_nmgy=[[1.0, 1.0]]))
    with pytest.raises(DataError, match="sum of 1"):
        render_general(**dot(32, templates=np.ones((1, 5, 5))))
