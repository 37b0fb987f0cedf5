"""Time the renderer against its peers in one run, with the error of each beside its speed.

Ratios, not microseconds, are the result. Speed is of the trial scenes (3 bands,
64 x 64 px), programs taking turns on one thread, CPU time, medians. Errors are of
the hard scenes (theta_E to 3.5 arcsec, q from 0.2, shear to 0.2, seeing 0.6 to
2.5 arcsec) against 20 x 20 rays per pixel by lenstronomy.

    python benchmarks/bench_render.py [--stamps 12] [--repeats 3] [--figure PNG] [--json PATH]
"""

from __future__ import annotations

import os

os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from render_peers import PEERS, Array, Scenes, truth

from darkhaloscope.lensing import convolution_kernels, kernels, render
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.sampling import QUALITIES, Sampling
from darkhaloscope.lensing.trial import hard_scenes, trial_scenes

DEFAULT = "darkhaloscope standard"
PROMISED = {"lenstronomy accurate": 200.0, "lenstronomy native": 150.0}
BUDGET = {
    "error_of_peak_median": 0.0012,
    "error_of_peak_worst": 0.005,
    "flux_error_worst": 0.005,
    "centroid_error_worst_px": 0.02,
}
BATCH = 256
SWEEP = ((63, 400, 11), (64, 2000, 12), (101, 400, 13))  # stamp size, scenes, seed
PARTS = {
    "template checks and extents": [(kernels, "measure_templates"), (render, "scene_constants")],
    "rays": [(kernels, "shoot_rays")],
    "forward products": [(render, "_project")],
    "transfer weights": [(convolution_kernels, "apply_transfer")],
    "inverse products": [(render, "_evaluate"), (convolution_kernels, "unfold")],
}


def ours(quality: str) -> Callable[[Scenes], Array]:
    """Return a renderer at a quality level."""
    return lambda scenes: render_lensed(**scenes, quality=quality).image


def errors(image: Array, expected: Array) -> dict[str, float]:
    """Compare images with the truth.

    Returns
    -------
    dict
        Largest difference over the peak (median and worst of scenes and bands), flux
        on the stamp, and distance of the flux-weighted centroids.
    """
    size = image.shape[-1]
    axis = np.arange(size) - (size - 1) / 2.0

    def centroid(stack: Array) -> Array:
        total = stack.sum(axis=(2, 3))
        return np.stack([(stack.sum(axis=2) @ axis) / total, (stack.sum(axis=3) @ axis) / total])

    image = image.astype(np.float64)
    peak = np.abs(image - expected).max(axis=(2, 3)) / expected.max(axis=(2, 3))
    flux = np.abs(image.sum(axis=(2, 3)) / expected.sum(axis=(2, 3)) - 1.0)
    shift = np.hypot(*(centroid(image) - centroid(expected)))
    return {
        "error_of_peak_median": float(np.median(peak)),
        "error_of_peak_worst": float(peak.max()),
        "flux_error_worst": float(flux.max()),
        "centroid_error_worst_px": float(shift.max()),
    }


def cpu_us(call: Callable[[], Any], stamps: int) -> float:
    """Return CPU time of this process per stamp."""
    started = time.process_time()
    call()
    return (time.process_time() - started) / stamps * 1e6


def frontier(stamps: int, repeats: int) -> dict[str, dict[str, float | None]]:
    """Time and grade every level and every peer, taking turns."""
    few, many = trial_scenes(stamps), trial_scenes(BATCH)
    hard = hard_scenes(stamps)
    expected = truth(hard)
    levels = {f"darkhaloscope {quality}": ours(quality) for quality in QUALITIES}
    programs = levels | PEERS
    grades = {name: errors(program(hard), expected) for name, program in programs.items()}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            scenes, count = (many, BATCH) if name in levels else (few, stamps)
            turns = 5 if name in levels else 1
            times[name].append(
                min(cpu_us(lambda p=program, s=scenes: p(s), count) for _ in range(turns))  # type: ignore[misc]
            )
    base = statistics.median(times[DEFAULT])
    return {
        name: {
            "us_per_stamp": statistics.median(times[name]),
            "ratio": statistics.median(times[name]) / base,
            "promised_ratio": PROMISED.get(name),
            **grades[name],
        }
        for name in programs
    }


def sweep() -> dict[str, dict[str, float]]:
    """Return the errors of every level over 2800 hard scenes, against 64 x 64 rays per pixel."""
    images: dict[str, list[tuple[Array, Array]]] = {quality: [] for quality in QUALITIES}
    for size, count, seed in SWEEP:
        scenes = hard_scenes(count, size_px=size, seed=seed)
        expected = render_lensed(**scenes, quality=Sampling(8, 8)).image.astype(np.float64)
        for quality, found in images.items():
            found.append((render_lensed(**scenes, quality=quality).image, expected))
    result: dict[str, dict[str, float]] = {}
    for quality, pairs in images.items():
        grades = [errors(image, expected) for image, expected in pairs]
        result[quality] = {key: max(grade[key] for grade in grades) for key in grades[0]}
    return result


def parts(repeats: int) -> dict[str, float]:
    """Return the CPU time of each step of the default level, in microseconds per stamp."""
    scenes = trial_scenes(BATCH)
    spent: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **keywords)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - started
            return result

        return call

    originals = [(module, name, getattr(module, name)) for steps in PARTS.values() for module, name in steps]
    best: dict[str, float] = {}
    try:
        for part, steps in PARTS.items():
            for module, name in steps:
                setattr(module, name, timed(part, getattr(module, name)))
        for _ in range(10 * repeats):
            spent.clear()
            started = time.perf_counter()
            render_lensed(**scenes)
            total = time.perf_counter() - started
            if not best or total < sum(best.values()):
                best = {**spent, "the rest": total - sum(spent.values())}
    finally:
        for module, name, function in originals:
            setattr(module, name, function)
    return {name: seconds / BATCH * 1e6 for name, seconds in best.items()}


def growth(repeats: int) -> dict[str, dict[str, float]]:
    """Return microseconds per stamp against stamp size, theta_E, number of bands and bank size."""

    def best(scenes: Scenes) -> float:
        n = len(scenes["templates"])
        return min(cpu_us(lambda: render_lensed(**scenes), n) for _ in range(3 * repeats))

    base = trial_scenes(BATCH)
    bank = trial_scenes(8 * BATCH)["templates"]
    pick = np.random.Generator(np.random.Philox(1)).integers
    fwhm, flux = base["psf_fwhm_arcsec"], base["flux_nmgy"]
    return {
        "size_px": {str(size): best(base | {"size_px": size}) for size in (31, 48, 64, 101, 151)},
        "theta_e_arcsec": {
            str(theta): best(base | {"theta_e_arcsec": theta}) for theta in (0.5, 1.0, 1.5, 2.5, 3.5)
        },
        "bands": {
            str(b): best(
                base
                | {"psf_fwhm_arcsec": np.resize(fwhm, (BATCH, b)), "flux_nmgy": np.resize(flux, (BATCH, b))}
            )
            for b in (1, 2, 3, 6)
        },
        "bank": {
            str(size): best(base | {"templates": bank[pick(0, size, BATCH)]})
            for size in (1, 64, BATCH, 8 * BATCH)
        },
        "hard_scenes": {str(size): best(hard_scenes(BATCH, size_px=size)) for size in (64, 101)},
    }


_WORKER = """
import os, sys, time
os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes
scenes = trial_scenes(256)
render_lensed(**scenes)
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
for _ in range(int(sys.argv[1])):
    render_lensed(**scenes)
print(time.perf_counter() - started)
"""


def scaling(rounds: int = 20) -> dict[str, float]:
    """Return stamps per second of one process and of two at once (wall time)."""
    rates = {}
    for count in (1, 2):
        command = [sys.executable, "-c", _WORKER, str(rounds)]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        seconds = [float(worker.communicate("go\n")[0]) for worker in workers]
        rates[str(count)] = count * rounds * BATCH / max(seconds)
    return rates


def first_call_s() -> dict[str, float]:
    """Return the time of a fresh process from its first import to its first image, code in the cache."""
    code = (
        "import time; started = time.perf_counter()\n"
        "from darkhaloscope.lensing.render import render_lensed\n"
        "imported = time.perf_counter() - started\n"
        "from darkhaloscope.lensing.trial import trial_scenes\n"
        "scenes = trial_scenes(2); started = time.perf_counter()\n"
        "render_lensed(**scenes); print(imported, time.perf_counter() - started)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(5)
    ]
    imported, rendered = np.array(runs, dtype=float).min(axis=0)
    return {"import": float(imported), "first_image": float(rendered)}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    print("one lensed source, 3 bands, 64 x 64 px, one thread; errors: hard scenes")
    print(f"{'':24}{'us/stamp':>10}{'ratio':>8}{'promise':>9}{'median':>9}{'worst':>9}{'flux':>9}{'px':>8}")
    for name, row in result["implementations"].items():
        promise = f">={row['promised_ratio']:.0f}" if row["promised_ratio"] else ""
        print(
            f"{name:24}{row['us_per_stamp']:10.0f}{row['ratio']:8.1f}{promise:>9}"
            f"{row['error_of_peak_median']:9.3%}{row['error_of_peak_worst']:9.2%}"
            f"{row['flux_error_worst']:9.2%}{row['centroid_error_worst_px']:8.4f}"
        )
    budget = result["budget"]
    print(f"{'budget of the default':51}" + "".join(f"{limit:9.3g}" for limit in budget.values()))
    for quality, row in result["levels"].items():
        print(f"{f'{quality}, 2800 scenes':51}" + "".join(f"{value:9.3g}" for value in row.values()))
    for title in (
        "parts_us",
        "stamps_per_s_of_processes",
        "first_call_s",
        *(f"growth_us {k}" for k in result["growth_us"]),
    ):
        first, _, key = title.partition(" ")
        values = result[first][key] if key else result[first]
        print(f"{title}: " + ", ".join(f"{name} {value:.3g}" for name, value in values.items()))


def main() -> None:
    """Print tables and, on the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stamps", type=int, default=12, help="scenes that peers render")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="draw error against time here (PNG)")
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    result = {
        "stamps": arguments.stamps,
        "repeats": arguments.repeats,
        "budget": BUDGET,
        "implementations": frontier(arguments.stamps, arguments.repeats),
        "levels": sweep(),
        "parts_us": parts(arguments.repeats),
        "growth_us": growth(arguments.repeats),
        "stamps_per_s_of_processes": scaling(),
        "first_call_s": first_call_s(),
    }
    show(result)
    if arguments.figure is not None:
        from darkhaloscope.reports.figures_frontier import frontier_figure

        frontier_figure(arguments.figure, result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
