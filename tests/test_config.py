from pathlib import Path

import pytest

from darkhaloscope.config import Experiment, load_experiment, load_experiments
from darkhaloscope.errors import ConfigError
from darkhaloscope.profiles import DEMO, FULL, get_profile

SHIPPED = Path(__file__).resolve().parents[1] / "experiments"
HEAD = "name: mine\ntitle: t\ndescription: d\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_shipped_experiments_load():
    assert list(load_experiments(SHIPPED)) == ["gen4-sersic", "gen5-cosmos", "gen5-prime", "gen6"]


def test_unknown_key_names_file_line_and_what_is_known(tmp_path):
    path = write(tmp_path, HEAD + "lens:\n  q: [0.5, 0.9]\n  thetta_e: 3\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:6, field lens\.thetta_e.*theta_e_arcsec"):
        load_experiment(path)


def test_value_out_of_range_names_its_line(tmp_path):
    path = write(tmp_path, HEAD + "lens:\n  q: [0.05, 0.9]\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:5, field lens\.q\.0.*greater than or equal to 0\.2"):
        load_experiment(path)


def test_fractions_must_sum_to_one(tmp_path):
    path = write(tmp_path, HEAD + "split:\n  fractions: [0.7, 0.2, 0.2]\n")
    with pytest.raises(ConfigError, match="must sum to 1"):
        load_experiment(path)


@pytest.mark.parametrize(
    "sources", ["{magnitude: host_tied}", "{dimming_mag: [0.5, 0.5]}", "{dimming_mag: [1.0, 0.0]}"]
)
def test_a_chosen_flux_needs_a_prior(tmp_path, sources):
    text = HEAD + f"snr_targeting:\n  mode: choose_flux\nsources: {sources}\n"
    with pytest.raises(ConfigError, match=r"sources\.dimming_mag"):
        load_experiment(write(tmp_path, text))
    assert load_experiment(write(tmp_path, text.replace("choose_flux", "floor"))).sources


def test_the_table_of_targets_is_that_of_the_documents():
    targeting = Experiment(name="a", title="t", description="d").snr_targeting
    assert targeting.bin_edges == (0.8, 2.0, 8.0, 20.0, 50.0)
    assert targeting.bin_shares == (0.40, 0.40, 0.15, 0.05)


def test_waiver_needs_a_reason(tmp_path):
    path = write(tmp_path, HEAD + "gates:\n  waivers:\n    - gate: S2\n      reason: because\n")
    with pytest.raises(ConfigError, match=r"waivers\.0\.reason"):
        load_experiment(path)


def test_name_must_be_the_file_name(tmp_path):
    with pytest.raises(ConfigError, match="must be mine, got yours"):
        load_experiment(write(tmp_path, HEAD.replace("mine", "yours")))


def test_broken_yaml_names_the_line(tmp_path):
    with pytest.raises(ConfigError, match=r"mine\.yaml:3"):
        load_experiment(write(tmp_path, "name: mine\ntitle: [\ndescription: d: e\n"))


def test_experiment_is_frozen():
    experiment = load_experiment(SHIPPED / "gen6.yaml")
    with pytest.raises(ValueError, match="frozen"):
        experiment.seed = 3


def test_dataset_hash_follows_the_data_and_not_the_training():
    experiment = load_experiment(SHIPPED / "gen6.yaml")
    other = experiment.model_dump()
    other["training"]["learning_rate"] = 0.5
    slower = Experiment.model_validate(other)
    assert slower.dataset_hash(DEMO) == experiment.dataset_hash(DEMO)
    assert slower.config_hash(DEMO) != experiment.config_hash(DEMO)
    other["lens"]["shear_sigma"] = 0.01
    assert Experiment.model_validate(other).dataset_hash(DEMO) != experiment.dataset_hash(DEMO)
    assert experiment.dataset_hash(FULL) != experiment.dataset_hash(DEMO)


def test_unknown_profile_is_named():
    with pytest.raises(ConfigError, match=r"one of \['demo', 'full', 'test'\], got huge"):
        get_profile("huge")
