"""Spellings of an address that a proxy or a server may take for another one: none gets past authentication."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import server
from server.app.http_app import make_app
from server.auth.api_keys import KeyRing
from server.observe.health import health_routes
from server.rest import Rest
from server.rest.access import Access
from tests.support.fakes.server import fake_server
from tests.support.sources import python_files
from tests.unit.websocket.test_ws_handshake import ask, request

PACKAGE = Path(server.__file__).parent
SOCKETS = (
    "//realtime",
    "/./realtime",
    "/realtime/",
    "/realtime/.",
    "/realtime%2f",
    "/realtime;x",
    "/REALTIME",
    "/x/../realtime",
)
RESTS = (
    "/realtime/connections",
    "//realtime/connections",
    "/realtime//connections",
    "/realtime/./connections",
    "/realtime/x/../connections",
    "/realtime/connections/",
    "/realtime/connections;x",
    "/realtime/connections%2f",
    "/realtime%2fconnections",
    "/realtime/%63onnections",
    "/REALTIME/connections",
)


async def test_other_spellings_of_the_path_are_no_websocket() -> None:
    async with fake_server() as server:
        for path in SOCKETS:
            answered, _, writer = await ask(server, request(line=f"GET {path} HTTP/1.1"))
            writer.close()
            assert answered.status in (404,), path
        assert not server.connections


async def test_no_extension_is_agreed_on_so_there_is_nothing_to_decompress() -> None:
    async with fake_server() as server:
        answered, _, writer = await ask(
            server, request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        )
        writer.close()
        assert answered.status == 101
        assert not any(name.lower() == "sec-websocket-extensions" for name in answered.headers)


@pytest.mark.parametrize("path", RESTS)
@pytest.mark.parametrize("host", ["a", "a:b:c", "[::1", "a/realtime/docs?", "\xff"])
async def test_no_spelling_of_path_or_host_reaches_rest_without_its_key(path: str, host: str) -> None:
    rest = Rest("host=nowhere.invalid", "1", access=Access("k", KeyRing()), pool_size=1, message_size=1000)
    app = make_app(health_routes(lambda: {"status": "ok"}), [rest.mount])
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", host.encode("latin-1"))]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    await app(
        {**scope, "scheme": "http", "server": ("a", 80), "client": ("203.0.113.1", 1), "root_path": ""}, receive, send
    )
    assert sent[0]["status"] in (401, 404), sent


@pytest.mark.parametrize("path", [path for path in python_files(PACKAGE) if b".url" in path.read_bytes()], ids=str)
def test_nothing_is_decided_by_an_address_made_of_the_header_host(path: Path) -> None:
    """A path of ``request.url`` may be another one than that which was routed (CVE-2026-48710 of Starlette)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("request", "url"), f"line {node.lineno}"
