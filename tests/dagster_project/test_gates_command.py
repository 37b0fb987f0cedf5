"""``dhs gates``: what it exits with, and what it tells."""

import sys

import gate_world
import predecessor_world as pw
import pytest
from click.testing import CliRunner

from dagster_project import cli as command_line
from dagster_project.cli import cli


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    good = gate_world.build(folder / "world")
    pw.write(folder / "sound", pw.rows_of(good.table, null_for_controls=False))
    pw.write(folder / "faulty", pw.rows_of(good.table))
    return folder


def judge(world, name, *more):
    out = world / f"{name}-out"
    given = ["gates", "--dataset", str(world / name), "--out", str(out), "--profile", "test", *more]
    return CliRunner().invoke(cli, given), out


def test_deferred_gates_alone_exit_with_0(world):
    result, out = judge(world, "sound")
    assert result.exit_code == 0, result.output
    assert "lack an input" in result.output or "blocking gate(s) shut" in result.output
    assert "column nan_pixels" in " ".join(result.output.replace("│", " ").split())
    assert {"report.json", "report.md", "report.html"} <= {path.name for path in out.iterdir()}


def test_a_blocking_failure_exits_with_1(world):
    result, _ = judge(world, "faulty")
    assert result.exit_code == 1
    assert "2 failed (Q1, L5)" in result.output


@pytest.mark.parametrize(
    ("name", "says"), [("empty", "No Parquet files"), ("text", "Not a readable Parquet")]
)
def test_bad_input_exits_with_2_and_one_message(world, monkeypatch, capsys, name, says):
    (world / name).mkdir(exist_ok=True)
    if name == "text":
        (world / name / "part.parquet").write_text("no table")
    monkeypatch.setattr(
        sys, "argv", ["dhs", "gates", "--dataset", str(world / name), "--out", str(world / "x")]
    )
    with pytest.raises(SystemExit) as raised:
        command_line.main()
    assert raised.value.code == 2
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told


def test_an_unknown_experiment_exits_with_2(world, monkeypatch, capsys):
    words = ["dhs", "gates", "--dataset", str(world / "sound"), "-e", "gen99"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as raised:
        command_line.main()
    assert raised.value.code == 2
    assert "gen99" in capsys.readouterr().err


def test_help_teaches():
    told = CliRunner().invoke(cli, ["gates", "--help"]).output
    for words in ("Exits 0", "stamp_npz", "deferred", "dhs gates --dataset runs/demo", "--hosts", "--bank"):
        assert words in " ".join(told.split()), words
    assert "\\b" not in told
