"""The only place where columns are named.

``columns`` holds the mechanics (a column, its role, its unit; a table schema
and its validation), ``tables`` the tables of the system. Nothing here reads or
writes files.
"""

from darkhaloscope.schema.columns import Column, Role, TableSchema
from darkhaloscope.schema.tables import (
    ANCHOR_STAMPS,
    ANCHORS,
    BANDS,
    BRICKS,
    HOSTS,
    MANIFEST,
    PARENTS,
    QUANTISED,
    SCORES,
    SELECTIONS,
    SKY_SPLITS,
    STAMPS,
    per_band,
)

__all__ = [
    "ANCHORS",
    "ANCHOR_STAMPS",
    "BANDS",
    "BRICKS",
    "HOSTS",
    "MANIFEST",
    "PARENTS",
    "QUANTISED",
    "SCORES",
    "SELECTIONS",
    "SKY_SPLITS",
    "STAMPS",
    "Column",
    "Role",
    "TableSchema",
    "per_band",
]
