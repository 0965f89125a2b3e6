"""HTTP for the examples: their files, and the addresses of the back end. Only pages of this machine may use them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from examples.back_end import BackEnd, RefusedError
from examples.realtime_server import EXAMPLES, PAGES

__all__ = ["PageServer"]

MAX_BODY = 2 * 1024 * 1024
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}
_IMPORT_MAP = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)
_CALL = re.compile(rf"/call/({'|'.join(each.name for each in EXAMPLES)})/([a-z_]+)")


class PageServer(ThreadingHTTPServer):
    """Serves on ``localhost:port`` what ``back_end`` does for the pages. Raises ``OSError`` if the port is taken."""

    daemon_threads = True

    def __init__(self, port: int, back_end: BackEnd) -> None:
        self.back_end = back_end
        super().__init__(("127.0.0.1", port), _Handler)
        self.port: int = self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        self._answer(lambda: _page(self.server.back_end, urlsplit(self.path).path))

    def do_POST(self) -> None:
        self._answer(lambda: ("application/json", json.dumps(self._posted()).encode()))

    def _posted(self) -> dict[str, Any]:
        back_end, path, body = self.server.back_end, urlsplit(self.path).path, self._body()
        if path == "/sign-in":
            return back_end.sign_in(body.get("name"))
        # A header that pages of other origins cannot send: no request is made in a user's name by them.
        user = back_end.sessions.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if user is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Sign in first.")
        if path == "/token":
            return back_end.token(user)
        if called := _CALL.fullmatch(path):
            return back_end.call(called[1], called[2], user, body)
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such address.")

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is more than 2 MB.")
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The body is not a JSON object.")
        return body

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        status = HTTPStatus.OK
        try:
            if self.headers.get("Host") not in {f"localhost:{self.server.port}", f"127.0.0.1:{self.server.port}"}:
                raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "These pages are for this machine.")
            kind, content = make()
        except RefusedError as refused:
            status, kind, content = refused.status, "application/json", json.dumps({"error": str(refused)}).encode()
        self.send_response(status)
        for name, value in _headers(self.server.back_end.url, kind, content).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


def _headers(realtime: str, kind: str, content: bytes) -> dict[str, str]:
    """A page may load its own files and the SDK, connect to both servers, and make no markup of a text.

    Of scripts in the page itself only its import map is allowed, by its hash: it names the files of packages from npm.
    """
    import_map = _IMPORT_MAP.search(content) if kind == "text/html" else None
    digest = f" 'sha256-{base64.b64encode(hashlib.sha256(import_map[1]).digest()).decode()}'" if import_map else ""
    policy = {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "script-src": f"'self' {realtime}{digest}",
        "style-src": "'self'",
        "img-src": "data:",
        "connect-src": f"'self' {realtime} {realtime.replace('http', 'ws', 1)}",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _page(back_end: BackEnd, path: str) -> tuple[str, bytes]:
    """A file of the examples; ``/realtime.js`` is the SDK of the realtime server, and the address of that."""
    if path == "/realtime.js":
        module = f'export * from "{back_end.url}/realtime/sdk.js";\nexport const url = {json.dumps(back_end.url)};\n'
        return "text/javascript", module.encode()
    file = (PAGES / f".{path}index.html" if path.endswith("/") else PAGES / f".{path}").resolve()
    if file.suffix not in _TYPES or not file.is_relative_to(PAGES.resolve()) or not file.is_file():
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")
    return _TYPES[file.suffix], file.read_bytes()
