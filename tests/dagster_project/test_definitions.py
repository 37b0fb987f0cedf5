import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.experiments import EXPERIMENT_NAMES
from dagster_project.definitions import build_defs, defs
from jobs.campaign import STEPS

PROJECT = Path(__file__).resolve().parents[2]

DESIGN = {
    "sky": {"footprint", "sky_splits", "lrg_parents", "host_cutouts"},
    "sources": {"cosmos_bank"},
    "dataset": {"manifest", "injected_stamps", "training_shards"},
    "gates": {"gate_report", "model_gate_report"},
    "training": {"checkpoint"},
    "evaluation": {
        "anchor_catalog",
        "anchor_stamps",
        "anchor_evaluation",
        "selection_function",
        "model_comparison",
    },
}
SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_assets_and_groups_are_those_of_the_design():
    found: dict[str, set[str]] = {}
    for name, spec in SPECS.items():
        found.setdefault(spec.group_name, set()).add(name)
    assert found == DESIGN


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_says_what_it_is(name):
    spec = SPECS[name]
    assert spec.owners
    assert spec.kinds
    assert spec.description
    assert "." in spec.description
    assert spec.code_version
    assert len(spec.code_version) == 16, "derived from source, not typed by hand"


def test_every_asset_is_in_exactly_one_job():
    in_jobs = [asset for step in STEPS for asset in step.assets]
    assert sorted(in_jobs) == sorted(SPECS)
    for step in STEPS:
        job = defs.resolve_job_def(step.name)
        assert job.description
        shapes = {type(SPECS[name].partitions_def) for name in step.assets}
        assert len(shapes) == 1, f"{step.name} mixes partition shapes"


def test_every_gate_has_a_check_on_what_it_judges():
    from darkhaloscope.gates.registry import GATES

    checks = {
        (key.name, key.asset_key.to_user_string())
        for definition in defs.asset_checks
        for key in definition.check_keys
    } | {
        (spec.name, spec.asset_key.to_user_string())
        for asset in defs.resolve_asset_graph().assets_defs
        for spec in asset.check_specs
    }
    for gate in GATES.values():
        assert (gate.gate, gate.artefact) in checks


def test_lineage_follows_the_data():
    graph = defs.resolve_asset_graph()
    parents = {
        name: {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys} for name in SPECS
    }
    assert parents["lrg_parents"] == {"footprint", "anchor_catalog"}
    assert "host_cutouts" in parents["injected_stamps"]
    assert "gate_report" in parents["checkpoint"]
    assert "model_gate_report" in parents["anchor_evaluation"]
    assert "footprint" not in parents["injected_stamps"], "injection reads hosts, never coadds"


def test_partitions_are_the_experiment_files():
    assert sorted(path.stem for path in (PROJECT / "experiments").glob("*.yaml")) == EXPERIMENT_NAMES


def test_overrides_replace_resources():
    assert build_defs(resource_overrides={"campaign": 1}).resources["campaign"] == 1


def test_definitions_load_with_no_environment_and_no_network(tmp_path):
    """Loading must touch neither the campaign's roots nor a socket."""
    code = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'): raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "import dagster_project.definitions as d; print(len(list(d.defs.resolve_all_asset_specs())))"
    )
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "HOME": str(home)},
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(SPECS))
    assert list(here.iterdir()) == []
