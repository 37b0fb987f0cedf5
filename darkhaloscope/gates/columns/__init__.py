"""All rows in one pass: what the quality and leakage gates measure without pixels.

``scan`` reads the rows once and feeds accumulators that take batches, can be
merged, and take memory that does not grow with the values: ``values`` counts
what every column holds by class and split, ``identities`` who is in which split
how often, ``hostsample`` keeps all rows of a fixed number of galaxies, ``sky``
compares positions. What a gate makes of them is the business of its family.
"""

from darkhaloscope.gates.columns.hostsample import HostRows
from darkhaloscope.gates.columns.identities import Galaxies, Shared
from darkhaloscope.gates.columns.scan import MEASURED, Columns, ColumnScan, Plan, scan_columns
from darkhaloscope.gates.columns.values import KsDistance, ValueCounts

__all__ = [
    "MEASURED",
    "ColumnScan",
    "Columns",
    "Galaxies",
    "HostRows",
    "KsDistance",
    "Plan",
    "Shared",
    "ValueCounts",
    "scan_columns",
]
