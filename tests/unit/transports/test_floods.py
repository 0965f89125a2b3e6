"""Clients that are refused again and again are dropped unread, also behind a proxy that speaks the PROXY protocol."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from server.app.uvicorn_http import HttpProtocol
from server.http.client_address import TrustedProxies
from server.transports.websocket.handshakes import Handshakes
from tests.support.fakes.opened import Opened

PROXY, FLOODING = "192.0.2.1", "198.51.100.7"


@pytest.mark.parametrize(("client", "dropped"), [(FLOODING, True), ("198.51.100.8", False), (PROXY, False)])
@pytest.mark.parametrize("cut", [0, 10], ids=["whole", "in pieces"])
async def test_a_flood_that_a_proxy_header_names_is_dropped_unread(client: str, dropped: bool, cut: int) -> None:
    read: list[bytes] = []
    acceptor = cast(Any, SimpleNamespace(floods=lambda ip: ip in (FLOODING, PROXY)))
    config = uvicorn.Config(app=lambda: None, lifespan="off", log_config=None)
    config.load()
    handshakes = Handshakes(acceptor, TrustedProxies([PROXY]))
    protocol = HttpProtocol(handshakes, config, ServerState(), {}, proxy_protocol=True)
    protocol.handle_events = lambda: read.append(b"read")  # type: ignore[method-assign]
    opened = Opened(PROXY)
    protocol.connection_made(opened)
    data = f"PROXY TCP4 {client} 192.0.2.2 4711 80\r\nGET /health HTTP/1.1\r\n".encode()
    for piece in (data[:cut], data[cut:]):
        if piece:
            protocol.data_received(piece)
    assert (opened.aborted, bool(read)) == (dropped, not dropped)
    protocol.connection_lost(None)
    assert protocol not in protocol.connections


@pytest.mark.parametrize(("client", "answered"), [(FLOODING, True), ("198.51.100.8", False)])
async def test_a_flood_behind_an_http_proxy_is_answered_without_the_application(client: str, answered: bool) -> None:
    acceptor = cast(Any, SimpleNamespace(floods=lambda ip: ip == FLOODING))
    called: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["client"][0])
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app=app, lifespan="off", log_config=None)
    config.load()
    protocol = HttpProtocol(Handshakes(acceptor, TrustedProxies([PROXY])), config, ServerState(), {})
    opened = Opened(PROXY)
    protocol.connection_made(opened)
    request = f"GET /realtime/sse HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
    protocol.data_received(request + request)
    tasks = list(protocol.tasks)
    assert (opened.closed, opened.aborted, tasks == []) == (answered, False, answered)
    await asyncio.gather(*tasks)
    assert called == ([] if answered else [client, client])
    if answered:
        head, _, body = opened.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\n")
        assert b"x-content-type-options: nosniff" in head
        assert body == b"", "the second request is not answered"
    protocol.connection_lost(None)
    assert protocol not in protocol.connections
