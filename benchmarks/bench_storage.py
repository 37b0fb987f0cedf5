"""Time and weigh the forms of a training shard in one run: ratios, not microseconds, are the result.

The same stamps are written to a file and their images read back as float32,
each form in turn, one thread, CPU time; medians are compared. "predecessor" is
one compressed npz per row in a gzip Parquet, as the predecessor stored its
stamps. A second table says what quantisation does to photometry and noise, with
its subtractive dither and by plain rounding.

    python benchmarks/bench_storage.py [--stamps 2048] [--repeats 5] [--json PATH]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from darkhaloscope import tabular
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.schema import BANDS, QUANTISED, STAMPS
from darkhaloscope.stamps import quantise
from darkhaloscope.stamps.shardset import iter_stamps
from darkhaloscope.statistics.robust import median_and_sigma
from darkhaloscope.streams import generator

Images = NDArray[np.float32]

SIZE_PX = 64
SIGMA_NMGY = (0.0018, 0.003, 0.0075)
STEPS_PER_SIGMA = 32.0
APERTURE_PX = 10.0


class Form(NamedTuple):
    """A way to keep stamps: write a table, read its images."""

    write: Callable[[pa.Table, Path], Any]
    read: Callable[[Path], int]


def stamp_table(n: int) -> pa.Table:
    """Return ``n`` STAMPS rows: exponential galaxies in mildly correlated noise, half of them with an arc."""
    rng = generator(1, "bench_storage", "stamps")
    shape = (n, len(BANDS), SIZE_PX, SIZE_PX)
    sigma = np.array(SIGMA_NMGY)[:, None, None] * rng.uniform(0.8, 1.3, (n, len(BANDS), 1, 1))
    noise = gaussian_filter(rng.standard_normal(shape), (0, 0, 0.45, 0.45))
    image = noise / noise.std() * sigma
    axis = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2.0
    radius, azimuth = np.hypot(axis[None, :], axis[:, None]), np.arctan2(axis[:, None], axis[None, :])
    flux_nmgy = np.array([6.0, 25.0, 50.0])[:, None, None] * 10 ** rng.uniform(-0.4, 0.4, (n, 1, 1, 1))
    image += flux_nmgy * np.exp(-radius / 3.0) / (2.0 * np.pi * 9.0)
    lit = np.arange(0, n, 2)
    ring = np.exp(-0.5 * ((radius - rng.uniform(3.0, 9.0, (len(lit), 1, 1))) / 2.0) ** 2)
    arc = ring * np.exp(2.0 * np.cos(azimuth - rng.uniform(-np.pi, np.pi, (len(lit), 1, 1))))
    arc *= rng.uniform(0.5, 3.0, (len(lit), 1, 1)) / arc.sum(axis=(1, 2), keepdims=True)
    image[lit] += arc[:, None]
    invvar = np.broadcast_to(sigma**-2, shape).astype(np.float32)
    columns: dict[str, Any] = {}
    for column in STAMPS:
        if column.type is None:
            continue
        if pa.types.is_string(column.type):
            columns[column.name] = [""] * n
        elif pa.types.is_boolean(column.type):
            columns[column.name] = np.zeros(n, dtype=bool)
        else:
            columns[column.name] = rng.uniform(0.0, 9.0, n).astype(column.type.to_pandas_dtype())
    columns |= {
        "task_id": [rng.bytes(16).hex() for _ in range(n)],
        "image": image.astype(np.float32),
        "invvar": invvar,
        "maskbits": np.zeros((n, SIZE_PX, SIZE_PX), dtype=np.int32),
    }
    return STAMPS.table(columns, SIZE_PX)


def write_npz_blobs(table: pa.Table, path: Path) -> None:
    """Write each row's images as one compressed npz in a gzip Parquet."""
    blobs = []
    for stamp in tabular.pixels(table, "image"):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{f"image_{b}": p for b, p in zip(BANDS, stamp, strict=True)})
        blobs.append(buffer.getvalue())
    pq.write_table(
        pa.table({"image": pa.array(blobs, pa.binary())}), path, compression="gzip", row_group_size=256
    )


def read_npz_blobs(path: Path) -> int:
    """Read what :func:`write_npz_blobs` wrote as float32 arrays; return the number of stamps."""
    count = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(256, columns=["image"], use_threads=False):
            stamps = []
            for blob in batch["image"].to_pylist():
                with np.load(io.BytesIO(blob)) as arrays:
                    stamps.append(np.stack([arrays[f"image_{b}"] for b in BANDS]))
            count += len(np.stack(stamps))
    return count


def write_split_int16(table: pa.Table, path: Path) -> None:
    """Write the same counts as one list of 16-bit integers with BYTE_STREAM_SPLIT."""
    counts, step, ids = _counts(table)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(counts.reshape(-1)), counts.shape[1])
    steps = {name: step[:, b] for b, name in enumerate(quantise.STEPS)}
    pq.write_table(
        pa.table({"task_id": ids, "counts": flat, **steps}),
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
        row_group_size=256,
        column_encoding={"counts.list.element": "BYTE_STREAM_SPLIT"},
    )


def read_split_int16(path: Path) -> int:
    """Read what :func:`write_split_int16` wrote as float32 images; return the number of stamps."""
    count = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(256, use_threads=False):
            n = batch.num_rows
            shifted = batch["counts"].flatten().to_numpy().reshape(n, -1)
            planes = quantise.Planes(
                shifted.astype(np.uint8),
                (shifted >> 8).astype(np.uint8),
                np.empty((0, shifted.shape[1]), dtype=np.int16),
                np.full(n, -1, dtype=np.int64),
            )
            step = np.stack([batch[name].to_numpy() for name in quantise.STEPS], axis=1)
            count += len(quantise.from_planes(planes, step, batch["task_id"].to_pylist()))
    return count


def _counts(table: pa.Table) -> tuple[NDArray[np.int16], Images, list[str]]:
    images, ids = tabular.pixels(table, "image"), table["task_id"].to_pylist()
    step = quantise.image_steps(images, STEPS_PER_SIGMA)
    planes = quantise.to_planes(images, step, ids)
    return planes.high.view(np.int8).astype(np.int16) << 8 | planes.low, step, ids


def read_shard(path: Path) -> int:
    """Read the images of a shard of either form; return the number of stamps."""
    return sum(len(tabular.pixels(batch, "image")) for batch in iter_stamps([path], ["image"]))


FORMS = {
    "float32": Form(lambda table, path: tabular.write_table(path, STAMPS, table), read_shard),
    "quantised": Form(
        lambda table, path: tabular.write_table(path, QUANTISED, quantise.quantised(table, STEPS_PER_SIGMA)),
        read_shard,
    ),
    "int16, bytes split": Form(write_split_int16, read_split_int16),
    "predecessor": Form(write_npz_blobs, read_npz_blobs),
}
IMAGE_COLUMNS = {"image", "counts", *quantise.PLANES, *quantise.STEPS}


def bytes_per_stamp(path: Path) -> tuple[float, float]:
    """Return compressed bytes of the images and of the whole file, per row."""
    with pq.ParquetFile(path) as file:
        meta = file.metadata
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
        image = sum(
            chunk.total_compressed_size
            for chunk in chunks
            if chunk.path_in_schema.partition(".")[0] in IMAGE_COLUMNS
        )
        return image / meta.num_rows, path.stat().st_size / meta.num_rows


def measure_forms(table: pa.Table, repeats: int) -> dict[str, Any]:
    """Write and read every form in turn; one untimed round first."""
    n = table.num_rows
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in FORMS}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + 1):
            for name, form in FORMS.items():
                path = Path(folder) / f"{name}.parquet"
                started = time.process_time()
                form.write(table, path)
                written = time.process_time()
                if form.read(path) != n:
                    raise AssertionError(f"{name} lost rows")
                if repeat:
                    seconds[name][0].append(written - started)
                    seconds[name][1].append(time.process_time() - written)
                sizes[name] = bytes_per_stamp(path)
    lossless = {i: statistics.median(seconds["float32"][i]) for i in (0, 1)}
    result = {}
    for name, times in seconds.items():
        write, read = (statistics.median(t) for t in times)
        result[name] = {
            "image_bytes": sizes[name][0],
            "all_bytes": sizes[name][1],
            "encode_per_s": n / write,
            "decode_per_s": n / read,
            "encode_ratio": lossless[0] / write,
            "decode_ratio": lossless[1] / read,
        }
    return result


def measure_bias(table: pa.Table) -> list[dict[str, Any]]:
    """Return what steps of sigma/16, /32 and /64 do to pixels, aperture flux and MAD."""
    images, ids = tabular.pixels(table, "image"), table["task_id"].to_pylist()
    n, bands = images.shape[:2]
    region = outer_pixels(SIZE_PX)
    inside = StampGeometry(SIZE_PX, 1.0).radius_px().ravel() < APERTURE_PX
    _, sigma = median_and_sigma(images, region)
    flux = images.reshape(n, bands, -1)[..., inside].sum(axis=2, dtype=np.float64)
    rows = []
    for steps_per_sigma in (16.0, 32.0, 64.0):
        step = quantise.image_steps(images, steps_per_sigma)
        wide = step[..., None, None].astype(np.float64)
        for dither, back in (
            (True, quantise.from_planes(quantise.to_planes(images, step, ids), step, ids)),
            (False, (np.rint(images / wide) * wide).astype(np.float32)),
        ):
            error = back.astype(np.float64) - images
            _, sigma_back = median_and_sigma(back, region)
            shift = sigma_back / sigma.astype(np.float64) - 1.0
            flux_error = error.reshape(n, bands, -1)[..., inside].sum(axis=2)
            rows.append(
                {
                    "steps_per_sigma": steps_per_sigma,
                    "dither": dither,
                    "rms_error_sigma": float(np.sqrt(((error / sigma[..., None, None]) ** 2).mean())),
                    "flux_bias": float(np.abs(flux_error.mean(axis=0) / flux.mean(axis=0)).max()),
                    "mad_mean": float(shift.mean()),
                    "mad_rms": float(np.sqrt((shift**2).mean())),
                    "mad_worst": float(np.abs(shift).max()),
                    "lattice": float(np.cos(2.0 * np.pi * back / wide).mean()),
                }
            )
    return rows


def main() -> None:
    """Print two tables and, on the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stamps", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    table = stamp_table(arguments.stamps)
    forms, bias = measure_forms(table, arguments.repeats), measure_bias(table)
    print(f"{arguments.stamps} stamps, 3 bands, {SIZE_PX} x {SIZE_PX} px, one core; ratios to float32")
    print(f"{'':20}{'image B':>9}{'all B':>9}{'encode /s':>11}{'decode /s':>11}{'encode':>8}{'decode':>8}")
    for name, row in forms.items():
        print(
            f"{name:20}{row['image_bytes']:9.0f}{row['all_bytes']:9.0f}{row['encode_per_s']:11.0f}"
            f"{row['decode_per_s']:11.0f}{row['encode_ratio']:8.2f}{row['decode_ratio']:8.2f}"
        )
    print(f"\n{'step':10}{'dither':>8}{'rms/sigma':>11}{'flux bias':>11}", end="")
    print(f"{'MAD mean':>10}{'rms':>8}{'worst':>8}{'lattice':>9}")
    for row in bias:
        print(
            f"sigma/{row['steps_per_sigma']:<4.0f}{'yes' if row['dither'] else 'no':>8}"
            f"{row['rms_error_sigma']:11.4f}{row['flux_bias']:11.5%}{row['mad_mean']:10.3%}"
            f"{row['mad_rms']:8.2%}{row['mad_worst']:8.2%}{row['lattice']:9.3f}"
        )
    text = json.dumps({"stamps": arguments.stamps, "forms": forms, "bias": bias})
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
