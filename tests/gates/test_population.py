import gate_world
import pyarrow as pa
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.gates.population import Population, codes, floats


def table(kinds, splits, hosts):
    return pa.table({"control_kind": kinds, "split": splits, "host_id": hosts})


def test_codes_name_classes_splits_and_galaxies():
    population = Population.of(
        table(["positive", "paired", "unpaired"], ["val", "val", "test"], ["a", "a", "b"])
    )
    assert population.where("positive").tolist() == [True, False, False]
    assert population.where(split="val").tolist() == [True, True, False]
    assert population.galaxies() == 2
    assert population.galaxies(population.where(split="val")) == 1
    assert population.present(["paired", "matched_light", "positive"]) == ["paired", "positive"]


@pytest.mark.parametrize(
    ("kinds", "splits"), [(["lens"], ["val"]), (["positive"], ["guard"]), ([None], ["val"])]
)
def test_what_the_schema_does_not_know_is_refused(kinds, splits):
    columns = {"control_kind": pa.array(kinds, pa.string()), "split": splits, "host_id": ["a"]}
    with pytest.raises(DataError, match="Unknown value"):
        Population.of(pa.table(columns))


def test_an_empty_shard_set_is_refused(good):
    with pytest.raises(DataError, match="No rows"):
        Population.read(gate_world.Rows(good.table.slice(0, 0)))


def test_codes_survive_chunks_and_nulls():
    column = pa.chunked_array([["b", None], ["a", "b"]])
    indices, values = codes(column)
    assert [values[i] if i >= 0 else None for i in indices] == ["b", None, "a", "b"]
    assert codes(pa.chunked_array([], pa.string()))[0].size == 0
    assert str(floats(pa.chunked_array([[1, None]]))) == "[ 1. nan]"
