"""Stamps as noise-scaled integers with subtractive dither, and back.

An image is counted in steps of a fixed share of its own sky noise. Before
rounding, every pixel is moved by a random fraction of a step; the same fraction
is taken off on reading. The error of a pixel is then uniform within half a step
and independent of the image (Schuchman 1964, IEEE Trans. Commun. Tech. 12, 162;
Gray & Stockham 1993, IEEE Trans. Inf. Theory 39, 805), so neither sums nor
medians feel the lattice; survey files are made the same way (Pence,
White & Seaman 2010, PASP 122, 1065). The dither comes from the task id and is
stored nowhere.

Here: the arithmetic, the columns of :data:`QUANTISED` made from a STAMPS table,
and the way back. Files, and the choice of form, are the business of ``shards``
and ``shardset``; the archive of injected stamps is never quantised.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import streams, tabular
from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.geometry import outer_pixels
from darkhaloscope.schema import QUANTISED, STAMPS, per_band
from darkhaloscope.schema.columns import PixelColumn, tensor_array
from darkhaloscope.statistics.robust import median_and_sigma

Images = NDArray[np.float32]

DITHER_SEED = 0
"""The dither is a property of the row, the same in every experiment that holds it."""

STEPS = per_band("image_step_{b}_nmgy")
PLANES = ("image_low", "image_high", "image_wide")


def image_steps(images: Images, steps_per_sigma: float) -> Images:
    """Return the step of each image, sigma / ``steps_per_sigma``.

    sigma is 1.4826 MAD of the region r > side / 4, which the host's light hardly
    reaches: a step that is fine there is fine everywhere.

    Parameters
    ----------
    images : ndarray of float32, shape (n, bands, size, size)
        Unit: nMgy/px.
    steps_per_sigma : float
        At least 32.

    Returns
    -------
    ndarray of float32, shape (n, bands)
        Unit: nMgy/px; 0 where an image has no scatter.
    """
    _, sigma_nmgy = median_and_sigma(images, outer_pixels(images.shape[-1]))
    return np.asarray(sigma_nmgy / np.float32(steps_per_sigma), dtype=np.float32)


class Planes(NamedTuple):
    """Images of n rows as whole numbers of dithered steps, cut into bytes.

    A count + 128 has its low byte in ``low`` and the next in ``high``; 16 bits
    hold every count of a usual row. The upper 16 bits of the others are kept
    beside, so nothing is ever clipped.

    Attributes
    ----------
    low, high : ndarray of uint8, shape (n, bands * size * size)
    upper : ndarray of int16, shape (m, bands * size * size)
        Of the m rows that 16 bits do not hold.
    place : ndarray of int64, shape (n,)
        Row of ``upper``; -1 where there is none.
    """

    low: NDArray[np.uint8]
    high: NDArray[np.uint8]
    upper: NDArray[np.int16]
    place: NDArray[np.int64]


def to_planes(images: Images, step_nmgy: Images, task_ids: Sequence[str]) -> Planes:
    """Count images in dithered steps, round(image / step + dither).

    Parameters
    ----------
    images : ndarray of float32, shape (n, bands, size, size)
        Unit: nMgy/px.
    step_nmgy : ndarray of float32, shape (n, bands)
        From :func:`image_steps`.
    task_ids : sequence of str, length n
        Keys of the dither.

    Raises
    ------
    DataError
        Naming the first task with a pixel that is not finite or beyond
        2**31 steps, or a band without scatter.
    """
    from darkhaloscope.stamps.quantise_kernels import encode  # loads the compiler

    n, bands, size, _ = images.shape
    width = bands * size * size
    low, high = (np.empty((n, width), dtype=np.uint8) for _ in range(2))
    upper = np.empty((n, width), dtype=np.int16)
    beyond, wide = (np.zeros(n, dtype=np.int64) for _ in range(2))
    flat = np.ascontiguousarray(images).reshape(n, bands, size * size)
    encode(flat, step_nmgy, _keys(task_ids), *_scratch(size), low, high, upper, beyond, wide)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise DataError(
            describe(
                "Stamp cannot be quantised",
                field="image",
                row=task_ids[row],
                expected="finite pixels below 2**31 steps and scatter in every band",
                got=f"{beyond[row]} pixels that are not, steps {step_nmgy[row].tolist()} nMgy/px",
                hint="give the row a status, or store the shards as float32",
            )
        )
    place = np.where(wide > 0, np.cumsum(wide > 0) - 1, -1)
    return Planes(low, high, upper[wide > 0], place)


def from_planes(planes: Planes, step_nmgy: Images, task_ids: Sequence[str]) -> Images:
    """Return the images of :func:`to_planes`, (count - dither) x step: each pixel within half a step.

    Returns
    -------
    ndarray of float32, shape (n, bands, size, size)
        Unit: nMgy/px.
    """
    from darkhaloscope.stamps.quantise_kernels import decode  # loads the compiler

    n, bands = step_nmgy.shape
    size = isqrt(planes.low.shape[1] // bands)
    images = np.empty((n, bands, size, size), dtype=np.float32)
    decode(*planes, step_nmgy, _keys(task_ids), *_scratch(size), images.reshape(n, bands, size * size))
    return images


def quantised(table: pa.Table, steps_per_sigma: float) -> pa.Table:
    """Turn STAMPS rows into :data:`QUANTISED` rows.

    Every row takes the same path, whatever its class. Counts of a row that do
    not fit 16 bits have their upper half in ``image_wide``, null elsewhere:
    nothing is clipped.

    Parameters
    ----------
    table : pyarrow.Table
        STAMPS, every row with pixels.
    steps_per_sigma : float
        At least 32.

    Raises
    ------
    DataError
        As :func:`count_steps`.
    """
    rows = QUANTISED.rows_per_group
    starts = range(0, max(1, table.num_rows), rows)
    return pa.concat_tables([_quantised(table.slice(start, rows), steps_per_sigma) for start in starts])


def restored(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """Return columns of STAMPS from a batch of quantised rows.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        With the columns :func:`stored_columns` names.
    columns : sequence of str
        Names in STAMPS.
    """
    images = _restored_images(batch)
    schema = STAMPS.arrow(images.shape[-1])
    chosen = pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)
    arrays = [
        tensor_array(images, chosen.field(name).type) if name == "image" else batch[name] for name in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=chosen)


def stored_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns of QUANTISED that hold the given columns of STAMPS."""
    stored = dict.fromkeys(name for name in columns if name != "image")
    if "image" in columns:
        stored |= dict.fromkeys(("task_id", *STEPS, *PLANES))
    return list(stored)


def _quantised(table: pa.Table, steps_per_sigma: float) -> pa.Table:
    images = tabular.pixels(table, "image")
    step = image_steps(images, steps_per_sigma)
    planes = to_planes(images, step, table["task_id"].to_pylist())
    upper = [None if at < 0 else planes.upper[at].astype("<i2").tobytes() for at in planes.place]
    columns: dict[str, Any] = {
        column.name: tabular.pixels(table, column.name)
        if isinstance(column, PixelColumn)
        else table[column.name]
        for column in QUANTISED
        if column.name in table.column_names
    }
    columns |= {
        **{name: step[:, b] for b, name in enumerate(STEPS)},
        "image_low": _bytes_array(planes.low),
        "image_high": _bytes_array(planes.high),
        "image_wide": pa.array(upper, pa.binary()),
    }
    return QUANTISED.table(columns, images.shape[-1])


def _restored_images(batch: pa.RecordBatch) -> Images:
    low, high = (_bytes_of(batch[name]) for name in ("image_low", "image_high"))
    upper = [np.frombuffer(row, dtype="<i2") for row in batch["image_wide"].drop_null().to_pylist()]
    wide = batch["image_wide"].is_valid().to_numpy(zero_copy_only=False)
    step = np.stack([batch[name].to_numpy() for name in STEPS], axis=1)
    planes = Planes(
        low,
        high,
        np.array(upper, dtype=np.int16).reshape(len(upper), low.shape[1]),
        np.where(wide, np.cumsum(wide) - 1, -1),
    )
    return from_planes(planes, step, batch["task_id"].to_pylist())


def _bytes_array(planes: NDArray[np.uint8]) -> pa.Array:
    """Return the rows of (n, width) bytes as an Arrow binary array without copying."""
    n, width = planes.shape
    ends = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(pa.binary(), n, [None, pa.py_buffer(ends), pa.py_buffer(planes)])


def _bytes_of(array: pa.Array) -> NDArray[np.uint8]:
    """Return the rows of a binary array as (n, width) bytes; all must have one width."""
    n = len(array)
    if n == 0:
        return np.empty((0, 0), dtype=np.uint8)
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + n + 1]
    width = int(ends[1] - ends[0])
    if array.null_count or (np.diff(ends) != width).any():
        raise DataError(describe("Planes of a quantised image", expected=f"{width} bytes in every row"))
    data = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    return data[ends[0] : ends[-1]].reshape(n, width)


def _keys(task_ids: Sequence[str]) -> NDArray[np.uint32]:
    return streams.keys(DITHER_SEED, "quantisation_dither", task_ids)


def _scratch(size: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Return room for the random words and the dither of one plane."""
    pixels = size * size
    return np.empty((4, -(-pixels // 8)), dtype=np.uint32), np.empty(pixels, dtype=np.float32)
