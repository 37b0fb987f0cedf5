import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope.artifacts import write_json
from darkhaloscope.config import Lens
from darkhaloscope.errors import ArtifactError, DataError
from darkhaloscope.evaluation import selection
from darkhaloscope.evaluation.selection import (
    draw_tasks,
    measure_selection,
    selection_numbers,
    summarise_cells,
)
from darkhaloscope.hashing import canonical_json
from darkhaloscope.lensing.cosmology import einstein_radius_arcsec, flat_lambda_cdm
from darkhaloscope.schema import MANIFEST
from darkhaloscope.sources import open_sources
from darkhaloscope.sources.colours import describe_galaxies
from darkhaloscope.stamps.deflectors import LensPopulation
from darkhaloscope.statistics.rates import OperatingPoint, Rate
from darkhaloscope.survey.tiles import SplitMap

PROFILE = dataclasses.replace(stamp_world.PROFILE, selection_per_cell=5)
POINT = OperatingPoint(0.5, 0.01, Rate.exact(0, 50), certifiable=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def splits() -> SplitMap:
    return stamp_world.split_map()


@pytest.fixture(scope="module")
def experiment(world):
    seeing = world.table("hosts", ["psf_fwhm_r_arcsec"])["psf_fwhm_r_arcsec"].to_numpy()
    edges = (float(seeing.min()) - 0.01, float(np.median(seeing)), float(seeing.max()) + 0.01, 9.0)
    return world.experiment.model_copy(
        update={
            "evaluation": world.experiment.evaluation.model_copy(
                update={"theta_e_edges_arcsec": (0.6, 1.2, 2.0), "seeing_edges_arcsec": edges}
            )
        }
    )


@pytest.fixture(scope="module")
def hosts_in_test(world, splits) -> pa.Table:
    hosts = world.table("hosts", selection._HOST_COLUMNS)
    at = splits.of(hosts["ra"].to_numpy(), hosts["dec"].to_numpy()) == "test"
    return hosts.filter(pa.array(at))


def run(world, splits, experiment, checkpoint_path, model, folder, *, positions=(), **changes):
    evaluation = {
        "checkpoint_sha256": model.sha256,
        "threshold": POINT.to_dict(),
        "positions_deg": [list(p) for p in positions],
    }
    write_json(folder / "evaluation.json", {**evaluation, **changes})
    return measure_selection(
        checkpoint_path,
        experiment=experiment,
        profile=PROFILE,
        host_paths=world.paths("hosts"),
        splits=splits,
        bank_path=world.bank_path,
        evaluation_path=folder / "evaluation.json",
    )


def test_every_cell_is_there_with_its_count_and_the_empty_ones_say_so(
    world, splits, experiment, checkpoint_path, model, tmp_path
):
    record = run(world, splits, experiment, checkpoint_path, model, tmp_path)
    canonical_json(record)
    assert len(record["cells"]) == 2 * 3
    beyond = [cell for cell in record["cells"] if cell["seeing_index"] == 2]
    assert all(cell["n"] == 0 and cell["value"] is None and cell["hosts_in_bin"] == 0 for cell in beyond)
    filled = [cell for cell in record["cells"] if cell["n_hosts"]]
    assert filled
    assert all(cell["n"] + cell["lost"] == PROFILE.selection_per_cell for cell in filled)
    numbers = selection_numbers(record)
    assert numbers["injected"] == sum(cell["n"] for cell in record["cells"])
    assert numbers["empty_cells"] >= 2


def test_the_map_does_not_claim_to_be_completeness(
    world, splits, experiment, checkpoint_path, model, tmp_path
):
    record = run(world, splits, experiment, checkpoint_path, model, tmp_path)
    assert record["validity"]["validated"] is False
    assert "not validated as completeness" in record["validity"]["statement"]


def test_tasks_are_drawn_inside_their_cells_from_test_hosts_and_test_sources(
    world, experiment, hosts_in_test
):
    with open_sources("cosmos", world.bank_path) as sources:
        tasks = draw_tasks(hosts_in_test, sources, experiment, 5)
        split_of = dict(zip(sources.ids.tolist(), sources.split.tolist(), strict=True))
    MANIFEST.validate(tasks)
    theta, seeing = tasks["theta_e_arcsec"].to_numpy(), tasks["psf_fwhm_r_arcsec"].to_numpy()
    ranges = experiment.evaluation.theta_e_edges_arcsec, experiment.evaluation.seeing_edges_arcsec
    for row, cell in enumerate(tasks["pair_id"].to_pylist()):
        i, j = map(int, cell.split("-"))
        assert ranges[0][i] <= theta[row] < ranges[0][i + 1]
        assert ranges[1][j] <= seeing[row] < ranges[1][j + 1]
    assert {split_of[s] for s in tasks["source_id"].to_pylist()} == {"test"}
    assert len(set(tasks["task_id"].to_pylist())) == tasks.num_rows
    offset = np.hypot(tasks["src_x_arcsec"].to_numpy(), tasks["src_y_arcsec"].to_numpy())
    assert (offset <= experiment.lens.source_offset_max * theta + 1e-9).all()


def test_draws_depend_on_identity_not_on_the_order_of_hosts(world, experiment, hosts_in_test):
    shuffled = hosts_in_test.take(pa.array(np.arange(hosts_in_test.num_rows)[::-1]))
    with open_sources("cosmos", world.bank_path) as sources:
        first, second = (draw_tasks(hosts, sources, experiment, 4) for hosts in (hosts_in_test, shuffled))
    assert first.equals(second)


def test_recovered_is_what_lies_above_the_threshold_and_lost_is_no_miss(world, experiment, hosts_in_test):
    with open_sources("cosmos", world.bank_path) as sources:
        tasks = draw_tasks(hosts_in_test, sources, experiment, 4)
    first = tasks["pair_id"][0].as_py()
    members = [
        t
        for t, c in zip(tasks["task_id"].to_pylist(), tasks["pair_id"].to_pylist(), strict=True)
        if c == first
    ]
    scores = dict(zip(members, (0.9, 0.5, 0.1), strict=False))
    edges = experiment.evaluation
    cells = summarise_cells(
        tasks, scores, hosts_in_test, POINT, edges.theta_e_edges_arcsec, edges.seeing_edges_arcsec
    )
    cell = next(c for c in cells if f"{c['theta_e_index']}-{c['seeing_index']}" == first)
    assert (cell["k"], cell["n"], cell["lost"]) == (1, 3, 1)


def test_hosts_beside_known_objects_are_left_out(
    world, splits, experiment, checkpoint_path, model, tmp_path, hosts_in_test
):
    known = list(zip(hosts_in_test["ra"].to_pylist(), hosts_in_test["dec"].to_pylist(), strict=True))
    with pytest.raises(DataError, match="No test host"):
        run(world, splits, experiment, checkpoint_path, model, tmp_path, positions=known)


def test_the_threshold_of_another_checkpoint_is_refused(
    world, splits, experiment, checkpoint_path, model, tmp_path
):
    with pytest.raises(ArtifactError, match="another checkpoint"):
        run(world, splits, experiment, checkpoint_path, model, tmp_path, checkpoint_sha256="0" * 64)


def test_with_a_population_the_dispersion_is_what_theta_e_asks_for(world, experiment, hosts_in_test):
    lens = Lens(theta_e_draw="population", theta_e_arcsec=(0.6, 3.0), deflectors={"min_source_share": 0.8})
    chosen = experiment.model_copy(update={"lens": lens})
    with open_sources("cosmos", world.bank_path) as sources:
        tasks = draw_tasks(hosts_in_test, sources, chosen, 5)
        plain = draw_tasks(hosts_in_test, sources, experiment, 5)
        galaxies = describe_galaxies(chosen.sources, sources, chosen.seed)
        population = LensPopulation.of(chosen, hosts_in_test, sources, galaxies)
    MANIFEST.validate(tasks)
    theta, z_lens, z_source = (tasks[name].to_numpy() for name in ("theta_e_arcsec", "z_lens", "z_source"))
    assert (z_source > z_lens).all()
    found = einstein_radius_arcsec(
        tasks["sigma_v_kms"].to_numpy(), z_lens, z_source, flat_lambda_cdm(70.0, 0.3)
    )
    np.testing.assert_allclose(found, theta, rtol=1e-9)
    used = set(tasks["host_id"].to_pylist())
    unfit = population.unfit(["test"] * hosts_in_test.num_rows)
    assert 0 < unfit.sum() < unfit.size
    assert not used & set(np.array(hosts_in_test["host_id"].to_pylist())[unfit])
    assert plain["sigma_v_kms"].null_count == plain.num_rows
