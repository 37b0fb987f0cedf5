import pytest
from gate_world import sample_of


@pytest.fixture(scope="session")
def faulty(good):
    """Samples of planted faults, each taken once."""
    made = {}

    def sample(fault, *args):
        key = (fault.__name__, args)
        if key not in made:
            made[key] = sample_of(fault(good.table, *args), good.world.experiment)
        return made[key]

    return sample
