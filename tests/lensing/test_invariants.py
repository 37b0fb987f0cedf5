"""What must hold for any renderer, from closed forms and symmetries: no oracle, no second renderer."""

import itertools

import numpy as np
import oracle_scenes
import pytest
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq

from darkhaloscope.lensing.render import render_lensed, render_unlensed
from darkhaloscope.lensing.sampling import Sampling

PX = oracle_scenes.PX_ARCSEC
SAME_RAYS = Sampling(2, 4)  # the rays of other levels depend on the template
BETA = 3.5


def rng(number):
    return np.random.Generator(np.random.Philox(key=[5, number]))


def scene(number, **fixed):
    drawn = oracle_scenes.scene(rng(number), size_px=101)
    return drawn | {"psf_fwhm_arcsec": np.array([[1.1, 1.6]])} | fixed


def alone(**fixed):
    """A scene without deflector and without offsets."""
    nothing = dict.fromkeys(
        (
            "theta_e_arcsec", "gamma1", "gamma2", "lens_x_arcsec", "lens_y_arcsec",
            "src_x_arcsec", "src_y_arcsec", "src_rotation_rad", "lens_phi_rad",
        ), 0.0,
    )  # fmt: skip
    return scene(0, **nothing) | {"lens_q": 1.0, "src_flip": False} | fixed


def gaussian(sigma_arcsec, scale_arcsec=0.03, t=96):
    axis = (np.arange(t) - (t - 1) / 2) * scale_arcsec
    blob = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * sigma_arcsec**2))
    return (blob / blob.sum())[None]


def compact(fwhm, *, size=64, x=0.0, y=0.0, sigma_arcsec=0.085, flux=1.0, **more):
    """The smallest galaxy the bank admits (half-light radius 0.1 arcsec), unlensed, in float64."""
    fwhm = np.atleast_2d(fwhm)
    rendered = render_unlensed(
        gaussian(sigma_arcsec, 0.01, 97),
        template_scale_arcsec=0.01,
        size_px=size,
        pixel_scale_arcsec=PX,
        x_arcsec=x,
        y_arcsec=y,
        rotation_rad=0.0,
        flip=False,
        psf_fwhm_arcsec=fwhm,
        flux_nmgy=np.full(fwhm.shape, flux),
        **more,
    )
    return rendered.image[0].astype(np.float64)


def impulse(fwhm, **more):
    """A galaxy much smaller than a pixel: it needs finer cells than a real one."""
    return compact(fwhm, sigma_arcsec=0.02, quality=Sampling(8, 4), **more)


def moffat(radius_arcsec, fwhm_arcsec):
    a = scale_radius(fwhm_arcsec)
    return (BETA - 1) / (np.pi * a**2) * (1 + (radius_arcsec / a) ** 2) ** -BETA


def scale_radius(fwhm_arcsec):
    return fwhm_arcsec / (2 * np.sqrt(2 ** (1 / BETA) - 1))


def expected_image(fwhm_arcsec, size, x=0.0, y=0.0, sigma_arcsec=0.085):
    """Moffat blurred by a round Gaussian and averaged over pixels, of unit flux. nMgy/px."""
    fine = 8
    axis = ((np.arange(size * fine) + 0.5) / fine - size / 2) * PX
    # Gauss-Hermite nodes of the Gaussian: exact to fifth order in sigma / a.
    nodes, weights = (sigma_arcsec * np.array([-np.sqrt(3), 0, np.sqrt(3)]), (1 / 6, 2 / 3, 1 / 6))
    image = np.zeros((size * fine, size * fine))
    for dx, wx in zip(nodes, weights, strict=True):
        for dy, wy in zip(nodes, weights, strict=True):
            image += wx * wy * moffat(np.hypot(axis[:, None] - y - dy, axis - x - dx), fwhm_arcsec)
    return image.reshape(size, fine, size, fine).mean(axis=(1, 3)) * PX**2


def second_moments_px2(image):
    """(xx, yy, xy) about the centroid."""
    image = np.asarray(image, dtype=np.float64)
    x0, y0 = oracle_scenes.centroid_px(image)
    axis = np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    x, y = np.meshgrid(axis - x0, axis - y0)
    return np.array([(image * x * x).sum(), (image * y * y).sum(), (image * x * y).sum()]) / image.sum()


# ---- where light goes


PLACES = [(0.0, 0.0), (PX / 2, -PX / 2), (0.07, 0.02), (-0.19, 0.11), (2.2, -3.1)]


@pytest.mark.parametrize("size", [63, 64, 101])
@pytest.mark.parametrize("fwhm", [0.6, 1.3, 2.5])
@pytest.mark.parametrize("source", ["compact", "impulse"])
def test_light_stays_where_it_is_put(source, fwhm, size):
    """Centroid and every pixel, at any sub-pixel offset, for odd and even stamps."""
    render, sigma = (compact, 0.085) if source == "compact" else (impulse, 0.02)
    for x, y in PLACES:
        image, expected = render(fwhm, size=size, x=x, y=y)[0], expected_image(fwhm, size, x, y, sigma)
        assert np.hypot(*(oracle_scenes.centroid_px(image) - oracle_scenes.centroid_px(expected))) < 0.01
        assert np.abs(image - expected).max() < 2e-3 * expected.max()
        assert image.sum() == pytest.approx(expected.sum(), abs=2e-4)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_deflector_of_no_mass_moves_nothing(quarter_turns):
    """Unlensed by either function: the same place, the same template orientation."""
    turned = alone(src_rotation_rad=quarter_turns * np.pi / 2, lens_x_arcsec=0.11, lens_y_arcsec=-0.07)
    turned |= {"src_x_arcsec": 0.9, "src_y_arcsec": -0.4, "src_flip": True, "hlr_arcsec": 0.4}
    del turned["hlr_arcsec"]
    names = ("template_scale_arcsec", "size_px", "pixel_scale_arcsec", "psf_fwhm_arcsec", "flux_nmgy")
    plain = render_unlensed(
        turned["templates"],
        x_arcsec=0.11 + 0.9,
        y_arcsec=-0.07 - 0.4,
        rotation_rad=turned["src_rotation_rad"],
        flip=True,
        **{name: turned[name] for name in names},
    )
    lensed = render_lensed(**turned)
    np.testing.assert_allclose(lensed.image, plain.image, atol=5e-3 * plain.image.max())
    assert lensed.magnification[0] == pytest.approx(1.0, abs=5e-3)


# ---- the PSF


@pytest.mark.parametrize("fwhm", [0.6, 0.8, 1.3, 2.5])
def test_impulse_response_has_the_requested_width(fwhm):
    """A well-sampled profile from shifted impulses: its half-maximum is that of PSF and pixel together."""
    shifts = (np.arange(8) + 0.5) / 8 * PX
    sampled = []
    for shift in shifts:
        image = impulse(fwhm, size=65, x=shift, y=0.0)[0]
        sampled += list(zip(np.arange(-32, 33) * PX - shift, image[32], strict=True))
    offset, value = np.array(sorted(sampled)).T
    peak = impulse(fwhm, size=65)[0, 32, 32]
    right = offset > 0
    found = 2 * brentq(lambda r: np.interp(r, offset[right], value[right]) - peak / 2, 0.05, 4.0)

    # Along the row the pixel averages in both directions.
    sub = ((np.arange(64) + 0.5) / 64 - 0.5) * PX

    def through_pixel(r):
        return moffat(np.hypot(r + sub[:, None], sub), fwhm).mean()

    half = through_pixel(0.0) / 2
    expected = 2 * brentq(lambda r: through_pixel(r) - half, 0.05, 4.0)
    assert found == pytest.approx(expected, rel=0.01)
    assert expected > fwhm * (1.01 if fwhm < 1.0 else 1.0)  # a renderer without the pixel is noticed at 0.6


@pytest.mark.parametrize("fwhm", [0.6, 1.3, 2.5])
def test_wings_are_the_profiles_to_the_edge_of_a_large_stamp(fwhm):
    image, seen = compact(fwhm, size=101)[0], expected_image(fwhm, 101)
    axis = (np.arange(101) - 50) * PX
    radius = np.hypot(axis[:, None], axis)
    for low, high in itertools.pairwise((2.0, 4.0, 6.0, 9.0, 12.5)):
        ring = (radius >= low) & (radius < high)
        expected = seen[ring].sum()
        # Aliases of the far wings carry a hundred-thousandth of the flux.
        assert image[ring].sum() == pytest.approx(expected, rel=0.02, abs=1e-5)


def test_seeing_adds_its_second_moment_to_every_image_alike():
    """Blur comes after the deflector: two seeings differ by (a2^2 - a1^2) / (beta - 2) / 2 per axis."""
    for number in range(3):
        fwhm = np.array([[0.7, 1.4]])
        images = render_lensed(**scene(number, psf_fwhm_arcsec=fwhm, size_px=151)).image[0]
        sharp, blurred = (second_moments_px2(image) for image in images)
        # Beyond the stamp lies 0.1 % of the second moment.
        expected = np.diff(scale_radius(fwhm[0]) ** 2)[0] / (BETA - 2) / 2 / PX**2
        np.testing.assert_allclose(blurred - sharp, [expected, expected, 0.0], atol=0.015 * expected)


def test_each_band_has_its_own_seeing_and_flux():
    fwhm = np.array([[0.7, 2.2, 1.2, 0.9]])
    together = impulse(fwhm, flux=2.0)
    for band, value in enumerate(fwhm[0]):
        np.testing.assert_allclose(together[band], 2.0 * impulse(value)[0], atol=2e-4 * together[band].max())
    peaks = together.max(axis=(1, 2))
    assert np.argsort(peaks).tolist() == np.argsort(-fwhm[0]).tolist()


# ---- flux


def test_image_is_linear_in_the_source():
    """Light of two galaxies together is the sum of their images, the same rays given."""
    first, second = (oracle_scenes.galaxy(rng(k), 0.3 + 0.2 * k) for k in (1, 2))
    one = scene(3, templates=first[None], flux_nmgy=np.array([[1.0, 2.0]]))
    two = one | {"templates": second[None], "flux_nmgy": np.array([[3.0, 1.0]])}
    expected = render_lensed(**one, quality=SAME_RAYS).image + render_lensed(**two, quality=SAME_RAYS).image
    for band, (a, b) in enumerate([(1.0, 3.0), (2.0, 1.0)]):
        both = one | {"templates": (a * first + b * second)[None] / (a + b)}
        found = render_lensed(**(both | {"flux_nmgy": np.full((1, 2), a + b)}), quality=SAME_RAYS).image
        np.testing.assert_allclose(found[:, band], expected[:, band], atol=3e-6 * expected.max())


@pytest.mark.parametrize("factor", [1e-6, 0.37, 1e5])
def test_image_is_proportional_to_the_flux(factor):
    base = scene(4)
    once = render_lensed(**base)
    times = render_lensed(**(base | {"flux_nmgy": base["flux_nmgy"] * factor}))
    np.testing.assert_allclose(times.image, once.image * factor, atol=1e-6 * factor * once.image.max())
    assert times.magnification[0] == once.magnification[0]


def test_noise_below_zero_in_a_template_is_rendered_as_it_is():
    """Nothing is clipped: a template with negative pixels is a difference of two galaxies."""
    base = scene(5, hlr_arcsec=0.3)
    del base["hlr_arcsec"]
    template = base["templates"][0].astype(np.float64)
    noise = rng(6).normal(size=template.shape) * 0.05 * template.max() * (template > 0)
    noise -= noise.sum() / (template > 0).sum() * (template > 0)
    plus, minus = (
        render_lensed(**(base | {"templates": (template + s * noise)[None]}), quality=SAME_RAYS)
        for s in (1, -1)
    )
    middle = render_lensed(**base, quality=SAME_RAYS)
    np.testing.assert_allclose((plus.image + minus.image) / 2, middle.image, atol=5e-6 * middle.image.max())


@pytest.mark.parametrize(("small", "large", "corner"), [(63, 101, 19), (64, 100, 18), (31, 64 + 37, 35)])
def test_image_does_not_depend_on_the_size_of_the_stamp(small, large, corner):
    inner = slice(corner, corner + small)
    for number in range(3):
        big = render_lensed(**scene(number, size_px=large)).image[0, :, inner, inner]
        cut = render_lensed(**scene(number, size_px=small)).image[0]
        np.testing.assert_allclose(cut, big, atol=2e-4 * big.max())


# ---- the deflector


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.7, 1.0, 1.4])
@pytest.mark.parametrize("sigma", [0.15, 0.3])
def test_magnification_of_the_round_lens_over_an_extended_source(sigma, offset):
    """mu(beta) = 2 theta_E / beta inside theta_E and 1 + theta_E / beta outside, averaged over the source."""
    theta_e = 1.3
    template = gaussian(sigma)[0]
    # Polar about the deflector: beta d(beta) cancels the pole of mu.
    radius = (np.arange(3000) + 0.5) / 1000.0
    angle = (np.arange(720) + 0.5) * np.pi / 360
    right = radius[:, None] * np.cos(angle) - offset * theta_e
    up = radius[:, None] * np.sin(angle)
    light = map_coordinates(template, [up / 0.03 + 47.5, right / 0.03 + 47.5], order=1, cval=0.0)
    light *= radius[:, None]
    mu = np.where(radius < theta_e, 2 * theta_e / radius, 1 + theta_e / radius)
    expected = (light * mu[:, None]).sum() / light.sum()
    lens = alone(
        theta_e_arcsec=theta_e, src_x_arcsec=offset * theta_e * 0.6, src_y_arcsec=offset * theta_e * 0.8
    )
    rendered = render_lensed(**(lens | {"templates": template[None]}))
    assert rendered.magnification[0] == pytest.approx(expected, rel=5e-3)
    # PSF wings beyond 13 arcsec are 0.1 % of the light.
    ratio = rendered.image.sum(axis=(2, 3))[0] / lens["flux_nmgy"][0]
    np.testing.assert_allclose(ratio, expected, rtol=7e-3)


@pytest.mark.parametrize("theta_e", [0.8, 1.5, 2.6])
def test_ring_has_the_einstein_radius(theta_e):
    """Images of beta lie at theta_E -+ beta: <r^2> = theta_E^2 + 3 <beta^2> along a cut, and the PSF's."""
    sigma, fwhm = 0.1, 0.7
    lens = alone(theta_e_arcsec=theta_e, templates=gaussian(sigma), psf_fwhm_arcsec=np.full((1, 2), fwhm))
    image = render_lensed(**(lens | {"size_px": 201})).image[0, 0]
    xx, yy, _ = second_moments_px2(image) * PX**2
    psf = scale_radius(fwhm) ** 2 / (BETA - 2) + PX**2 / 6
    found = np.sqrt(xx + yy - psf - 3 * sigma**2)
    assert found == pytest.approx(theta_e, rel=3e-3)
    assert xx == pytest.approx(yy, rel=1e-3)


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_einstein_radius_is_that_of_the_intermediate_axis(q):
    """Images of a source behind an SIE: b atan(f / q) / f along the major axis, b atanh(f) / f across it.

    f = sqrt(1 - q^2) and b = theta_E sqrt(q) (Kormann, Schneider & Bartelmann 1994, eq. 27).
    """
    theta_e = 1.8
    f, b = np.sqrt(1 - q**2), theta_e * np.sqrt(q)
    major, minor = b / f * np.arctan(f / q), b / f * np.arctanh(f)
    for turns in (0, 1):
        lens = alone(theta_e_arcsec=theta_e, lens_q=q, lens_phi_rad=turns * np.pi / 2, size_px=101)
        lens |= {"templates": gaussian(0.06, 0.01), "template_scale_arcsec": 0.01}
        image = render_lensed(**(lens | {"psf_fwhm_arcsec": np.full((1, 2), 0.6)})).image[0, 0]
        image = image if turns == 0 else image.T
        for cut, expected in ((image[50], major), (image[:, 50], minor)):
            right = cut[50:]
            top = int(np.argmax(right))
            below, at, above = right[top - 1 : top + 2].astype(np.float64)
            peak = top + 0.5 * (below - above) / (below - 2 * at + above)
            assert peak * PX == pytest.approx(expected, abs=0.25 * PX)


def test_round_limit_is_continuous():
    """No division by 1 - q^2: the image moves in proportion to 1 - q all the way down to rounding."""
    base = scene(7, lens_q=1.0)
    exact = render_lensed(**base)
    change = {}
    for step in (1e-2, 1e-3, 1e-4, 1e-7):
        near = render_lensed(**(base | {"lens_q": 1.0 - step}))
        change[step] = np.abs(near.image - exact.image).max() / exact.image.max()
        assert near.magnification[0] == pytest.approx(exact.magnification[0], rel=2 * step + 1e-3)
    assert 5.0 < change[1e-2] / change[1e-3] < 20.0
    assert change[1e-4] < 2e-3
    assert change[1e-7] < 1e-5


@pytest.mark.parametrize(("gamma1", "gamma2"), [(0.2, 0.0), (0.0, -0.15), (-0.12, 0.1)])
def test_shear_alone_is_a_linear_map_about_the_deflector(gamma1, gamma2):
    sigma, fwhm = 0.3, 1.0
    lens = alone(gamma1=gamma1, gamma2=gamma2, lens_x_arcsec=0.21, lens_y_arcsec=-0.34)
    lens |= {"src_x_arcsec": 0.5, "src_y_arcsec": 0.8, "templates": gaussian(sigma), "size_px": 201}
    rendered = render_lensed(**(lens | {"psf_fwhm_arcsec": np.full((1, 2), fwhm)}))
    image_of_source = np.linalg.inv([[1 - gamma1, -gamma2], [-gamma2, 1 + gamma1]])
    assert rendered.magnification[0] == pytest.approx(np.linalg.det(image_of_source), rel=2e-3)
    image = rendered.image[0, 0]
    expected = (np.array([0.21, -0.34]) + image_of_source @ [0.5, 0.8]) / PX
    np.testing.assert_allclose(oracle_scenes.centroid_px(image), expected, atol=0.01)
    interpolation = 0.03**2 / 6
    moments = (sigma**2 + interpolation) * image_of_source @ image_of_source.T
    moments += (scale_radius(fwhm) ** 2 / (BETA - 2) / 2 + PX**2 / 12) * np.eye(2)
    xx, yy, xy = second_moments_px2(image) * PX**2
    np.testing.assert_allclose([[xx, xy], [xy, yy]], moments, atol=0.01 * moments.max())


def test_mirrored_sky_is_the_mirrored_image():
    """Parity: x -> -x in every parameter. Rays of one are the mirrored rays of the other."""
    for number, size in ((1, 63), (2, 64), (8, 101)):
        base = scene(number, size_px=size)
        mirrored = base | {
            "lens_phi_rad": np.pi - base["lens_phi_rad"],
            "gamma2": -base["gamma2"],
            "lens_x_arcsec": -base["lens_x_arcsec"],
            "src_x_arcsec": -base["src_x_arcsec"],
            "src_rotation_rad": -base["src_rotation_rad"],
            "src_flip": not base["src_flip"],
        }
        image, found = render_lensed(**base), render_lensed(**mirrored)
        np.testing.assert_allclose(
            found.image[..., ::-1], image.image, atol=3e-5 * image.image.max(), err_msg=f"{number}"
        )
        assert found.magnification[0] == pytest.approx(image.magnification[0], rel=1e-5)


def test_only_twice_the_position_angle_matters():
    base = scene(9)
    again = render_lensed(**(base | {"lens_phi_rad": base["lens_phi_rad"] - np.pi})).image
    np.testing.assert_allclose(again, render_lensed(**base).image, atol=2e-5 * again.max())
    quarter = render_lensed(**(base | {"lens_phi_rad": base["lens_phi_rad"] + np.pi / 2})).image
    assert np.abs(quarter - again).max() > 0.05 * again.max()


def test_scale_of_the_sky_is_arbitrary():
    """All lengths, pixels and template twice as large: the same image."""
    base = scene(10, size_px=64)
    lengths = [name for name in base if name.endswith("_arcsec")]
    double = base | {name: base[name] * 2 for name in lengths}
    found, expected = render_lensed(**double), render_lensed(**base)
    np.testing.assert_allclose(found.image, expected.image, atol=2e-6 * expected.image.max())
    assert found.magnification[0] == pytest.approx(expected.magnification[0], rel=1e-6)
