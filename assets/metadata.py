"""Dagster metadata of an artefact: numbers under stable keys, links and pictures."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from PIL import Image

from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore

MAX_INLINE_PICTURE_BYTES = 90_000
"""Inline pictures sit in the event log row of every materialisation; larger ones freeze dialogs."""


WAIVERS = "waivers"
"""Summary entry and metadata key of the waivers an artefact rests on."""


def waiver_summary(waivers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the waivers an artefact rests on, under keys that every artefact has.

    Parameters
    ----------
    waivers : sequence of dict
        ``gate`` and ``reason`` of each, and ``experiment`` where several share a record.
    """
    names = [" ".join(filter(None, (one.get("experiment"), one["gate"]))) for one in waivers]
    return {"waived": len(waivers), "waived_gates": ", ".join(names), WAIVERS: [dict(one) for one in waivers]}


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
    """Return the path of a figure and a picture of it small enough for the event log."""
    kind, content = _small_picture(path)
    encoded = base64.b64encode(content).decode()
    return {
        f"{path.stem}_path": dg.MetadataValue.path(path),
        path.stem: dg.MetadataValue.md(f"![{path.stem}](data:image/{kind};base64,{encoded})"),
    }


def _small_picture(path: Path) -> tuple[str, bytes]:
    """Return a PNG as it is if it is small, else as the largest JPEG that is."""
    if path.stat().st_size <= MAX_INLINE_PICTURE_BYTES:
        return "png", path.read_bytes()
    with Image.open(path) as figure:
        picture = figure.convert("RGB")
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=70)
        if buffer.tell() <= MAX_INLINE_PICTURE_BYTES:
            return "jpeg", buffer.getvalue()
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5))
