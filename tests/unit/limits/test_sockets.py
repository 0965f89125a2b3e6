"""Sockets of one network that are no WebSockets: so many at the same time, and what is beyond that is closed unread."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from server.app import uvicorn_http
from server.http.client_address import TrustedProxies
from server.limits.sockets import NetworkSockets
from server.transports.websocket import arrival
from tests.support.fakes.opened import Opened

PROXY, CLIENT, OTHER = "192.0.2.1", "198.51.100.7", "198.51.100.8"
HEAD = b"GET /realtime HTTP/1.1\r\n"
HANDSHAKE = HEAD + (
    b"Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def opening(sockets: NetworkSockets, **options: Any) -> Callable[..., tuple[Any, Opened]]:
    """Opens sockets, as a server with these options has them accepted."""
    config = uvicorn.Config(app=lambda: None, lifespan="off", log_config=None)
    config.load()
    deciding = {"floods": lambda ip: False, "arrivals": lambda ip: None, "accept": lambda request: None}
    acceptor = cast(Any, SimpleNamespace(**deciding, message_hard_cap=1024))
    factory = uvicorn_http.arrivals(acceptor, proxies=TrustedProxies([PROXY]), sockets=sockets, **options)

    def opened(ip: str, data: bytes = b"") -> tuple[Any, Opened]:
        protocol, transport = factory(config, ServerState(), {}), Opened(ip)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)
        return transport.protocol or protocol, transport

    return opened


def test_networks_are_counted_apart_and_closed_sockets_no_more() -> None:
    sockets = NetworkSockets(2)
    held = [sockets.enter(ip) for ip in ("2001:db8::1", "2001:db8::2")]
    assert sockets.enter("2001:db8::3") is None, "one /64"
    assert sockets.enter("2001:db8:0:1::3") is not None
    for _ in range(5):
        assert sockets.enter(None) is not None
        assert sockets.enter("127.0.0.1") is not None, "the machine itself"
    assert held[0] is not None
    held[0].leave()
    held[0].leave()
    assert sockets.enter("2001:db8::4") is not None
    assert sockets.enter("2001:db8::5") is None
    assert len(sockets) == 2


def test_a_network_without_sockets_is_forgotten() -> None:
    sockets = NetworkSockets(2)
    socket = sockets.enter(CLIENT)
    assert socket is not None
    socket.leave()
    assert len(sockets) == 0


def test_what_is_refused_is_reported_once_a_minute() -> None:
    times = iter((10.0, 11.0, 69.0, 71.0))
    sockets = NetworkSockets(1, lambda: next(times))
    assert sockets.enter(CLIENT) is not None
    with capture_logs() as logs:
        assert [sockets.enter(CLIENT) for _ in range(4)] == [None] * 4
    assert [(log["event"], log["network"], log["most"]) for log in logs] == [("sockets_refused", CLIENT, 1)] * 2


@pytest.mark.parametrize("begun", [b"", HEAD], ids=["nothing has come", "a head that does not end"])
async def test_sockets_without_a_request_are_bounded_and_the_ones_beyond_are_closed_unread(begun: bytes) -> None:
    opened = opening(NetworkSockets(3))
    held = [opened(CLIENT, begun) for _ in range(3)]
    refused, transport = opened(CLIENT, begun)
    assert transport.aborted
    assert [each.aborted for _, each in held] == [False] * 3
    refused.connection_lost(None)
    assert not opened(OTHER, begun)[1].aborted
    held[0][0].connection_lost(None)
    assert not opened(CLIENT, begun)[1].aborted, "there is room again, and one for a refused one was never taken"
    assert opened(CLIENT, begun)[1].aborted


@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
async def test_a_websocket_is_no_such_socket_any_more(proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded: list[bytes] = []
    for module in (uvicorn_http, arrival):
        monkeypatch.setattr(module, "become_websocket", lambda *_: upgraded.append(b"websocket"))
    opened = opening(NetworkSockets(1), proxy_protocol=proxied)
    header = f"PROXY TCP4 {CLIENT} 192.0.2.2 4711 80\r\n".encode() if proxied else b""
    for number in range(3):
        _, transport = opened(PROXY if proxied else CLIENT, header + HANDSHAKE)
        assert not transport.aborted
        assert len(upgraded) == number + 1
    assert not opened(CLIENT)[1].aborted
    assert opened(CLIENT)[1].aborted


async def test_sockets_of_a_trusted_proxy_are_not_counted_but_those_of_the_clients_that_its_header_names() -> None:
    through_http = opening(NetworkSockets(1))
    assert not any(through_http(PROXY, HEAD)[1].aborted for _ in range(5))

    through_tcp = opening(NetworkSockets(1), proxy_protocol=True)
    header = f"PROXY TCP4 {CLIENT} 192.0.2.2 4711 80\r\n".encode()
    first, transport = through_tcp(PROXY, header)
    assert not transport.aborted
    assert not any(through_tcp(PROXY)[1].aborted for _ in range(5)), "whose they are is still to come"
    assert through_tcp(PROXY, header)[1].aborted
    first.connection_lost(None)
    assert not through_tcp(PROXY, header)[1].aborted
    assert not through_tcp(OTHER, HEAD)[1].aborted, "of another address a header is a request, and it counts itself"
    assert through_tcp(OTHER, HEAD)[1].aborted
