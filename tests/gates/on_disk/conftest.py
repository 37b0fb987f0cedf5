import predecessor_world as pw
import pytest


@pytest.fixture(scope="session")
def rows(good):
    """Rows of the sound set in the predecessor's columns, its faults mended."""
    return pw.rows_of(good.table, null_for_controls=False)


@pytest.fixture(scope="session")
def as_it_was(good):
    """The same rows with its faults: seeing is null in controls."""
    return pw.rows_of(good.table)
