"""Dagster metadata of an artefact: numbers under stable keys, links and pictures."""

import base64
from pathlib import Path
from typing import Any

import dagster as dg

from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore

MAX_INLINE_PICTURE_BYTES = 90_000
"""Inline pictures sit in the event log row of every materialisation; larger ones freeze dialogs."""


def record_metadata(
    store: ArtifactStore, record: ArtifactRecord, *, reused: bool, seconds: float
) -> dict[str, Any]:
    """Return the metadata of a record: numbers under stable keys, links, pictures."""
    directory = store.directory(record.name, *record.partition)
    metadata: dict[str, Any] = {
        "dagster/row_count": record.rows,
        "dagster/uri": str(directory),
        "parts": len(record.parts),
        "bytes": sum(part.bytes for part in record.parts),
        "seconds": seconds,
        "reused": int(reused),
        "content_hash": record.content_hash,
    }
    for key, value in record.summary.items():
        if key == "pictures":
            continue
        if isinstance(value, bool | int | float | str):
            metadata[key] = value
        elif isinstance(value, dict) and all(isinstance(v, int | float) for v in value.values()):
            metadata |= {f"{key}/{name}": number for name, number in value.items()}
        else:
            metadata[key] = dg.MetadataValue.json(value)
    for picture in record.summary.get("pictures", []):
        metadata |= picture_metadata(directory / picture)
    return metadata


def picture_metadata(path: Path) -> dict[str, Any]:
    """Return the path of a figure and, if small enough for the event log, the figure itself."""
    metadata: dict[str, Any] = {f"{path.stem}_path": dg.MetadataValue.path(path)}
    if path.stat().st_size <= MAX_INLINE_PICTURE_BYTES:
        encoded = base64.b64encode(path.read_bytes()).decode()
        metadata[path.stem] = dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{encoded})")
    return metadata
