"""The cache holds every row in order, is built once, and never meets other shards."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic
from training_rows import shard

from darkhaloscope.errors import DataError
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import QUANTISED
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.tabular import pixels, read_table, write_table
from darkhaloscope.training import cache
from darkhaloscope.training.cache import cache_split
from darkhaloscope.training.rows import read_rows


class TestCache:
    def spec(self, rows: pa.Table) -> PreprocessSpec:
        section = synthetic.experiment().preprocess
        return PreprocessSpec.from_config(section, crop_px=synthetic.SIZE_PX).fit_metadata(rows)

    def test_holds_the_preprocessed_rows_in_shard_order(self, shards, tmp_path):
        train = shards[:2]
        rows = read_rows(train, "train", synthetic.experiment().preprocess.metadata)
        spec = self.spec(rows)
        data = cache_split(train, rows, spec, tmp_path, content="c")
        tables = [
            synthetic.stamp_table(96, "train", key="train-00000"),
            synthetic.stamp_table(96, "train", key="train-00001"),
        ]
        table = pa.concat_tables(tables)
        np.testing.assert_array_equal(data.linear, spec.linear(pixels(table, "image")).values)
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
        lossless = cache_split(shards[:2], rows, spec, tmp_path, content="c").linear
        data = cache_split(counted, rows, spec, tmp_path, content="q")
        sky = np.abs(lossless) < 3.0
        error = data.linear - lossless
        assert not np.array_equal(data.linear, lossless)
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
            cache_split(paths, rows, self.spec(rows), tmp_path, content="c")

    def test_is_built_once_for_all_that_scale_alike(self, shards, tmp_path, monkeypatch):
        built = []
        make = cache._linear
        monkeypatch.setattr(cache, "_linear", lambda batch, spec: built.append(1) or make(batch, spec))
        rows = read_rows(shards[:2], "train", synthetic.experiment().preprocess.metadata)
        spec = self.spec(rows)
        first = cache_split(shards[:2], rows, spec, tmp_path, content="c").linear
        groups = len(built)
        for other in (replace(spec, clip=4.0), replace(spec, centre="mask")):
            same = cache_split(shards[:2], rows, other, tmp_path, content="c").linear
            np.testing.assert_array_equal(same, first)
        assert len(built) == groups
        for other, content in ((replace(spec, normalisation="raw_mad"), "c"), (spec, "d")):
            cache_split(shards[:2], rows, other, tmp_path, content=content)
        assert len(built) == 3 * groups

    def test_a_build_that_was_killed_is_begun_again(self, shards, tmp_path, monkeypatch):
        rows = read_rows(shards[:2], "train", synthetic.experiment().preprocess.metadata)
        spec = self.spec(rows)

        def killed(batch, spec):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(cache, "_linear", killed)
            with pytest.raises(KeyboardInterrupt):
                cache_split(shards[:2], rows, spec, tmp_path, content="c")
        assert not list(tmp_path.glob("*.npy"))
        assert cache_split(shards[:2], rows, spec, tmp_path, content="c").linear.any()
