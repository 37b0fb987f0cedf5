"""A server that speaks the part of the S3 protocol a reader of public files needs.

GET and HEAD of objects, byte ranges, ListObjectsV2 with prefix and delimiter, and
the error documents of a missing key. Directory ``top`` holds one folder per bucket.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import survey_server

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class S3Handler(BaseHTTPRequestHandler):
    """Answers for the buckets that its HTTP server carries; ``busy`` in ``faults`` is S3's SlowDown."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        relative, query = unquote(address.path).strip("/"), parse_qs(address.query)
        survey: survey_server.SurveyServer = self.server.survey
        with survey.lock:
            survey.requests[f"{self.command} {relative}"] += 1
            fault = survey.faults[relative].pop(0) if survey.faults[relative] else ""
        path = survey.top / relative
        if fault == survey_server.BUSY:
            self.reply(503, f"{_XML}<Error><Code>SlowDown</Code></Error>".encode())
        elif "/" not in relative and "list-type" in query:
            self.reply(200, listing(survey.top, relative, query).encode())
        elif path.is_file():
            self.serve(path.read_bytes())
        else:
            self.reply(
                404, f"{_XML}<Error><Code>NoSuchKey</Code><Key>{escape(relative)}</Key></Error>".encode()
            )

    def serve(self, body: bytes) -> None:
        headers = {"ETag": f'"{len(body)}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        asked = self.headers.get("Range", "")
        if not asked:
            self.reply(200, body, headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        stop = min(int(last) + 1 if last else len(body), len(body))
        headers["Content-Range"] = f"bytes {first}-{stop - 1}/{len(body)}"
        self.reply(206, body[int(first) : stop], headers)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def listing(top: Path, bucket: str, query: dict[str, list[str]]) -> str:
    """Return the document of ListObjectsV2."""
    prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
    keys, folders = [], set()
    for path in sorted(p for p in (top / bucket).rglob("*") if p.is_file()):
        key = path.relative_to(top / bucket).as_posix()
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
        else:
            keys.append((key, path.stat().st_size))
    shown = keys[: int(query.get("max-keys", ["1000"])[0])]
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{size}"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>'
        for key, size in shown
    )
    common = "".join(
        f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)
    )
    return (
        f"{_XML}<ListBucketResult {_SPACE}><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
        f"<KeyCount>{len(shown)}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
        f"{contents}{common}</ListBucketResult>"
    )
