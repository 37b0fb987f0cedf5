"""Time the renderer on tensors against the compiled one, and against what the device can do, in one run.

The device's copy bandwidth and its float32 matrix rate are measured beside the
renderer; the bytes and operations of a stamp are counted from what torch runs.
From these counts and the published peaks of an H200 follows an estimate for one:
it is printed as an estimate, whatever the device at hand.

    python benchmarks/bench_torch_render.py [--device cpu] [--stamps 256] [--chunk N] [--fused] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.torch_plan import plan_lensed, template_extents
from darkhaloscope.lensing.torch_render import render_plan
from darkhaloscope.lensing.trial import trial_scenes

DISTINCT = 256
PLANNED = 4096
SAME_RAYS = Sampling(cells_per_px=2, rays_per_cell=2)
PROMISED_H200_STAMPS_PER_S = 300_000
# NVIDIA H200 SXM data sheet, and the shares of them that a program without tuning can hope for.
H200_BYTES_PER_S, H200_FLOPS = 4.8e12, 67e12
BANDWIDTH_SHARE, FLOPS_SHARE = 0.8, 0.5
QUEUE_S = 6e-6  # for one operation to be queued from Python
WEIGHTS = {"atan": 20, "atanh": 25, "sqrt": 4, "div": 4, "grid_sampler_2d": 40}  # float32 operations each


class Counter(TorchDispatchMode):
    """Counts what runs: operations, the bytes they read and write, float32 operations outside products."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.bytes, self.flops = 0, 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it, unless it only makes a view."""
        out = function(*args, **(kwargs or {}))
        name = function.name().removeprefix("aten::").partition(".")[0]
        if function.is_view or name in ("_reshape_alias", "empty", "new_empty"):
            return out
        tensors = [t for t in tree_leaves((args, out)) if isinstance(t, torch.Tensor)]
        self.operations += 1
        if name == "index":  # reads what it returns, not all it could return
            tensors = [out, out]
        elif name == "index_copy_":
            tensors = [args[3], args[3]]
        # An expanded tensor is read from memory once.
        self.bytes += sum(min(t.numel() * t.itemsize, t.untyped_storage().nbytes()) for t in tensors)
        if name != "bmm":
            self.flops += out.numel() * WEIGHTS.get(name, 1) if isinstance(out, torch.Tensor) else 0
        return out


def count(plan: Any, bank: torch.Tensor, stamps: int) -> dict[str, float]:
    """Count the work of one stamp on the host: what runs there runs on any device."""
    plan, bank = plan.to("cpu"), bank.cpu()
    render_plan(plan, bank, chunk=stamps)  # matrices are made once
    with Counter() as seen:
        render_plan(plan, bank, chunk=stamps)
    with FlopCounterMode(display=False) as products:
        render_plan(plan, bank, chunk=stamps)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        render_plan(plan, bank, chunk=1)
    live = np.cumsum([e.nbytes() for e in record.profiler.kineto_results.events() if e.name() == "[memory]"])
    rays = np.mean(
        [(g.grid.box_px * g.grid.cells_per_px * plan.rays_per_cell) ** 2 for g in plan.groups for _ in g.rows]
    )
    images = plan.flux_nmgy.numel() * plan.size_px**2 * 4
    return {
        "rays": float(rays),
        "operations_per_chunk": seen.operations / len(plan.groups),
        "megabytes": seen.bytes / stamps / 1e6,
        "ray_megaflops": seen.flops / stamps / 1e6,
        "product_megaflops": products.get_total_flops() / stamps / 1e6,
        "temporary_megabytes": float(live.max() - images) / 1e6,
        # If one kernel does all that is done to a ray and one all that is done to a coefficient:
        # template in, light out and in, coefficients and their products in and out, image out.
        "fused_megabytes": fused_bytes(plan) / stamps / 1e6,
    }


def fused_bytes(plan: Any) -> float:
    """Count what must cross memory if no intermediate of rays or weights does."""
    total = 0.0
    bands = plan.flux_nmgy.shape[1]
    for group in plan.groups:
        cells = group.grid.box_px * group.grid.cells_per_px
        m = 2 * int(group.grid.cutoff * group.grid.period_px) + 1
        size = plan.size_px
        once = plan.template_px**2 + 2 * cells**2 + 2 * m * cells + 2 * m * m
        per_band = 2 * m * m + 2 * size * m + 2 * size * size
        total += 4.0 * len(group.rows) * (once + bands * per_band)
    return total


def clock(device: torch.device) -> Callable[[], float]:
    """Return a clock: processor time on a CPU, wall time past the device's queue elsewhere."""
    if device.type == "cpu":
        return time.process_time

    def now() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def seconds_per_call(function: Callable[[], Any], now: Callable[[], float], calls: int = 5) -> float:
    """Return the median duration of a call after one that is not timed."""
    function()
    durations = []
    for _ in range(calls):
        started = now()
        function()
        durations.append(now() - started)
    return statistics.median(durations)


def limits(device: torch.device) -> dict[str, float]:
    """Measure copy bandwidth (bytes read and written per second) and float32 product rate of the device."""
    now = clock(device)
    on_gpu = device.type != "cpu"
    source = torch.ones((2**28 if on_gpu else 2**24), device=device)
    target = torch.empty_like(source)
    copy = seconds_per_call(lambda: target.copy_(source), now)
    side = 8192 if on_gpu else 1024
    square = torch.rand(side, side, device=device)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    product = seconds_per_call(lambda: torch.mm(square, square), now)
    return {"bytes_per_s": 2 * source.numel() * 4 / copy, "flops": 2 * side**3 / product}


def estimate_h200(work: dict[str, float], chunk: int) -> dict[str, float]:
    """Estimate stamps per second of one H200 from counted work and published peaks."""
    arithmetic = (work["ray_megaflops"] + work["product_megaflops"]) * 1e6 / (FLOPS_SHARE * H200_FLOPS)
    bandwidth = BANDWIDTH_SHARE * H200_BYTES_PER_S
    queued = work["operations_per_chunk"] * QUEUE_S / chunk
    one_by_one = max(work["megabytes"] * 1e6 / bandwidth + arithmetic, queued)
    fused = work["fused_megabytes"] * 1e6 / bandwidth + arithmetic
    return {"one_by_one": 1.0 / one_by_one, "fused": 1.0 / fused}


def measure(
    device: torch.device, stamps: int, repeats: int, chunk: int | None, fused: bool
) -> dict[str, Any]:
    """Time both renderers in turns and set them beside the limits of the device."""
    scenes = trial_scenes(min(stamps, DISTINCT))
    host_bank = scenes.pop("templates")
    extents = template_extents(host_bank)

    def make_plan(n: int, **more: Any) -> Any:
        rows = np.arange(n) % host_bank.shape[0]
        batch = {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in scenes.items()}
        return plan_lensed(
            extent_px=extents[rows],
            template_px=host_bank.shape[1],
            template_rows=rows,
            shared_grids=shared,
            **(batch | more),
        )

    shared = device.type != "cpu"
    plan, bank = make_plan(stamps).to(device), torch.from_numpy(host_bank).to(device)
    now = clock(device)
    contestants: dict[str, tuple[Callable[[], Any], Callable[[], float], int]] = {
        "numba, one core": (lambda: render_lensed(host_bank, **scenes), time.process_time, len(host_bank)),
        "plan, one core": (lambda: make_plan(PLANNED), time.process_time, PLANNED),
        "torch": (lambda: render_plan(plan, bank, chunk=chunk), now, stamps),
    }
    if fused:
        contestants["torch fused"] = (lambda: render_plan(plan, bank, chunk=chunk, fused=True), now, stamps)
    durations: dict[str, list[float]] = {name: [] for name in contestants}
    for function, _, _ in contestants.values():
        function()
    for _ in range(repeats):
        for name, (function, tick, n) in contestants.items():
            started = tick()
            function()
            durations[name].append((tick() - started) / n)
    expected = render_lensed(host_bank, quality=SAME_RAYS, **scenes).image
    same = make_plan(len(host_bank), quality=SAME_RAYS).to(device)
    found = render_plan(same, bank, chunk=chunk, fused=fused).image.cpu().numpy()
    difference = np.abs(found - expected).max(axis=(2, 3)) / expected.max(axis=(2, 3))
    few = min(stamps, 64)
    work = count(make_plan(few), torch.from_numpy(host_bank), few)
    bound = limits(device)
    base = statistics.median(durations["numba, one core"])
    gpu = device.type == "cuda"
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if gpu else "cpu, one thread",
        "stamps": stamps,
        "groups": len(plan.groups),
        "worst_difference_of_peak": float(difference.max()),
        "work_per_stamp": work,
        "device_limits": bound,
        "estimate_h200_stamps_per_s": estimate_h200(work, chunk or 1024),
        "promised_h200_stamps_per_s": PROMISED_H200_STAMPS_PER_S,
        "rows": {},
    }
    if gpu:
        result["peak_device_megabytes"] = torch.cuda.max_memory_allocated(device) / 1e6
    for name, values in durations.items():
        seconds = statistics.median(values)
        row = {"us_per_stamp": seconds * 1e6, "stamps_per_s": 1.0 / seconds, "ratio": base / seconds}
        if name.startswith("torch"):
            moved = work["fused_megabytes" if name == "torch fused" else "megabytes"]
            row["bandwidth_share"] = moved * 1e6 / seconds / bound["bytes_per_s"]
            row["product_share"] = work["product_megaflops"] * 1e6 / seconds / bound["flops"]
        result["rows"][name] = row
    return result


def report(result: dict[str, Any]) -> None:
    """Print the table."""
    work, bound = result["work_per_stamp"], result["device_limits"]
    print(f"one lensed source, 3 bands, 64 x 64 px, standard quality, on: {result['device']}")
    print(f"{'':18}{'us/stamp':>10}{'stamps/s':>12}{'x numba':>9}{'of copy':>9}{'of matmul':>11}")
    for name, row in result["rows"].items():
        shares = (
            f"{row['bandwidth_share']:9.1%}{row['product_share']:11.1%}" if "product_share" in row else ""
        )
        ratio = "" if name.startswith("plan") else f"{row['ratio']:9.2f}"
        print(f"{name:18}{row['us_per_stamp']:10.1f}{row['stamps_per_s']:12,.0f}{ratio:9}{shares}")
    print(
        f"worst difference from numba with the same rays {result['worst_difference_of_peak']:.1e} "
        f"of the peak; {result['groups']} groups"
    )
    print(
        f"device: copy {bound['bytes_per_s'] / 1e9:,.0f} GB/s, "
        f"float32 products {bound['flops'] / 1e9:,.0f} GFLOP/s"
    )
    print(
        f"a stamp: {work['rays']:,.0f} rays, {work['megabytes']:.1f} MB through memory, or "
        f"{work['fused_megabytes']:.2f} if fused, {work['temporary_megabytes']:.2f} MB of temporaries,"
    )
    print(f"  {work['ray_megaflops']:.1f} MFLOP on rays, {work['product_megaflops']:.1f} MFLOP of products")
    estimate = result["estimate_h200_stamps_per_s"]
    print(
        f"ESTIMATE for an H200, not a measurement: {estimate['one_by_one']:,.0f} stamps/s operation by "
        f"operation, {estimate['fused']:,.0f} fused"
    )
    print(f"  (at {BANDWIDTH_SHARE:.0%} of 4.8 TB/s and {FLOPS_SHARE:.0%} of 67 TFLOP/s)")
    on_h200 = "H200" in result["device"]
    best = max(row["stamps_per_s"] for name, row in result["rows"].items() if name.startswith("torch"))
    verdict = f"measured {best:,.0f}" if on_h200 else "not measured: this run was on another device"
    print(f"promise on an H200: {result['promised_h200_stamps_per_s']:,} stamps/s; {verdict}")


def main() -> None:
    """Print a table and, on the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stamps", type=int, help="256 on a CPU, else 8192")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--chunk", type=int, help="scenes at a time")
    parser.add_argument(
        "--fused", action=argparse.BooleanOptionalAction, help="also the compiled form; on a GPU"
    )
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    gpu = device.type != "cpu"
    stamps = arguments.stamps or (8192 if gpu else 256)
    fused = gpu if arguments.fused is None else arguments.fused
    result = measure(device, stamps, arguments.repeats, arguments.chunk, fused)
    report(result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
