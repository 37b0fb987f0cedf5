"""Scenes of every kind for the oracles, and how far an image is from the truth.

Scenes are keyword arguments of ``render_lensed`` for one source. Galaxies and
parameters are drawn here and nowhere in the package, so that a fault in the
package's own trial scenes cannot hide itself. Oracles are beside their tests.
"""

import numpy as np

PX_ARCSEC = 0.262
TEMPLATE_SCALE_ARCSEC = 0.03
TEMPLATE_PX = 96

WORST_PIXEL, MEDIAN_PIXEL, FLUX, CENTROID_PX = 5e-3, 1.2e-3, 5e-3, 0.02
"""Error budget of the default quality: of the peak, of the peak, of the flux, in survey pixels."""


def galaxy(rng, hlr_arcsec, *, index=1.0, n_clumps=4):
    """Draw a galaxy with star-forming knots as HST sees it; it sums to 1 and ends inside its box."""
    axis = (np.arange(TEMPLATE_PX) - (TEMPLATE_PX - 1) / 2) * TEMPLATE_SCALE_ARCSEC
    x, y = np.meshgrid(axis, axis)
    q, angle = rng.uniform(0.4, 1.0), rng.uniform(0.0, np.pi)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    # A core of the width of the HST PSF stands in for the blur of a cusp.
    radius = np.sqrt(q * along**2 + across**2 / q + 0.047**2) / hlr_arcsec
    image = np.exp(-(2 * index - 1 / 3) * (radius ** (1 / index) - 1))
    for _ in range(n_clumps):
        at_x, at_y = rng.normal(0.0, 0.7 * hlr_arcsec, 2)
        width = rng.uniform(0.047, 0.1)
        image += (
            rng.uniform(0.05, 0.4)
            * image.max()
            * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * width**2))
        )
    image *= np.clip((1.40 - np.hypot(x, y)) / 0.1, 0.0, 1.0)
    return (image / image.sum()).astype(np.float32)


def scene(rng, **fixed):
    """Draw one scene; ``fixed`` overrides what is drawn."""
    theta_e = fixed.get("theta_e_arcsec", rng.uniform(0.5, 2.8))
    gamma, gamma_angle = rng.uniform(0.0, 0.12), rng.uniform(0.0, np.pi)
    offset, azimuth = theta_e * rng.uniform(0.0, 1.1), rng.uniform(0.0, 2 * np.pi)
    hlr = fixed.pop("hlr_arcsec", np.exp(rng.uniform(np.log(0.1), np.log(0.8))))
    drawn = {
        "theta_e_arcsec": theta_e,
        "lens_q": rng.uniform(0.2, 1.0),
        "lens_phi_rad": rng.uniform(0.0, np.pi),
        "gamma1": gamma * np.cos(2 * gamma_angle),
        "gamma2": gamma * np.sin(2 * gamma_angle),
        "lens_x_arcsec": rng.uniform(-0.25, 0.25),
        "lens_y_arcsec": rng.uniform(-0.25, 0.25),
        "src_x_arcsec": offset * np.cos(azimuth),
        "src_y_arcsec": offset * np.sin(azimuth),
        "src_rotation_rad": rng.uniform(-np.pi, np.pi),
        "src_flip": bool(rng.uniform() < 0.5),
        "psf_fwhm_arcsec": np.exp(rng.uniform(np.log(0.6), np.log(2.5), (1, 2))),
        "flux_nmgy": rng.uniform(0.2, 3.0, (1, 2)),
        "templates": galaxy(rng, hlr, index=rng.choice([0.7, 1.0, 2.0]), n_clumps=rng.integers(0, 8))[None],
        "size_px": int(rng.choice([63, 64, 101])),
    }
    return drawn | fixed | {"template_scale_arcsec": TEMPLATE_SCALE_ARCSEC, "pixel_scale_arcsec": PX_ARCSEC}


def sweep(n, seed=11):
    """Draw n scenes, scene i the same whatever n is; the first ones visit the corners."""
    corners = [
        {"lens_q": 0.2, "theta_e_arcsec": 2.5, "size_px": 64},
        {"lens_q": 1.0, "gamma1": 0.0, "gamma2": 0.0, "size_px": 63},
        {"hlr_arcsec": 0.1, "psf_fwhm_arcsec": np.array([[0.6, 2.5]]), "size_px": 101},
        {"hlr_arcsec": 0.8, "psf_fwhm_arcsec": np.array([[2.5, 0.6]]), "size_px": 64},
        {"theta_e_arcsec": 0.5, "psf_fwhm_arcsec": np.array([[0.6, 1.3]]), "size_px": 63},
        {"src_x_arcsec": 0.0, "src_y_arcsec": 0.0, "size_px": 101, "theta_e_arcsec": 2.8},
    ]
    return [
        scene(
            np.random.Generator(np.random.Philox(key=[seed, i])),
            **(corners[i] if i < len(corners) else {}),
        )
        for i in range(n)
    ]


def centroid_px(image):
    """Flux-weighted (x, y) of an image, in pixels from its centre."""
    image = np.asarray(image, dtype=np.float64)
    axis = np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    return np.array([image.sum(axis=0) @ axis, image.sum(axis=1) @ axis]) / image.sum()


def errors(image, truth):
    """Worst pixel over peak, flux error, centroid distance (px); each of shape (bands,)."""
    image = np.asarray(image, dtype=np.float64)
    worst = np.abs(image - truth).max(axis=(1, 2)) / truth.max(axis=(1, 2))
    flux = np.abs(image.sum(axis=(1, 2)) / truth.sum(axis=(1, 2)) - 1)
    distance = [np.hypot(*(centroid_px(a) - centroid_px(b))) for a, b in zip(image, truth, strict=True)]
    return worst, flux, np.array(distance)


def describe(number, scene_, measured):
    """One line that lets a reader make the scene again."""
    shown = {
        name: np.round(value, 4).tolist() if isinstance(value, np.ndarray) else value
        for name, value in scene_.items()
        if name != "templates"
    }
    return f"scene {number}: " + ", ".join(f"{float(m):.2e}" for m in measured) + f" {shown}"


def check(scenes, images, truths):
    """Assert the whole budget over scenes and bands."""
    assert len(scenes) == len(images) == len(truths) > 0
    measured = [errors(image, truth) for image, truth in zip(images, truths, strict=True)]
    worst, flux, centroid = (np.array([m[k].max() for m in measured]) for k in range(3))
    report = "\n".join(
        describe(i, scenes[i], (worst[i], flux[i], centroid[i]))
        for i in np.flatnonzero((worst > WORST_PIXEL) | (flux > FLUX) | (centroid > CENTROID_PX))
    )
    every = np.concatenate([m[0] for m in measured])
    summary = (
        f"worst pixel {worst.max():.2e} (median {np.median(every):.2e}), flux {flux.max():.2e}, "
        f"centroid {centroid.max():.4f} px\n"
    )
    assert not report, summary + report
    assert np.median(every) <= MEDIAN_PIXEL, summary
