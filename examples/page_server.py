"""HTTP for the examples: their files, and the addresses of the back end. Only pages of this machine may use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from examples.back_end import BackEnd, RefusedError
from examples.realtime_server import EXAMPLES, PAGES

__all__ = ["PageServer", "Pages"]

MAX_BODY = 2 * 1024 * 1024
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".map": "application/json"}
_NAMES = "|".join(each.name for each in EXAMPLES)
_CALL = re.compile(rf"/call/({_NAMES})/([a-z_]+)")
_PUSH = re.compile(r"/push/(state|subscribe|unsubscribe)")
_EXAMPLE = re.compile(rf"/({_NAMES})/(?:index\.html)?")
_NOT_HERE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>Not running</title>
<link rel="icon" href="data:," />
<link rel="stylesheet" href="/shared/style.css" />
</head>
<body>
<header class="top"><h1>This example does not run</h1></header>
<main class="column"><p>{}</p></main>
</body>
</html>
"""


@dataclass(frozen=True)
class Pages:
    """What is served. ``examples``: those that were started. ``built``: the folder of what ``build.mjs`` has made.

    ``lacking``: why the page of an example is not there, by its name.
    """

    examples: Collection[str]
    built: Path
    lacking: Mapping[str, str] = field(default_factory=dict)

    def missing(self, example: str) -> str | None:
        """Why there is no page of ``example``."""
        if example not in self.examples:
            return f"It was not started: run `python -m examples {example}`."
        return self.lacking.get(example)

    def file(self, path: str) -> Path | None:
        """The file at ``path`` of an address."""
        folder = PAGES
        if path.startswith("/build/"):
            folder, path = self.built, path.removeprefix("/build")
        found = folder.joinpath(f".{path}index.html" if path.endswith("/") else f".{path}").resolve()
        inside = found.is_relative_to(folder.resolve()) and "node_modules" not in found.parts
        return found if found.suffix in _TYPES and inside and found.is_file() else None


class PageServer(ThreadingHTTPServer):
    """Serves on ``localhost:port`` the ``pages``, and what ``back_end`` does for them.

    Raises ``OSError`` if the port is taken.
    """

    daemon_threads = True

    def __init__(self, port: int, back_end: BackEnd, pages: Pages) -> None:
        self.back_end = back_end
        self.pages = pages
        super().__init__(("127.0.0.1", port), _Handler)
        self.port: int = self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        self._answer(lambda: _page(self.server, urlsplit(self.path).path))

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
        if pushed := _PUSH.fullmatch(path):
            return back_end.web_push(pushed[1], user, body)
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
        status, retry_after = HTTPStatus.OK, None
        try:
            if self.headers.get("Host") not in {f"localhost:{self.server.port}", f"127.0.0.1:{self.server.port}"}:
                raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "These pages are for this machine.")
            kind, content = make()
        except RefusedError as refused:
            status, kind, content = refused.status, "application/json", json.dumps({"error": str(refused)}).encode()
            retry_after = refused.retry_after
        self.send_response(status)
        worker = self.path.startswith("/feed/")
        for name, value in _headers(self.server.back_end.url, kind, worker=worker).items():
            self.send_header(name, value)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


def _headers(realtime: str, kind: str, *, worker: bool) -> dict[str, str]:
    """A page may load its own files and the SDK, connect to both servers, and make no markup of a text; one with a service
    ``worker`` may name the address of that by the policy of this name.
    """
    policy = {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "script-src": f"'self' {realtime}",
        "style-src": "'self'",
        "img-src": "data:",
        "connect-src": f"'self' {realtime} {realtime.replace('http', 'ws', 1)}",
        "require-trusted-types-for": "'script'",
        "trusted-types": "service-worker" if worker else "'none'",
    }
    return {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _page(server: PageServer, path: str) -> tuple[str, bytes]:
    """A file of the examples; ``/address.js`` is the address of the realtime server, ``/realtime.js`` that and its SDK."""
    url, pages = server.back_end.url, server.pages
    address = f"export const url = {json.dumps(url)};\n"
    if path == "/address.js":
        return "text/javascript", address.encode()
    if path == "/realtime.js":
        return "text/javascript", f'export * from "{url}/realtime/sdk.js";\n{address}'.encode()
    if (example := _EXAMPLE.fullmatch(path)) and (reason := pages.missing(example[1])):
        return "text/html", _NOT_HERE.format(escape(reason)).encode()
    file = pages.file(path)
    if file is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")
    return _TYPES[file.suffix], file.read_bytes()
