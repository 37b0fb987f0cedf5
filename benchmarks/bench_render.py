"""Time the renderer against lenstronomy in one run: ratios, not microseconds, are the result.

Peers, both one ``ImageModel`` per band with 4 x 4 rays per pixel, as a user of
lenstronomy writes it: "accurate" convolves on the fine grid with the full
kernel, "native" on survey pixels. The two programs take turns; medians are
compared. Errors are against 10 x 10 rays per pixel by the oracle.

    python benchmarks/bench_render.py [--stamps 16] [--repeats 5] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.lensing.psf import moffat_kernel
from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.sie import ellipticity_from_axis_ratio
from darkhaloscope.lensing.trial import trial_scenes

SUPERSAMPLING = 4
PROMISED = {"accurate": 200.0, "native": 150.0}


def lenstronomy_image(scenes: dict[str, Any], row: int, band: int, *, accurate: bool) -> np.ndarray:
    """Render one scene in one band with lenstronomy's ImageModel, built anew."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    size, px = scenes["size_px"], scenes["pixel_scale_arcsec"]
    corner = -px * (size - 1) / 2
    data = ImageData(
        image_data=np.zeros((size, size)),
        transform_pix2angle=np.eye(2) * px,
        ra_at_xy_0=corner,
        dec_at_xy_0=corner,
    )
    factor = SUPERSAMPLING if accurate else 1
    kernel = moffat_kernel(float(scenes["psf_fwhm_arcsec"][row, band]), px / factor, subsampling=1)
    psf = PSF(
        "PIXEL",
        kernel_point_source=kernel,
        pixel_size=px,
        point_source_supersampling_factor=factor,
        kernel_point_source_normalisation=True,
    )
    numerics: dict[str, Any] = {"supersampling_factor": SUPERSAMPLING, "supersampling_convolution": accurate}
    if accurate:
        numerics |= {"supersampling_kernel_size": None, "point_source_supersampling_factor": factor}
    x, y = float(scenes["lens_x_arcsec"][row]), float(scenes["lens_y_arcsec"][row])
    e1, e2 = ellipticity_from_axis_ratio(scenes["lens_q"][row], scenes["lens_phi_rad"][row])
    template = scenes["templates"][row].astype(np.float64)
    if scenes["src_flip"][row]:
        template = template[:, ::-1]
    model = ImageModel(
        data, psf, LensModel(["SIE", "SHEAR"]), LightModel(["INTERPOL"]), kwargs_numerics=numerics
    )
    image: np.ndarray = model.image(
        [
            {
                "theta_E": scenes["theta_e_arcsec"][row],
                "e1": float(e1),
                "e2": float(e2),
                "center_x": x,
                "center_y": y,
            },
            {"gamma1": scenes["gamma1"][row], "gamma2": scenes["gamma2"][row], "ra_0": x, "dec_0": y},
        ],
        [
            {
                "image": template / scenes["template_scale_arcsec"] ** 2,
                "amp": scenes["flux_nmgy"][row, band],
                "center_x": x + scenes["src_x_arcsec"][row],
                "center_y": y + scenes["src_y_arcsec"][row],
                "phi_G": scenes["src_rotation_rad"][row],
                "scale": scenes["template_scale_arcsec"],
            }
        ],
    )
    return image


def peer(scenes: dict[str, Any], *, accurate: bool) -> np.ndarray:
    """Render every scene in every band with lenstronomy."""
    n, bands = scenes["flux_nmgy"].shape
    return np.array(
        [[lenstronomy_image(scenes, i, b, accurate=accurate) for b in range(bands)] for i in range(n)]
    )


def measure(stamps: int, repeats: int) -> dict[str, Any]:
    """Time and grade the renderer and its peers, taking turns."""
    scenes, batch = trial_scenes(stamps), trial_scenes(256)
    started = time.perf_counter()
    ours = render_lensed(**scenes).image
    first_call = time.perf_counter() - started
    images = {
        "darkhaloscope": ours,
        "accurate": peer(scenes, accurate=True),
        "native": peer(scenes, accurate=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in images}
    for _ in range(repeats):
        for name in images:
            started = time.perf_counter()
            if name == "darkhaloscope":
                render_lensed(**batch)
                seconds[name].append((time.perf_counter() - started) / 256)
            else:
                peer(scenes, accurate=name == "accurate")
                seconds[name].append((time.perf_counter() - started) / stamps)
    truth = reference_render(supersampling=10, **scenes).image
    peak = truth.max(axis=(2, 3))
    result: dict[str, Any] = {
        "stamps": stamps,
        "repeats": repeats,
        "first_call_s": first_call,
        "implementations": {},
    }
    base = statistics.median(seconds["darkhaloscope"])
    for name, image in images.items():
        error = np.abs(image - truth).max(axis=(2, 3)) / peak
        flux = np.abs(image.sum(axis=(2, 3)) / truth.sum(axis=(2, 3)) - 1)
        typical = statistics.median(seconds[name])
        result["implementations"][name] = {
            "us_per_stamp": typical * 1e6,
            "ratio": typical / base,
            "promised_ratio": PROMISED.get(name),
            "error_of_peak_median": float(np.median(error)),
            "error_of_peak_worst": float(error.max()),
            "flux_error_worst": float(flux.max()),
        }
    return result


def main() -> None:
    """Print a table and, on the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stamps", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    result = measure(arguments.stamps, arguments.repeats)
    print("one lensed source, 3 bands, 64 x 64 px, one core")
    print(
        f"{'':22}{'us/stamp':>10}{'ratio':>8}{'promise':>9}"
        f"{'median err':>12}{'worst err':>11}{'flux err':>10}"
    )
    for name, row in result["implementations"].items():
        label = name if name == "darkhaloscope" else f"lenstronomy {name}"
        promise = f">={row['promised_ratio']:.0f}" if row["promised_ratio"] else ""
        print(
            f"{label:22}{row['us_per_stamp']:10.0f}{row['ratio']:8.1f}{promise:>9}"
            f"{row['error_of_peak_median']:12.2%}{row['error_of_peak_worst']:11.2%}"
            f"{row['flux_error_worst']:10.2%}"
        )
    text = json.dumps(result, indent=None if arguments.json is None else 2)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
