"""The predecessor's stamps on disk, read as rows of our schema.

Parquet files of ``emr/spark_phase4_pipeline_gen5.py`` and of its compaction and
paired-control steps: one row per task, the stamp a compressed npz in a column.
Pixels are unpacked only for the rows asked for, one row group at a time. What
its columns mean is in ``predecessor_columns``; nothing is written or judged here.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.errors import DataError, MissingInputError, describe
from darkhaloscope.schema import BANDS, STAMPS, Role
from darkhaloscope.stamps import predecessor_columns as columns_of
from darkhaloscope.stamps.predecessor_columns import CONTROL_STAMP, OK, SPLIT, STAMP
from darkhaloscope.stamps.shardset import ShardSet

Float32Array = NDArray[np.float32]

_SPLIT_FOLDER = re.compile(rf"{SPLIT}=([^/\\]+)")
_BATCH_ROWS = 256
_CONTROL_SUFFIX = "-control"
_BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, OSError, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Part:
    """The rows of one file, or their paired controls.

    Parameters
    ----------
    path : Path
        The file.
    split : str or None
        By its folder; None where a column says it.
    stamp : str
        Column of the pixels.
    """

    path: Path
    split: str | None
    stamp: str

    @property
    def paired(self) -> bool:
        return self.stamp == CONTROL_STAMP


class PredecessorShards(ShardSet):
    """The predecessor's Parquet files, read as shards are.

    Only rows with ``cutout_ok = 1`` are shown: its training read no others. A
    file that carries paired controls gives them as rows of their own, after its
    other rows.

    Parameters
    ----------
    paths : sequence of path
        Files, in any order.

    Raises
    ------
    DataError
        If there are no files, one is not Parquet, or none holds stamps.

    Attributes
    ----------
    ignored : list of str
        Columns of the files that nothing is made from.
    not_finite : list of str
        Places of the stamps read so far that hold a pixel which is not finite.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = sorted(Path(path) for path in paths)
        if not self._paths:
            raise DataError(describe("No files", expected="at least one Parquet file", got=0))
        found = [set(tabular.read_schema(path).names) for path in self._paths]
        common, every = set.intersection(*found), set.union(*found)
        if STAMP not in common:
            lacking = next(p for p, names in zip(self._paths, found, strict=True) if STAMP not in names)
            raise DataError(describe("Not stamps of the predecessor", file=lacking, field=STAMP))
        self._parts = [_Part(path, _folder_split(path), STAMP) for path in self._paths]
        self._parts += [
            _Part(path, _folder_split(path), CONTROL_STAMP)
            for path, names in zip(self._paths, found, strict=True)
            if CONTROL_STAMP in names
        ]
        self._parts.sort(key=lambda part: (str(part.path), part.paired))
        self._columns = common
        named = all(part.split is not None for part in self._parts)
        self._absent = columns_of.absent(common | ({SPLIT} if named else set()))
        self.ignored = sorted(every - columns_of.READ)
        self.not_finite: list[str] = []
        self._kept: dict[_Part, NDArray[np.intp]] = {}

    @property
    def absent(self) -> Mapping[str, str]:
        """Columns of STAMPS that cannot be given, and what is missing."""
        return self._absent

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that have rows, in storage order."""
        present = set(self.metadata(["split"])["split"].to_pylist())
        return tuple(sorted(present, key=str))

    def paths(self, split: str | None = None) -> list[Path]:
        """Return the files; a split that is a column selects none of them."""
        parts = [part for part in self._parts if not part.paired]
        return [part.path for part in parts if split is None or part.split in {None, split}]

    @cached_property
    def size_px(self) -> int:
        """Side of the stamps, from the first row."""
        for part in self._parts:
            rows = self._rows_kept(part)
            if len(rows):
                group, inside = next(self._read_groups(part, rows[:1], [part.stamp]))
                blob = group[part.stamp][int(inside[0])].as_py()
                return int(_planes(blob, part.path, int(rows[0])).shape[-1])
        raise DataError(describe("No rows to judge", expected=f"a row with {OK} = 1", got=0))

    @property
    def lost(self) -> int:
        """Rows that carry no stamp."""
        return sum(
            tabular.row_count([part.path]) - len(self._rows_kept(part))
            for part in self._parts
            if not part.paired
        )

    def ledger(self) -> pa.Table:
        """Return every task and how it ended: what a manifest and its stamps say elsewhere.

        Columns ``task_id``, ``control_kind``, ``psf_fwhm_r_arcsec``, ``theta_e_arcsec``, ``status``.

        Raises
        ------
        MissingInputError
            If a column is missing, or no row is marked as lost: then rows
            without a stamp may have been left out.
        """
        names = ["task_id", "control_kind", "psf_fwhm_r_arcsec", "theta_e_arcsec"]
        self._require(names)
        if OK not in self._columns or self.lost == 0:
            raise MissingInputError(f"the manifest, or a row with {OK} = 0: whether any was left out")
        schema = self._schema([*names, "status"])
        tables = []
        for part in self._parts:
            if part.paired:
                continue
            every = np.arange(tabular.row_count([part.path]), dtype=np.intp)
            for table, inside in self._read_groups(part, every, [*self._theirs(names), OK]):
                status = np.where(_flags(table[OK]), "ok", "cutout_failed")
                rows = [_one_of(table, name, part) for name in names]
                rows.append(pa.array(status[inside].tolist(), pa.string()))
                tables.append(pa.Table.from_arrays(rows, schema=schema))
        return pa.concat_tables(tables)

    def _stream(
        self, split: str | None, columns: Sequence[str] | None, rows: NDArray[np.intp] | None
    ) -> Iterator[pa.RecordBatch]:
        names = [name for name in STAMPS.names() if name not in self.absent] if columns is None else columns
        self._require(names)
        start = 0
        for part in self._parts:
            kept = self._rows_kept(part)
            if split is not None:
                kept = self._of_split(part, kept, split)
            chosen = kept
            if rows is not None:
                first, last = np.searchsorted(rows, (start, start + len(kept)))
                chosen = kept[rows[first:last] - start]
            start += len(kept)
            yield from self._batches(part, chosen, names)

    def _read(
        self, split: str | None, columns: Sequence[str] | None, rows: NDArray[np.intp] | None
    ) -> pa.Table:
        names = [c.name for c in STAMPS if c.role is not Role.PIXELS] if columns is None else list(columns)
        if columns is None:
            names = [name for name in STAMPS.names() if name not in self.absent]
        batches = list(self._stream(split, names, rows))
        schema = self._schema(names)
        return pa.Table.from_batches(batches, schema)

    def metadata(self, columns: Sequence[str] | None = None, split: str | None = None) -> pa.Table:
        """Return columns of all rows in storage order; by default all there are but pixels."""
        if columns is None:
            columns = [c.name for c in STAMPS if c.role is not Role.PIXELS and c.name not in self.absent]
        return self._read(split, columns, None)

    def _theirs(self, names: Sequence[str]) -> list[str]:
        """Return the columns of the files behind ours."""
        mapped = [columns_of.TABLE[name] for name in names if name in columns_of.TABLE]
        wanted = {their for column in mapped for their in column.theirs}
        wanted |= {"is_control"} | ({"control_kind"} if "control_kind" in names else set())
        return sorted(wanted & self._columns)

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        full = STAMPS.arrow(self.size_px if "image" in names else 1)
        return pa.schema([full.field(name) for name in names])

    def _rows_kept(self, part: _Part) -> NDArray[np.intp]:
        """Return the rows of a part that have a stamp."""
        if part not in self._kept:
            count = tabular.row_count([part.path])
            keep = np.ones(count, dtype=bool)
            if OK in self._columns:
                keep &= _flags(tabular.read_table(part.path, [OK])[OK])
            if part.paired and "is_control" in self._columns:
                keep &= ~columns_of.is_control(tabular.read_table(part.path, ["is_control"]))
            self._kept[part] = np.flatnonzero(keep)
        return self._kept[part]

    def _of_split(self, part: _Part, kept: NDArray[np.intp], split: str) -> NDArray[np.intp]:
        if part.split is not None:
            return kept if part.split == split else kept[:0]
        self._require(["split"])
        column = tabular.read_table(part.path, [SPLIT])[SPLIT]
        mine: NDArray[np.bool_] = np.asarray(pc.equal(column, split).to_numpy(), dtype=bool)
        found: NDArray[np.intp] = kept[mine[kept]]
        return found

    def _batches(self, part: _Part, rows: NDArray[np.intp], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        theirs = self._theirs(names) + ([part.stamp] if "image" in names else [])
        schema, done = self._schema(names), 0
        for group, inside in self._read_groups(part, rows, theirs):
            step = _BATCH_ROWS if "image" in names else len(inside)
            for start in range(0, len(inside), step):
                numbers = rows[done : done + min(step, len(inside) - start)]
                table = group.take(pa.array(inside[start : start + step]))
                done += table.num_rows
                arrays = [self._column(table, field, part, numbers) for field in schema]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _read_groups(
        self, part: _Part, rows: NDArray[np.intp], theirs: Sequence[str]
    ) -> Iterator[tuple[pa.Table, NDArray[np.intp]]]:
        try:
            for group, inside in tabular.read_row_groups(part.path, rows, theirs):
                yield _as_part(group, part), inside
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                describe("Damaged Parquet file", file=part.path, got=str(error).split("\n")[0])
            ) from error

    def _column(self, table: pa.Table, field: pa.Field, part: _Part, numbers: NDArray[np.intp]) -> pa.Array:
        if field.name == "status":
            return pa.array(["ok"] * table.num_rows, pa.string())
        if field.name != "image":
            return _one_of(table, field.name, part).cast(field.type)
        stamps = np.empty((table.num_rows, len(BANDS), self.size_px, self.size_px), dtype=np.float32)
        for place, (blob, row) in enumerate(zip(table[part.stamp].to_pylist(), numbers, strict=True)):
            stamp = _planes(blob, part.path, int(row))
            if stamp.shape != stamps.shape[1:]:
                raise DataError(
                    describe(
                        "Stamp of another size",
                        file=part.path,
                        row=int(row),
                        expected=stamps.shape[1:],
                        got=stamp.shape,
                    )
                )
            place_of = f"{part.path}, row {row}"
            if not np.isfinite(stamp).all() and place_of not in self.not_finite:
                self.not_finite.append(place_of)
            stamps[place] = stamp
        return pa.FixedShapeTensorArray.from_numpy_ndarray(stamps)


def is_predecessor(path: str | Path) -> bool:
    """Say whether a Parquet file holds stamps of the predecessor."""
    return STAMP in tabular.read_schema(path).names


def _folder_split(path: Path) -> str | None:
    found = _SPLIT_FOLDER.search(path.parent.as_posix())
    return found.group(1) if found else None


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), 0.0).to_numpy() == 1.0)


def _as_part(table: pa.Table, part: _Part) -> pa.Table:
    """Return a table with the split of its folder, and with paired controls marked as controls."""
    if part.split is not None and SPLIT not in table.column_names:
        table = table.append_column(SPLIT, pa.array([part.split] * table.num_rows, pa.string()))
    if part.paired and "is_control" in table.column_names:
        at = table.column_names.index("is_control")
        table = table.set_column(at, "is_control", pa.array(np.ones(table.num_rows, dtype=np.int64)))
    return table


def _one_of(table: pa.Table, name: str, part: _Part) -> pa.Array:
    """Return one of our columns; rows made from paired controls say so."""
    try:
        made = columns_of.translate(table, name, STAMPS.arrow(1).field(name).type)
    except DataError as error:
        raise DataError(f"{part.path}: {error}") from error
    if part.paired and name == "control_kind":
        return pa.array(["paired"] * table.num_rows, pa.string())
    if part.paired and name == "task_id":
        return pc.binary_join_element_wise(made, _CONTROL_SUFFIX, "")
    return made


def _planes(blob: bytes | None, path: Path, row: int) -> Float32Array:
    """Unpack one stamp, planes in band order.

    Raises
    ------
    DataError
        If it is no npz, a band is missing, or a plane is not a square image.
    """
    if blob is None:
        raise DataError(describe("A row that is ok has no stamp", file=path, row=row, field=STAMP))
    planes = []
    name = STAMP
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
            for band in BANDS:
                name = f"image_{band}"
                planes.append(np.asarray(archive[name], dtype=np.float32))
    except _BAD_ARCHIVE as error:
        raise DataError(
            describe(
                "Stamp cannot be unpacked",
                file=path,
                row=row,
                field=name,
                expected=f"an npz with {', '.join(f'image_{band}' for band in BANDS)}",
                got=f"{len(blob)} bytes, {type(error).__name__}: {error}",
            )
        ) from error
    shapes = {plane.shape for plane in planes}
    side = planes[0].shape[0] if planes[0].ndim else 0
    if shapes != {(side, side)}:
        raise DataError(
            describe(
                "Planes are not one square", file=path, row=row, field=STAMP, got=sorted(map(str, shapes))
            )
        )
    return np.stack(planes)
