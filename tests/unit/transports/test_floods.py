"""Clients that are refused again and again are dropped unread, also behind a proxy that speaks the PROXY protocol. Behind an
HTTP proxy they get their answer late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from server.app.uvicorn_http import HttpProtocol, arrivals
from server.http.client_address import TrustedProxies
from server.http.floods import MAX_WAITING, PAUSE, FloodAnswers
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


def _timers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Callable[[], None]]]:
    """The timers that the event loop is asked for; they never end by themselves."""
    timers = list[tuple[float, Callable[[], None]]]()

    def later(delay: float, do: Callable[..., None], *arguments: object) -> asyncio.TimerHandle:
        timers.append((delay, lambda: do(*arguments)))
        return cast(asyncio.TimerHandle, SimpleNamespace(cancel=lambda: None))

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", later)
    return timers


async def test_answers_to_floods_come_late_and_those_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, answers = _timers(monkeypatch), FloodAnswers()
    waiting = [Opened(PROXY) for _ in range(MAX_WAITING)]
    for each in waiting:
        answers.answer(each)
    assert [delay for delay, _ in timers] == [PAUSE] * MAX_WAITING
    beyond = Opened(PROXY)
    answers.answer(beyond)
    assert beyond.closed
    assert beyond.written
    assert not any(each.written or each.closed for each in waiting)
    waiting[0].abort()
    for _, end in timers:
        end()
    assert waiting[0].written == b"", "it has gone"
    assert all(each.written == beyond.written and each.closed for each in waiting[1:])
    answers.answer(Opened(PROXY))
    assert len(timers) == MAX_WAITING + 1, "there is room again"


async def test_a_handshake_of_a_flood_is_answered_late_without_h11(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, opened = _timers(monkeypatch), Opened(PROXY)
    acceptor = cast(Any, SimpleNamespace(floods=lambda ip: ip == FLOODING))
    config = uvicorn.Config(app=lambda: None, lifespan="off", log_config=None)
    config.load()
    arrival = arrivals(acceptor, proxies=TrustedProxies([PROXY]))(config, ServerState(), {})
    arrival.connection_made(opened)
    arrival.data_received(
        f"GET /realtime HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {FLOODING}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    arrival.data_received(b"more")
    assert opened.written == b""
    [(pause, end)] = timers
    assert pause == PAUSE
    end()
    assert opened.written.startswith(b"HTTP/1.1 429 ")
    assert opened.closed
    arrival.connection_lost(None)


@pytest.mark.parametrize(("client", "answered"), [(FLOODING, True), ("198.51.100.8", False)])
async def test_a_flood_behind_an_http_proxy_is_answered_without_the_application(
    monkeypatch: pytest.MonkeyPatch, client: str, answered: bool
) -> None:
    timers = _timers(monkeypatch)
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
    for _, end in timers[-1:] if answered else []:
        assert opened.written == b"", "it waits"
        end()
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
