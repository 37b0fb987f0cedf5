"""What identifies the survey files an artefact was made from.

Tables are hashed. Sweeps of a real release are terabytes and never change under
their name, so a sweep counts by name and size.
"""

from __future__ import annotations

from darkhaloscope.errors import MissingDataError, describe
from darkhaloscope.hashing import hash_json, sha256_file
from darkhaloscope.survey import layout
from darkhaloscope.survey.coverage import Box, sweeps_of_box
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, open_root


def table_hashes(root: Root, release: Release) -> dict[str, str]:
    """Return the hash of every brick table below a survey root.

    Raises
    ------
    MissingDataError
        If a table does not exist.
    """
    hashes = {}
    files = open_root(root)
    for relative in (layout.ALL_BRICKS, release.brick_summary):
        path = files.path(relative)
        if not path.is_file():
            raise MissingDataError(
                describe("Brick table not found", file=path, hint="check the survey root and the release")
            )
        hashes[path.name] = sha256_file(path)
    return hashes


def sweep_hash(root: Root, release: Release, box: Box | None = None) -> dict[str, str]:
    """Return one hash over names and, where they are at hand, sizes of sweeps.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Which sweeps.
    box : (ra1, ra2, dec1, dec2), optional
        Only those that meet this box in degrees, so that a sweep added
        elsewhere changes nothing here; by default all.
    """
    files = open_root(root)
    sweeps = layout.sweep_files(files, release) if box is None else sweeps_of_box(files, release, box)
    return {"sweeps": hash_json([[sweep.relative, files.size(sweep.relative)] for sweep in sweeps])}


def photo_z_hash(root: Root, release: Release, box: Box) -> dict[str, str]:
    """Return one hash over names and, where they are at hand, sizes of the photo-z sweeps of a box.

    Those that are missing count as missing, so that one that is added is read.

    Parameters
    ----------
    root, release, box
        As in :func:`sweep_hash`.
    """
    files = open_root(root)
    wanted = [layout.photo_z_file(sweep) for sweep in sweeps_of_box(files, release, box)]
    present = set(files.names(layout.photo_z_directory(release.sweep_directory), "sweep-*-pz.fits"))
    found = [name for name in wanted if name.rpartition("/")[2] in present]
    return {"photo-z sweeps": hash_json([[name, files.size(name)] for name in found])}
