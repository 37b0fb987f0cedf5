"""The truth by lenstronomy: images and magnifications of the scenes of ``oracle_scenes``.

lenstronomy's own pixel grid, deflectors, interpolation and supersampled
convolution with the whole kernel; a fresh model per source, because INTERPOL
keeps its first image. Shares no code with the package's reference renderer.
"""

import numpy as np
import oracle_scenes

SUPERSAMPLING = 10


def moffat_fine(fwhm_arcsec, step_arcsec, beta=3.5):
    """Moffat values times cell area out to 99.99 % of the flux: sums to a little less than 1."""
    a = fwhm_arcsec / (2 * np.sqrt(2 ** (1 / beta) - 1))
    half = int(np.ceil(6.3 * a / step_arcsec))
    r2 = (np.arange(-half, half + 1) * step_arcsec) ** 2
    return (beta - 1) / (np.pi * a**2) * (1 + (r2[:, None] + r2) / a**2) ** -beta * step_arcsec**2


def pixel_grid(size_px):
    from lenstronomy.Data.pixel_grid import PixelGrid

    px = oracle_scenes.PX_ARCSEC
    corner = -px * (size_px - 1) / 2
    return PixelGrid(
        nx=size_px, ny=size_px, transform_pix2angle=np.eye(2) * px, ra_at_xy_0=corner, dec_at_xy_0=corner
    )


def psf_of(fwhm_arcsec, supersampling):
    from lenstronomy.Data.psf import PSF

    return PSF(
        "PIXEL",
        kernel_point_source=moffat_fine(fwhm_arcsec, oracle_scenes.PX_ARCSEC / supersampling),
        point_source_supersampling_factor=supersampling,
        kernel_point_source_normalisation=False,
    )


def numerics_of(grid, fwhm_arcsec, supersampling):
    from lenstronomy.ImSim.Numerics.numerics import Numerics

    return Numerics(
        grid,
        psf_of(fwhm_arcsec, supersampling),
        supersampling_factor=supersampling,
        supersampling_convolution=True,
        supersampling_kernel_size=None,
        convolution_type="fft",
    )


def models(scene, flux=1.0):
    """Fresh lens and source models of lenstronomy with their arguments."""
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    q, phi = scene["lens_q"], scene["lens_phi_rad"]
    x, y = scene["lens_x_arcsec"], scene["lens_y_arcsec"]
    modulus = (1 - q) / (1 + q)
    lens = [
        {
            "theta_E": scene["theta_e_arcsec"],
            "e1": modulus * np.cos(2 * phi),
            "e2": modulus * np.sin(2 * phi),
            "center_x": x,
            "center_y": y,
        },
        {"gamma1": scene["gamma1"], "gamma2": scene["gamma2"], "ra_0": x, "dec_0": y},
    ]
    template = scene["templates"][0].astype(np.float64)
    source = [
        {
            "image": (template[:, ::-1] if scene["src_flip"] else template)
            / scene["template_scale_arcsec"] ** 2,
            "amp": flux,
            "center_x": x + scene["src_x_arcsec"],
            "center_y": y + scene["src_y_arcsec"],
            "phi_G": scene["src_rotation_rad"],
            "scale": scene["template_scale_arcsec"],
        }
    ]
    return LensModel(["SIE", "SHEAR"]), lens, LightModel(["INTERPOL"]), source


def surface_brightness(scene, x, y):
    """Lensed surface brightness of a source of unit flux at image positions of any shape; 1/arcsec^2."""
    lens, lens_kwargs, light, source_kwargs = models(scene)
    rays = lens.ray_shooting(x.ravel(), y.ravel(), lens_kwargs)
    return light.surface_brightness(*rays, source_kwargs).reshape(x.shape)


def refine(scene, x, y, brightness, step_arcsec):
    """Average over finer rays in cells near the deflector, in place.

    At a distance d inside theta_E a source of size s has an image d / theta_E s
    wide: the counter-image of a source near the caustic falls between rays.
    """
    distance = np.hypot(x - scene["lens_x_arcsec"], y - scene["lens_y_arcsec"])
    for low, high, fine in ((0.3, 1.0, 4), (0.0, 0.3, 16)):
        cells = np.flatnonzero((distance >= low) & (distance < high))
        inside = ((np.arange(fine) + 0.5) / fine - 0.5) * step_arcsec
        fine_x = x[cells, None, None] + inside
        fine_y = y[cells, None, None] + inside[:, None]
        values = surface_brightness(scene, *np.broadcast_arrays(fine_x, fine_y))
        brightness[cells] = values.mean(axis=(1, 2))


def truth(scene, *, supersampling=SUPERSAMPLING, margin_px=None, refined=True):
    """Image of a scene by lenstronomy, shape (bands, size, size); its field holds all the light."""
    size = scene["size_px"]
    margin = (12 if size < 80 else 2) if margin_px is None else margin_px
    grid = pixel_grid(size + 2 * margin)
    bands = [numerics_of(grid, float(f), supersampling) for f in scene["psf_fwhm_arcsec"][0]]
    x, y = bands[0].coordinates_evaluate
    brightness = surface_brightness(scene, x, y)
    if refined:
        refine(scene, x, y, brightness, scene["pixel_scale_arcsec"] / supersampling)
    edge = brightness.reshape((size + 2 * margin) * supersampling, -1)
    assert not edge[[0, -1]].any(), "the oracle's field is too small"
    assert not edge[:, [0, -1]].any(), "the oracle's field is too small"
    inner = slice(margin, margin + size)
    return np.array(
        [
            flux * band.re_size_convolve(brightness)[inner, inner]
            for band, flux in zip(bands, scene["flux_nmgy"][0], strict=True)
        ]
    )


def magnification(scene, *, step_arcsec=0.01, half_arcsec=6.5):
    """Flux of the image over that of the source, by rays on a fine grid that need no PSF and no stamp."""
    n = round(2 * half_arcsec / step_arcsec)
    axis = (np.arange(n) - (n - 1) / 2) * step_arcsec
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    brightness = surface_brightness(scene, x, y)
    refine(scene, x, y, brightness, step_arcsec)
    edge = brightness.reshape(n, n)
    assert not edge[[0, -1]].any(), "the oracle's field is too small"
    assert not edge[:, [0, -1]].any(), "the oracle's field is too small"
    return brightness.sum() * step_arcsec**2
