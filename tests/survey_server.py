"""A web server of survey files with the faults of real ones, for tests of what reads them remotely.

Serves a directory as Apache does (index pages, sizes) and, on request, is busy,
cuts connections, answers with an error page and status 200, or alters bytes.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUSY, CUT, PAGE, ALTERED = "busy", "cut", "page", "altered"


class SurveyServer:
    """What was asked of the server, and what it is told to do.

    ``faults[path]`` are played in order, one per request, before the file is
    served as it is; ``any_path`` before those, whatever is asked for.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.any_path: list[str] = []
        self.requests: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.hold_s = 0.0
        self.lock = threading.Lock()
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    """Answers for the survey that its HTTP server carries."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        survey: SurveyServer = self.server.survey
        relative = self.path.lstrip("/")
        with survey.lock:
            survey.requests[relative] += 1
            survey.at_once += 1
            survey.most_at_once = max(survey.most_at_once, survey.at_once)
            planned = survey.any_path or survey.faults[relative]
            fault = planned.pop(0) if planned else ""
        try:
            threading.Event().wait(survey.hold_s)
            self.answer(survey.top / relative, fault)
        finally:
            with survey.lock:
                survey.at_once -= 1

    def answer(self, path: Path, fault: str) -> None:
        if fault == BUSY:
            self.reply(429, b"slow down", {"Retry-After": "7"})
        elif fault == PAGE:
            self.reply(200, b"<html>We are down for maintenance</html>")
        elif path.is_dir():
            links = "".join(f'<a href="{p.name}">{p.name}</a>\n' for p in sorted(path.iterdir()))
            page = f'<html><a href="?C=N;O=D">Name</a><a href="/up/">Parent</a>\n{links}</html>'
            self.reply(200, page.encode())
        elif path.is_file():
            self.serve(bytearray(path.read_bytes()), fault)
        else:
            self.reply(404, b"not found")

    def serve(self, body: bytearray, fault: str) -> None:
        size = len(body)
        if fault == ALTERED:
            body[size // 2] ^= 1
        self.reply(200, bytes(body[: size // 2] if fault == CUT else body), {"Content-Length": str(size)})

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        sent = {"Content-Length": str(len(body)), **(headers or {})}
        self.send_response(status)
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if int(sent["Content-Length"]) != len(body):
            self.close_connection = True


@contextmanager
def serving(top: Path, handler: type[Handler] = Handler) -> Iterator[SurveyServer]:
    """Serve a directory on this machine until the block ends."""
    server = SurveyServer(top)
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.survey = server
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
