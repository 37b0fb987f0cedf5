"""The predecessor's files as rows of our schema: values, gaps, damage."""

import gate_world
import numpy as np
import predecessor_world as pw
import pyarrow as pa
import pytest

from darkhaloscope import tabular
from darkhaloscope.errors import DataError, MissingDataError, MissingInputError
from darkhaloscope.gates.dataset_on_disk import parquet_files
from darkhaloscope.schema import STAMPS, Role
from darkhaloscope.stamps import predecessor
from darkhaloscope.stamps.predecessor import PredecessorShards
from darkhaloscope.stamps.predecessor_columns import MAPPED


def shards_of(folder, rows, **how):
    return PredecessorShards(parquet_files(pw.write(folder, rows, **how)))


def value(table, name):
    return np.array([np.nan if v is None else float(v) for v in table[name].to_pylist()])


@pytest.fixture(scope="module")
def ours(good):
    """Our rows that were written, by task."""
    table = gate_world.keep(good.table, np.isin(gate_world.kinds(good.table), ["positive", "unpaired"]))
    return table.sort_by("task_id")


@pytest.fixture(scope="module")
def shards(rows, tmp_path_factory):
    return shards_of(tmp_path_factory.mktemp("sound"), rows)


def test_rows_come_back_with_the_values_they_were_written_from(shards, ours):
    back = shards.rows().sort_by("task_id")
    assert back["task_id"].to_pylist() == ours["task_id"].to_pylist()
    assert back["control_kind"].to_pylist() == ours["control_kind"].to_pylist()
    assert back["split"].to_pylist() == ours["split"].to_pylist()
    assert back["healpix"].to_pylist() == ours["healpix"].to_pylist()
    for name in ("ra", "dec", "theta_e_arcsec", "lens_q", "lens_phi_rad", "src_x_arcsec", "gamma1", "gamma2"):
        np.testing.assert_allclose(value(back, name), value(ours, name), rtol=1e-12, atol=1e-15, err_msg=name)
    for name in ("psf_fwhm_g_arcsec", "psfdepth_r_mag", "ebv", "bad_pixel_frac_r"):
        np.testing.assert_array_equal(value(back, name), value(ours, name), err_msg=name)
    np.testing.assert_array_equal(tabular.pixels(back, "image"), tabular.pixels(ours, "image"))


def test_types_are_those_of_the_schema(shards):
    schema = STAMPS.arrow(gate_world.SIZE_PX)
    for field in shards.rows().schema:
        assert field.type == schema.field(field.name).type, field.name


def test_estimators_keep_their_names(shards, ours):
    # arc_snr is the largest pixel, arc_snr_sum the whole stamp; neither is the footprint
    back = shards.metadata().sort_by("task_id")
    positive = gate_world.kinds(ours) == "positive"
    for name in ("arc_snr_max_r", "arc_snr_stamp_r"):
        np.testing.assert_allclose(value(back, name)[positive], value(ours, name)[positive])
        assert np.isnan(value(back, name)[~positive]).all()
    assert "arc_snr is of one pixel" in shards.absent["arc_snr_footprint_r"]


def test_every_column_is_read_or_missing_or_ignored(shards, rows):
    for column in STAMPS:
        made = column.name in {c.ours for c in MAPPED} | {"image", "status"}
        assert made != (column.name in shards.absent), column.name
    assert {"src_reff_arcsec", "src_gr", "lensed_hlr_arcsec", "lens_model"} <= set(shards.ignored)
    read = {their for column in MAPPED for their in column.theirs}
    assert not read & set(shards.ignored)
    assert set(rows.column_names) - read - set(shards.ignored) <= {"stamp_npz", "cutout_ok", "stamp_size"}


def test_a_split_may_be_a_folder_or_a_column(rows, shards, tmp_path):
    flat = shards_of(tmp_path, rows, by_folder=False)
    for split in pw.SPLITS:
        wanted = set(shards.metadata(["task_id"], split)["task_id"].to_pylist())
        assert set(flat.metadata(["task_id"], split)["task_id"].to_pylist()) == wanted
        assert wanted
    assert flat.splits == shards.splits == ("test", "train", "val")


def test_without_a_split_the_column_is_named(rows, tmp_path):
    lone = shards_of(tmp_path, pw.changed(rows, region_split=None), by_folder=False)
    with pytest.raises(MissingInputError, match="column region_split, for split"):
        lone.metadata(["task_id", "split"])
    assert lone.metadata(["task_id"]).num_rows == rows.num_rows


def test_rows_without_a_stamp_are_counted_and_not_shown(rows, tmp_path):
    ok = np.ones(rows.num_rows, np.int32)
    ok[::10] = 0
    error = pa.array([pw.npz({"image_r": np.zeros((64, 64), np.float32)})], pa.binary())[0]
    blobs = [error if not good else blob for good, blob in zip(ok, rows["stamp_npz"], strict=True)]
    lossy = shards_of(tmp_path, pw.changed(rows, cutout_ok=ok, stamp_npz=pa.array(blobs, pa.binary())))
    assert lossy.lost == (ok == 0).sum()
    assert lossy.rows().num_rows == ok.sum()
    ledger = lossy.ledger()
    assert ledger.num_rows == rows.num_rows
    lost = set(np.array(rows["task_id"].to_pylist())[ok == 0])
    status = dict(zip(ledger["task_id"].to_pylist(), ledger["status"].to_pylist(), strict=True))
    assert {task for task, word in status.items() if word != "ok"} == lost


def test_no_recorded_loss_is_no_proof_of_none(shards):
    with pytest.raises(MissingInputError, match="cutout_ok = 0"):
        shards.ledger()


def test_paired_controls_are_rows_of_the_same_host(good, tmp_path):
    rows = pw.rows_of(good.table, paired=True)
    shards = shards_of(tmp_path, rows)
    table = shards.rows()
    kind = gate_world.kinds(table)
    assert (kind == "positive").sum() == (kind == "paired").sum() == rows.num_rows
    positive, paired = (table.filter(pa.array(kind == name)).sort_by("task_id") for name in set(kind))
    if kind[0] not in gate_world.kinds(positive):
        positive, paired = paired, positive
    assert positive["host_id"].to_pylist() == paired["host_id"].to_pylist()
    assert set(paired["is_control"].to_pylist()) == {True}
    assert paired["source_id"].null_count == paired["theta_e_arcsec"].null_count == rows.num_rows
    assert len(set(table["task_id"].to_pylist())) == table.num_rows
    ours = gate_world.keep(good.table, gate_world.kinds(good.table) == "paired")
    held = {row["ra"]: row for row in ours.select(["ra", "dec"]).to_pylist()}
    assert set(paired["ra"].to_pylist()) <= set(held)
    pixels = {tabular.pixels(ours, "image")[i].tobytes() for i in range(ours.num_rows)}
    assert all(stamp.tobytes() in pixels for stamp in tabular.pixels(paired, "image"))


def test_only_the_stamps_asked_for_are_unpacked(shards, monkeypatch):
    unpacked = []
    real = predecessor._planes
    monkeypatch.setattr(
        predecessor, "_planes", lambda blob, path, row: unpacked.append(row) or real(blob, path, row)
    )
    assert shards.size_px == gate_world.SIZE_PX
    unpacked.clear()
    shards.metadata([c.name for c in STAMPS if c.role is not Role.PIXELS and c.name not in shards.absent])
    assert unpacked == []
    tasks = shards.metadata(["task_id"])["task_id"].slice(17, 3).combine_chunks()
    batches = list(shards.iter_batches(columns=["task_id", "image"], tasks=tasks))
    assert [task for batch in batches for task in batch["task_id"].to_pylist()] == tasks.to_pylist()
    assert len(unpacked) == 3


def test_a_sample_and_named_tasks_are_those_of_the_files(shards):
    sample = shards.sample(5, seed=1, columns=["host_id", "control_kind", "image"])
    for name in ("positive", "unpaired"):
        hosts = sample.filter(pa.compute.equal(sample["control_kind"], name))["host_id"]
        assert len(set(hosts.to_pylist())) == 5
    wanted = shards.metadata(["task_id"])["task_id"].to_pylist()[5:2:-1]
    assert shards.load(wanted, ["task_id"])["task_id"].to_pylist() == wanted


def damaged(rows, blob):
    """The rows with the stamp of row 40 replaced."""
    blobs = rows["stamp_npz"].to_pylist()
    blobs[40] = blob(blobs[40])
    return pw.changed(rows, stamp_npz=pa.array(blobs, pa.binary()))


def zeros(*shape):
    return np.zeros(shape, np.float32)


DAMAGE = {
    "cut short": (lambda blob: blob[: len(blob) // 2], "Stamp cannot be unpacked"),
    "empty": (lambda _: b"", "Stamp cannot be unpacked"),
    "null": (lambda _: None, "has no stamp"),
    "small": (lambda _: pw.stamp(zeros(3, 48, 48)), r"another size.*\(3, 64, 64\).*\(3, 48, 48\)"),
    "oblong": (lambda _: pw.stamp(zeros(3, 64, 48)), "not one square"),
    "r alone": (lambda _: pw.npz({"image_r": zeros(64, 64)}), "image_g"),
    "pickled": (lambda _: pw.npz({f"image_{b}": np.array([None], object) for b in "grz"}), "image_g"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_stamp_is_named_by_file_and_row(rows, tmp_path, kind):
    blob, says = DAMAGE[kind]
    shards = shards_of(tmp_path, damaged(rows, blob), by_folder=False, files=1)
    with pytest.raises(DataError, match=f"(?s)(?=.*part-00000.gz.parquet)(?=.*row 40\\b).*{says}"):
        shards.rows()


def test_pixels_that_are_not_finite_are_read_and_remembered(rows, tmp_path):
    def spoilt(_):
        image = np.ones((3, 64, 64), np.float32)
        image[1, 5, 5] = np.nan
        return pw.stamp(image)

    shards = shards_of(tmp_path, damaged(rows, spoilt), by_folder=False, files=1)
    assert np.isnan(tabular.pixels(shards.rows(), "image")).sum() == 1
    shards.rows()
    (place,) = shards.not_finite
    assert place.endswith("part-00000.gz.parquet, row 40")


@pytest.mark.parametrize(
    ("column", "factor", "says"),
    [("psfdepth_r", 50.0, "psfdepth_r"), ("psfsize_r", 4.0, "psfsize_r")],
)
def test_a_column_in_another_unit_is_refused(rows, tmp_path, column, factor, says):
    scaled = np.asarray(rows[column]) * factor
    shards = shards_of(tmp_path, pw.changed(rows, **{column: scaled}))
    with pytest.raises(DataError, match=f"(?s)parquet.*another unit.*{says}"):
        shards.metadata()


def test_a_damaged_file_is_named(rows, tmp_path):
    pw.write(tmp_path, rows, files=1)
    path = parquet_files(tmp_path)[0]
    raw = bytearray(path.read_bytes())
    raw[1000:60000] = b"\0" * 59000
    path.write_bytes(raw)
    with pytest.raises(DataError, match=path.name):
        PredecessorShards(parquet_files(tmp_path)).rows()


def test_what_is_no_data_set_is_refused(tmp_path, good):
    with pytest.raises(MissingDataError, match="No Parquet files"):
        parquet_files(tmp_path)
    with pytest.raises(DataError, match="stamp_npz"):
        PredecessorShards(good.world.paths("shards"))
