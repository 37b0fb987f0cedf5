"""What is absent defers: inputs, columns, promises."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope import tabular
from darkhaloscope.config import Experiment
from darkhaloscope.config.sections import Split
from darkhaloscope.errors import MissingInputError
from darkhaloscope.gates.context import ask
from darkhaloscope.gates.inputs import Input, absent_columns, missing_column, optional
from darkhaloscope.gates.undeclared import UndeclaredExperiment
from darkhaloscope.profiles import get_profile
from darkhaloscope.schema import QUANTISED, STAMPS
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.stamps.shardset import ShardSet


@dataclass(repr=False)
class Holder:
    name: str
    bank: Input[str] = Input("the bank")


def test_an_input_that_was_left_out_names_itself():
    assert Holder("a", "b").bank == "b"
    with pytest.raises(MissingInputError, match="the bank"):
        _ = Holder("a").bank
    assert optional(lambda: Holder("a").bank) is None
    assert optional(lambda: Holder("a", "b").bank) == "b"


def test_two_holders_do_not_share_an_input():
    one, other = Holder("a", "b"), Holder("a")
    assert one.bank == "b"
    assert optional(lambda: other.bank) is None


READER = SimpleNamespace(absent={"invvar": "column invvar: not stored"})


@pytest.mark.parametrize("look", [lambda t: t["invvar"], lambda t: t.select(["invvar"])])
def test_a_column_that_the_reader_lacks_is_a_missing_input(look):
    data = SimpleNamespace(shards=READER)
    with pytest.raises(MissingInputError, match="column invvar: not stored"):
        ask(lambda _: look(pa.table({"ra": [1.0]})), data)


def test_another_key_is_our_own_fault():
    data = SimpleNamespace(shards=READER)
    with pytest.raises(KeyError, match="redshift"):
        ask(lambda _: pa.table({"ra": [1.0]})["redshift"], data)
    with pytest.raises(KeyError, match="kind"):
        ask(lambda _: {}["kind"], data)
    assert missing_column(object(), KeyError("invvar")) is None
    assert absent_columns(object()) == {}


def test_nobody_promised_anything():
    unknown = UndeclaredExperiment.assuming()
    for name in set(Experiment.model_fields) - {
        "name",
        "title",
        "description",
        "seed",
        "survey",
        "preprocess",
        "gates",
    }:
        with pytest.raises(MissingInputError, match=f"experiment's {name}"):
            getattr(unknown, name)
    assert unknown.preprocess == Experiment.model_fields["preprocess"].default
    assert UndeclaredExperiment.assuming(split=Split()).split.nside == 32


def test_what_is_assumed_has_a_hash():
    sizes = get_profile("test")
    nothing = UndeclaredExperiment.assuming()
    assert nothing.config_hash(sizes) == UndeclaredExperiment.assuming().config_hash(sizes)
    assert UndeclaredExperiment.assuming(split=Split()).config_hash(sizes) != nothing.config_hash(sizes)


@pytest.mark.parametrize("form", ["float32", "quantised"])
def test_named_tasks_are_streamed_from_either_form(good, tmp_path, form):
    path = tmp_path / "train-00000.parquet"
    table = good.table.slice(0, 600)
    if form == "quantised":
        tabular.write_table(path, QUANTISED, quantised(table, 32.0))
    else:
        tabular.write_table(path, STAMPS, table)
    shards = ShardSet([path])
    tasks = table["task_id"].take(pa.array([599, 3, 250])).combine_chunks()
    batches = list(shards.iter_batches(columns=["task_id", "image"], tasks=tasks))
    assert [t for b in batches for t in b["task_id"].to_pylist()] == [tasks[i].as_py() for i in (1, 2, 0)]
    whole = shards.rows(columns=["task_id", "image"])
    for batch in batches:
        for task, stamp in zip(batch["task_id"].to_pylist(), tabular.pixels(batch, "image"), strict=True):
            row = whole["task_id"].to_pylist().index(task)
            np.testing.assert_array_equal(stamp, tabular.pixels(whole.slice(row, 1), "image")[0])
    assert shards.absent == {}


def test_every_row_of_a_repeated_task_is_streamed(good, tmp_path):
    path = tmp_path / "train-00000.parquet"
    tabular.write_table(path, STAMPS, pa.concat_tables([good.table.slice(0, 5), good.table.slice(0, 2)]))
    tasks = good.table["task_id"].slice(1, 1).combine_chunks()
    batches = list(ShardSet([path]).iter_batches(columns=["task_id"], tasks=tasks))
    assert sum(batch.num_rows for batch in batches) == 2
