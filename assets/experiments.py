"""Where experiment files lie, and the partition keys they make."""

from pathlib import Path

from darkhaloscope.config import Experiment, load_experiment

EXPERIMENTS_DIR = Path(__file__).resolve().parents[1] / "experiments"

EXPERIMENT_NAMES = sorted(path.stem for path in EXPERIMENTS_DIR.glob("*.yaml"))


def get_experiment(name: str) -> Experiment:
    """Read one shipped experiment by its partition key."""
    return load_experiment(EXPERIMENTS_DIR / f"{name}.yaml")
