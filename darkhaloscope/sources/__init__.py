"""The source galaxies: catalogue reader, bank, analytic twins, brightness and colours.

What is lensed lives here; how it is lensed does not. Building a bank, in
``sources.bank``, is not offered here: it reads FITS, which no worker that
injects sources needs to load.
"""

from darkhaloscope.sources.bankfile import SourceBank
from darkhaloscope.sources.library import SourceLibrary, open_sources
from darkhaloscope.sources.population import draw_source_magnitudes, draw_source_rows
from darkhaloscope.sources.sersic import SersicSources

__all__ = [
    "SersicSources",
    "SourceBank",
    "SourceLibrary",
    "draw_source_magnitudes",
    "draw_source_rows",
    "open_sources",
]
