"""The source galaxies: catalogue reader, bank, analytic twins, brightness and colours.

What is lensed lives here; how it is lensed does not.
"""

from darkhaloscope.sources.bank import BankLimits, build_bank
from darkhaloscope.sources.bankfile import SourceBank
from darkhaloscope.sources.library import SourceLibrary, open_sources
from darkhaloscope.sources.population import draw_source_magnitudes, draw_source_rows
from darkhaloscope.sources.sersic import SersicSources

__all__ = [
    "BankLimits",
    "SersicSources",
    "SourceBank",
    "SourceLibrary",
    "build_bank",
    "draw_source_magnitudes",
    "draw_source_rows",
    "open_sources",
]
