"""What identifies the survey files an artefact was made from.

Tables are hashed. Sweeps of a real release are terabytes and never change under
their name, so a sweep counts by name and size.
"""

from __future__ import annotations

from pathlib import Path

from darkhaloscope.errors import MissingDataError, describe
from darkhaloscope.hashing import hash_json, sha256_file
from darkhaloscope.survey import layout
from darkhaloscope.survey.release import Release


def table_hashes(root: str | Path, release: Release) -> dict[str, str]:
    """Return the hash of every brick table below a survey root.

    Raises
    ------
    MissingDataError
        If a table does not exist.
    """
    hashes = {}
    for path in (layout.all_bricks(root), layout.brick_summary(root, release)):
        if not path.is_file():
            raise MissingDataError(
                describe("Brick table not found", file=path, hint="check the survey root and the release")
            )
        hashes[path.name] = sha256_file(path)
    return hashes


def sweep_hash(root: str | Path, release: Release) -> dict[str, str]:
    """Return one hash over names and sizes of the sweeps below a survey root."""
    listing = [[file.path.name, file.path.stat().st_size] for file in layout.sweep_files(root, release)]
    return {"sweeps": hash_json(sorted(listing))}
