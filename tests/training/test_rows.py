import pytest
from training_rows import numbered, shard

from darkhaloscope.errors import DataError
from darkhaloscope.training.rows import positive_share, read_rows


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


def test_positive_share():
    assert positive_share({"positive": 1, "paired": 2, "unpaired": 1}) == 0.25


def test_rows_hash_ignores_order_but_not_content():
    data, other = numbered(6), numbered(6)
    other.task_ids[:] = other.task_ids[::-1].copy()
    assert data.rows_sha256() == other.rows_sha256()
    other.task_ids[0] = "t9"
    assert data.rows_sha256() != other.rows_sha256()
    assert data.kind_counts() == {"paired": 3, "positive": 3}
