"""Rows of a data set of ours in the predecessor's file format, sound or with its faults."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope import tabular
from darkhaloscope.schema import BANDS

SPLITS = ("train", "val", "test")


def npz(planes: dict[str, np.ndarray]) -> bytes:
    """A stamp as its pipeline packed one."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **planes)
    return buffer.getvalue()


def stamp(image: np.ndarray) -> bytes:
    return npz({f"image_{band}": plane for band, plane in zip(BANDS, image, strict=True)})


def rows_of(table: pa.Table, *, null_for_controls: bool = True, paired: bool = False) -> pa.Table:
    """STAMPS rows in the predecessor's columns.

    null_for_controls: seeing is recorded for positives alone, as in its data.
    paired: positives alone, each with the cutout of its own host in a second column.
    """
    kind = np.array(table["control_kind"].to_pylist())
    chosen = np.isin(kind, ["positive"] if paired else ["positive", "unpaired"])
    pairs = _paired_stamps(table) if paired else {}
    table, kind = table.filter(pa.array(chosen)).combine_chunks(), kind[chosen]
    n, control = table.num_rows, kind != "positive"
    image = tabular.pixels(table, "image")

    def number(name: str) -> np.ndarray:
        return np.array([np.nan if v is None else float(v) for v in table[name].to_pylist()])

    def nulled(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=control | ~np.isfinite(values))

    def zeroed(name: str) -> np.ndarray:
        return np.where(control, 0.0, np.nan_to_num(number(name)))

    q, g1, g2 = number("lens_q"), np.nan_to_num(number("gamma1")), np.nan_to_num(number("gamma2"))
    sources = {name: i for i, name in enumerate(sorted({s for s in table["source_id"].to_pylist() if s}))}
    index = [sources.get(s) for s in table["source_id"].to_pylist()]
    columns = {
        "task_id": table["task_id"],
        "experiment_id": ["train_stamp64_bandsgrz_gridgrid_sota"] * n,
        "selection_set_id": ["density_topk"] * n,
        "ranking_mode": ["density"] * n,
        "region_id": np.array(table["healpix"].to_pylist(), dtype=np.int32),
        "region_split": table["split"],
        "brickname": [f"b{cell}" for cell in table["healpix"].to_pylist()],
        "ra": number("ra"),
        "dec": number("dec"),
        "stamp_size": np.full(n, image.shape[-1], np.int32),
        "bandset": ["grz"] * n,
        "theta_e_arcsec": zeroed("theta_e_arcsec"),
        "src_dmag": np.full(n, 1.0),
        "src_reff_arcsec": np.full(n, 0.1),
        "shear": np.where(control, 0.0, np.hypot(g1, g2)),
        "is_control": control.astype(np.int32),
        "replicate": np.zeros(n, np.int32),
        "src_x_arcsec": zeroed("src_x_arcsec"),
        "src_y_arcsec": zeroed("src_y_arcsec"),
        "shear_phi_rad": nulled(0.5 * np.arctan2(g2, g1)),
        "src_gr": np.full(n, 0.2),
        "psfsize_r": number("psf_fwhm_r_arcsec"),
        "psfdepth_r": number("psfdepth_r_mag"),
        "ebv": number("ebv"),
        "stamp_npz": pa.array([stamp(one) for one in image], pa.binary()),
        "cutout_ok": np.ones(n, np.int32),
        "arc_snr": zeroed("arc_snr_max_r"),
        "arc_snr_sum": zeroed("arc_snr_stamp_r"),
        "bad_pixel_frac": number("bad_pixel_frac_r"),
        "psf_fwhm_used_g": _seeing(number("psf_fwhm_g_arcsec"), control & null_for_controls),
        "psf_fwhm_used_r": _seeing(number("psf_fwhm_r_arcsec"), control & null_for_controls),
        "psf_fwhm_used_z": _seeing(number("psf_fwhm_z_arcsec"), control & null_for_controls),
        "lens_model": np.where(control, "CONTROL", "SIE").tolist(),
        "lens_e": nulled((1.0 - q) / (1.0 + q)),
        "lens_phi_rad": nulled(number("lens_phi_rad")),
        "magnification": pa.nulls(n, pa.float64()),
        "source_mode": ["cosmos"] * n,
        "cosmos_index": pa.array(index, pa.int64()),
        "lensed_hlr_arcsec": nulled(np.full(n, 1.0)),
    }
    if paired:
        columns["ctrl_stamp_npz"] = [pairs[pair] for pair in table["pair_id"].to_pylist()]
    return pa.table(columns)


def _seeing(values: np.ndarray, hidden: np.ndarray) -> pa.Array:
    return pa.array(values, mask=hidden)


def _paired_stamps(table: pa.Table) -> dict[str, bytes]:
    rows = table.filter(pa.compute.equal(table["control_kind"], "paired")).combine_chunks()
    images = tabular.pixels(rows, "image")
    return {pair: stamp(one) for pair, one in zip(rows["pair_id"].to_pylist(), images, strict=True)}


def write(folder: Path, rows: pa.Table, *, by_folder: bool = True, files: int = 2) -> Path:
    """Write rows as Spark did: a folder per split, snappy or gzip parts, a _SUCCESS beside them."""
    root = folder / "stamps" / "train_stamp64_bandsgrz_gridgrid_sota"
    root.mkdir(parents=True, exist_ok=True)
    (root / "_SUCCESS").touch()
    for split in SPLITS if by_folder else ("",):
        mine = rows
        if split:
            mine = rows.filter(pa.compute.equal(rows["region_split"], split)).drop_columns(["region_split"])
        place = root / f"region_split={split}" if split else root
        place.mkdir(exist_ok=True)
        step = max(1, -(-mine.num_rows // files))
        for part, start in enumerate(range(0, mine.num_rows, step)):
            pq.write_table(
                mine.slice(start, step),
                place / f"part-{part:05d}.gz.parquet",
                compression="gzip",
                row_group_size=100,
            )
    return folder


def changed(rows: pa.Table, **columns) -> pa.Table:
    """Rows with other values in some columns; None drops one."""
    for name, values in columns.items():
        at = rows.column_names.index(name)
        rows = rows.remove_column(at)
        if values is not None:
            rows = rows.add_column(at, name, values if isinstance(values, pa.Array) else pa.array(values))
    return rows
