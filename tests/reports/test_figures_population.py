"""The picture of lenses and sources: drawn for a population and for an experiment that assumes less."""

import matplotlib.image as image
import numpy as np
import pytest
import stamp_world

from darkhaloscope.reports.figures_population import population_figure, population_numbers


@pytest.fixture(scope="module")
def bank_path(tmp_path_factory):
    return stamp_world.bank(tmp_path_factory.mktemp("population-figure"))


@pytest.mark.parametrize("population", [True, False])
def test_the_figure_is_drawn_and_says_what_is_there(bank_path, tmp_path, population):
    lens = {"theta_e_draw": "population", "theta_e_arcsec": (0.6, 3.0)} if population else {}
    chosen = stamp_world.experiment(lens=lens, sources={"colours": "galaxy" if population else "scattered"})
    manifest = stamp_world.manifest_of(chosen, bank_path)
    path = population_figure(manifest, tmp_path / "population.png")
    picture = image.imread(path)
    assert picture.shape[0] > 400
    assert np.ptp(picture[..., :3]) > 0.5
    numbers = population_numbers(manifest)
    assert ("sigma_v_kms" in numbers) == population
    theta = stamp_world.of_kind(manifest, "positive")["theta_e_arcsec"].to_numpy()
    assert numbers["theta_e_arcsec"][2] == np.quantile(theta, 0.5)
    again = population_figure(manifest, tmp_path / "again.png")
    assert again.read_bytes() == path.read_bytes()
