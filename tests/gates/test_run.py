"""The runners: every gate over real files, a fault in the data is a verdict, a missing file is not."""

import gate_world
import pytest
import stamp_world
import torch

from darkhaloscope import tabular
from darkhaloscope.artifacts import write_json
from darkhaloscope.errors import GateError, MissingDataError
from darkhaloscope.gates.behaviour.runs import Model
from darkhaloscope.gates.context import DataSet
from darkhaloscope.gates.enforce import require_gate
from darkhaloscope.gates.registry import DATA_GATES, MODEL_GATES
from darkhaloscope.gates.result import GateReport, GateStatus
from darkhaloscope.gates.run import run_data_gates, run_model_gates
from darkhaloscope.schema import QUANTISED, STAMPS
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.training.checkpoint import Checkpoint, save_checkpoint
from darkhaloscope.training.models import LensFinder, ModelSpec
from darkhaloscope.training.predict import load_model


def run(good, figures, shards=None, **changes):
    given = {
        "experiment": good.world.experiment,
        "profile": gate_world.PROFILE,
        "bricks": gate_world.bricks(),
        "splits": stamp_world.split_map(),
        "manifest_paths": good.world.paths("manifest"),
        "stamp_paths": good.world.paths("stamps"),
        "hosts_paths": good.world.paths("hosts"),
        "bank_path": good.world.bank_path,
        "anchors": gate_world.anchors(),
        "folder": figures,
    }
    return run_data_gates(DataSet(shards or good.shards, **{**given, **changes}), artefact_hash="abc")


@pytest.fixture(scope="module")
def report(good, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    return run(good, folder), folder


def test_a_sound_set_passes_every_blocking_gate(report):
    verdicts, _ = report
    assert verdicts.gates() == list(DATA_GATES)
    assert [f"{r.key}: {r.reason}" for r in verdicts.failed()] == []
    require_gate(verdicts, "abc", DATA_GATES)


def test_quantised_shards_get_the_verdicts_of_lossless_ones(good, report, tmp_path):
    paths = [tmp_path / path.name for path in good.world.paths("shards")]
    for path, stored in zip(good.world.paths("shards"), paths, strict=True):
        tabular.write_table(stored, QUANTISED, quantised(tabular.read_table(path), 32.0))
    chosen = gate_world.experiment(storage={"form": "quantised"})
    verdicts = run(good, tmp_path, ShardSet(paths), experiment=chosen)
    statuses = {r.key: r.status for r in verdicts}
    assert statuses == {r.key: r.status for r in report[0]} | {"Q8": GateStatus.PASS}


def test_results_carry_what_a_referee_asks(report):
    verdicts, _ = report
    for result in verdicts:
        assert result.artefact_hash == "abc"
        assert result.seconds >= 0.0
        assert result.reason
        assert result.title
    assert all(r.n_effective > 0 for r in verdicts if r.status is GateStatus.PASS)
    assert {r.key for r in verdicts.of("S2")} == {"S2:raw", "S2:model"}
    assert [r.blocking for r in verdicts.of("S2")] == [False, True]


def test_figures_are_where_the_report_says(report):
    verdicts, folder = report
    named = {result.figure for result in verdicts if result.figure}
    assert {
        "Q1.png",
        "Q5.png",
        "Q6.png",
        "L1.png",
        "L5.png",
        "P1.png",
        "P2.png",
        "P3.png",
        "P5.png",
        "P8.png",
        "S1.png",
        "S2.png",
        "S2p.png",
        "S3.png",
        "S4.png",
        "S5.png",
        "S6.png",
    } == named
    for name in named:
        assert (folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_report_survives_the_disk(report, tmp_path):
    verdicts, _ = report
    write_json(tmp_path / "gates.json", verdicts.to_dict())
    assert GateReport.from_json((tmp_path / "gates.json").read_text()) == verdicts


def test_empty_shards_fail_every_gate_that_reads_them(good, tmp_path):
    path = tmp_path / "train-00000.parquet"
    tabular.write_table(path, STAMPS, good.table.slice(0, 0))
    verdicts = run(good, tmp_path, ShardSet([path]))
    fine = {r.gate for r in verdicts if r.status is not GateStatus.FAIL}
    assert fine == {"Q4"}  # the losses between manifest and stamps are not in the shards
    with pytest.raises(GateError):
        require_gate(verdicts, "abc", DATA_GATES)


def test_a_missing_file_is_raised_not_judged(good, tmp_path):
    with pytest.raises(MissingDataError):
        run(good, tmp_path, stamp_paths=[tmp_path / "none.parquet"])


def test_an_untrained_model_does_not_pass(good, tmp_path):
    chosen = good.world.experiment
    spec = gate_world.spec_of(chosen).fit_metadata(good.table)
    model = ModelSpec.from_config(chosen.model, gate_world.PROFILE, spec)
    torch.manual_seed(1)
    untrained = Checkpoint(
        model=model,
        preprocess=spec,
        weights=LensFinder(model).state_dict(),
        experiment=chosen.name,
        config_hash="c",
        inputs={},
        epoch=1,
        prior=0.3,
    )
    save_checkpoint(tmp_path / "checkpoint.pt", untrained)
    model = Model(
        score=load_model(tmp_path / "checkpoint.pt").score,
        shards=good.shards,
        experiment=chosen,
        profile=gate_world.PROFILE,
        hosts_paths=good.world.paths("hosts"),
        folder=tmp_path,
    )
    verdicts = run_model_gates(model, artefact_hash="m")
    assert verdicts.gates() == list(MODEL_GATES)
    assert verdicts.of("B2")[0].status is GateStatus.FAIL
    assert verdicts.of("B1")[0].values["changed_rows"] == 0
    assert (tmp_path / "B2.png").is_file()
