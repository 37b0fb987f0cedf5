import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic
import torch

from darkhaloscope.errors import DataError
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import QUANTISED, STAMPS
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.tabular import pixels, read_table, write_table
from darkhaloscope.training.data import (
    SplitData,
    apply_symmetries,
    batch_count,
    batches,
    cache_split,
    epoch_order,
    epoch_symmetries,
    positive_share,
    read_rows,
)

CPU = torch.device("cpu")


def shard(tmp_path, splits=("train",) * 12, **changes):
    """A train shard of twelve rows with some columns changed."""
    path = tmp_path / "train-00000.parquet"
    table = synthetic.stamp_table(12, "train", **changes)
    at = table.schema.get_field_index("split")
    write_table(path, STAMPS, table.set_column(at, table.schema.field(at), pa.array(splits, pa.string())))
    return [path]


class TestReadRows:
    @pytest.mark.parametrize("control", [True, False])
    def test_one_class_is_refused(self, tmp_path, control):
        with pytest.raises(DataError, match=r"one class only.*train.*positives and \d+ controls"):
            read_rows(shard(tmp_path, is_control=[control] * 12), "train", [])

    def test_a_row_of_another_split_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"field split, row train-00007.*must be train, got test"):
            read_rows(shard(tmp_path, splits=["train"] * 7 + ["test"] * 5), "train", [])

    def test_a_row_without_pixels_is_refused(self, tmp_path):
        status = ["ok"] * 5 + ["zero_invvar_g"] + ["ok"] * 6
        with pytest.raises(DataError, match=r"field status, row train-00005.*must be ok, got zero_invvar_g"):
            read_rows(shard(tmp_path, status=status), "train", [])

    def test_a_task_twice_is_refused(self, tmp_path):
        ids = [f"t{i}" for i in (*range(11), 4)]
        with pytest.raises(DataError, match=r"twice.*t4"):
            read_rows(shard(tmp_path, task_id=ids), "train", [])


class TestCache:
    def spec(self, rows: pa.Table) -> PreprocessSpec:
        section = synthetic.experiment().preprocess
        return PreprocessSpec.from_config(section, crop_px=synthetic.SIZE_PX).fit_metadata(rows)

    def test_holds_the_preprocessed_rows_in_shard_order(self, shards, tmp_path):
        train = shards[:2]
        rows = read_rows(train, "train", synthetic.experiment().preprocess.metadata)
        spec = self.spec(rows)
        data = cache_split(train, rows, spec, tmp_path / "train.npy")
        tables = [
            synthetic.stamp_table(96, "train", key="train-00000"),
            synthetic.stamp_table(96, "train", key="train-00001"),
        ]
        table = pa.concat_tables(tables)
        np.testing.assert_array_equal(data.images, spec.images(pixels(table, "image")))
        np.testing.assert_array_equal(data.metadata, spec.metadata(table))
        assert data.task_ids.tolist() == table["task_id"].to_pylist()
        np.testing.assert_array_equal(data.labels, [float(not c) for c in table["is_control"].to_pylist()])

    def test_of_quantised_shards_is_that_of_lossless_ones_within_half_a_step(self, shards, tmp_path):
        counted = [tmp_path / path.name for path in shards[:2]]
        for path, stored in zip(shards, counted, strict=False):
            write_table(stored, QUANTISED, quantised(read_table(path), 32.0))
        columns = synthetic.experiment().preprocess.metadata
        rows = read_rows(counted, "train", columns)
        assert rows.equals(read_rows(shards[:2], "train", columns))
        spec = self.spec(rows)
        lossless = cache_split(shards[:2], rows, spec, tmp_path / "lossless.npy").images
        data = cache_split(counted, rows, spec, tmp_path / "quantised.npy")
        sky = np.abs(lossless) < 3.0
        error = data.images - lossless
        assert not np.array_equal(data.images, lossless)
        # half a step, and the third of a percent by which the MAD itself moves
        assert np.abs(error[sky]).max() < 0.5 / 32 + 3.0 * 0.015
        assert error[sky].std() == pytest.approx(1 / 32 / 12**0.5, rel=0.1)
        assert data.task_ids.tolist() == rows["task_id"].to_pylist()

    def test_a_bad_stamp_is_named_by_its_task(self, tmp_path):
        images = synthetic.stamp_images(12, np.ones(12), "bad")
        images[9, 2, 10, 10] = np.inf
        paths = shard(tmp_path, image=images)
        rows = read_rows(paths, "train", synthetic.experiment().preprocess.metadata)
        with pytest.raises(DataError, match=r"Task train-00009 cannot be trained on: Stamp has NaN"):
            cache_split(paths, rows, self.spec(rows), tmp_path / "cache.npy")


def numbered(n: int) -> SplitData:
    """Rows whose every pixel, condition and label tells their number."""
    value = np.arange(n, dtype=np.float32)
    return SplitData(
        images=np.broadcast_to(value[:, None, None, None], (n, 1, 4, 4)).copy(),
        metadata=value[:, None].copy(),
        labels=value.copy(),
        task_ids=np.array([f"t{i}" for i in range(n)]),
        host_ids=np.array(["h"] * n),
        control_kinds=np.array(["positive", "paired"] * (n // 2)),
    )


class TestBatches:
    def epoch(self, n: int = 50, *, seed: int = 1, epoch: int = 1, batch_size: int = 8):
        return list(batches(numbered(n), seed=seed, epoch=epoch, batch_size=batch_size, device=CPU))

    def test_every_row_comes_once_with_its_own_label(self):
        epoch = self.epoch()
        rows = np.concatenate([batch.rows for batch in epoch])
        assert sorted(rows.tolist()) == list(range(50))
        for batch in epoch:
            np.testing.assert_array_equal(batch.labels.numpy(), batch.rows)
            np.testing.assert_array_equal(batch.metadata[:, 0].numpy(), batch.rows)
            np.testing.assert_array_equal(batch.images[:, 0, 2, 1].numpy(), batch.rows)

    def test_batches_are_equal_and_within_the_limit(self):
        sizes = [len(batch.rows) for batch in self.epoch(50, batch_size=8)]
        assert len(sizes) == batch_count(50, 8) == 7
        assert max(sizes) <= 8
        assert max(sizes) - min(sizes) <= 1

    def test_the_key_decides_the_order(self):
        first = np.concatenate([b.rows for b in self.epoch(epoch=1)])
        np.testing.assert_array_equal(first, np.concatenate([b.rows for b in self.epoch(epoch=1)]))
        assert not np.array_equal(first, np.concatenate([b.rows for b in self.epoch(seed=2)]))
        np.testing.assert_array_equal(first, epoch_order(1, 1, 50))


class TestSymmetries:
    def test_each_code_is_its_own_element_of_the_group(self):
        image = np.arange(9.0, dtype=np.float32).reshape(1, 1, 3, 3)
        turned = apply_symmetries(torch.from_numpy(image.repeat(8, axis=0)), np.arange(8)).numpy()
        expected = [np.rot90(image[0, 0], k) for k in range(4)]
        expected += [np.rot90(image[0, 0, :, ::-1], k) for k in range(4)]
        np.testing.assert_array_equal(turned[:, 0], expected)
        assert len({t.tobytes() for t in turned}) == 8

    def test_all_codes_occur_alike(self):
        counts = np.bincount(epoch_symmetries(1, 1, 8000), minlength=8)
        assert counts.min() > 850
        assert len(counts) == 8


def test_positive_share():
    assert positive_share({"positive": 1, "paired": 2, "unpaired": 1}) == 0.25


def test_rows_hash_ignores_order_but_not_content():
    data, other = numbered(6), numbered(6)
    other.task_ids[:] = other.task_ids[::-1].copy()
    assert data.rows_sha256() == other.rows_sha256()
    other.task_ids[0] = "t9"
    assert data.rows_sha256() != other.rows_sha256()
    assert data.kind_counts() == {"paired": 3, "positive": 3}
