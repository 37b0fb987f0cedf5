"""A mock sky: a directory tree that the DR10 reader cannot tell from DR10 by its form.

Here belong the galaxies, stars, lenses and look-alikes of the mock, their
pixels, and the files in DR10's layout, formats, compression and units. Reading
them back, selecting galaxies and cutting stamps do not belong here: the mock
goes through the same reader as the survey. Nothing here is imported by the
injector, and the mock's lenses come from lenstronomy, so that a finder trained
on injections is not graded on its own simulator.
"""

from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.sky import write_mock_sky

__all__ = ["MockSkyConfig", "write_mock_sky"]
