"""`make serve`: the home page and the reports, served for this machine only, kept up to date.

Owns the server: which files of the home it gives, to whom, and that a request changes nothing. Does not own
the page (`home/page.py`). It answers GET only, on 127.0.0.1, to a browser that asked for this machine, so
that no page of the network can read the home through it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = "127.0.0.1"
NAMES = (HERE, "localhost")
# Where files are given from, below the home, and which: no weights, and nothing whose name starts with a dot.
FOLDERS = ("artifacts", "submissions", "tuning", "plans")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
PAGE = "/reports/index.html"
# The page is made anew at most so often, however many browsers ask.
FRESH_SECONDS = 1.0
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def file_of(home: Path, path: str) -> Path | None:
    """The file below the home that a request names; None: there is none that may be given.

    A path with a part that starts with a dot, and a link that leads out of its folder, name nothing.
    """
    parts = unquote(urlsplit(path).path).split("/")[1:]
    if len(parts) < 2 or parts[0] not in FOLDERS:
        return None
    if any(not part or part.startswith(".") or re.search(r"[\\\0-\x1f]", part) for part in parts):
        return None
    folder = (home / parts[0]).resolve()
    try:
        file = folder.joinpath(*parts[1:]).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    inside = file.is_relative_to(folder) and file.is_file()
    return file if inside and file.suffix in TYPES else None


class Fresh:
    """The page, made anew when it is older than a second; `make` writes nothing."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make, self._page, self._made = make, "", float("-inf")
        self._lock = threading.Lock()

    def page(self) -> bytes:
        """The page as bytes."""
        with self._lock:
            if time.monotonic() - self._made >= FRESH_SECONDS:
                self._page = self._make()
                self._made = time.monotonic()
            return self._page.encode()


class Handler(BaseHTTPRequestHandler):
    """Answers GET; every other method is refused by the base class."""

    server_version, sys_version = "Podium", ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def __init__(self, home: Path, fresh: Fresh, *args: object) -> None:
        self._home, self._fresh = home, fresh
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Give the page, or a file of the home."""
        if not self._asked_for_here():
            self._answer(HTTPStatus.FORBIDDEN, b"only for this machine\n", "text/plain")
            return
        path = urlsplit(self.path).path
        if path in ("/", "/index.html", "/reports", "/reports/"):
            self._answer(HTTPStatus.FOUND, b"", "text/plain", {"Location": PAGE})
        elif path == PAGE:
            self._answer(HTTPStatus.OK, self._fresh.page(), TYPES[".html"])
        elif (file := file_of(self._home, self.path)) is not None:
            self._answer(HTTPStatus.OK, file.read_bytes(), TYPES[file.suffix])
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page\n", "text/plain")

    def _asked_for_here(self) -> bool:
        """Whether the browser asked for this machine: a page elsewhere may give its own name our address."""
        host = self.headers.get("Host", "")
        return host.rpartition(":")[0] in NAMES or host in NAMES

    def _answer(self, status: HTTPStatus, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for each request of a browser that asks every few seconds is noise."""


def server(home: Path, make: Callable[[], str], port: int) -> ThreadingHTTPServer:
    """A server that is bound and not yet started; port 0: any free one."""
    made = ThreadingHTTPServer((HERE, port), partial(Handler, home, Fresh(make)))
    made.daemon_threads = True
    return made
