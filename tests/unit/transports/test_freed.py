"""A session of an event stream or of long polling is freed with its last use, as WebSockets are (``test_ws_freed``)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.limits.connection_limits import ConnectionLimits
from tests.support.clients.freed import found_by_the_collector, only_new_objects
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CONNECTIONS = 10


async def _request(server: FakeServer, line: str, body: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    return reader, writer


async def _stream(server: FakeServer) -> None:
    reader, writer = await _request(server, "GET /realtime/sse?channel=a&channel=db:collection:list")
    await reader.readuntil(b'"session":"')
    session = (await reader.readuntil(b'"'))[:-1].decode()
    ping = json.dumps({"session": session, "seq": 1, "messages": [{"type": "ping"}]})
    sent, sending = await _request(server, "POST /realtime/send", ping)
    await sent.readuntil(b"202")
    sending.close()
    await reader.readuntil(b"pong")
    writer.close()
    await server.left_alone()


async def _refused(server: FakeServer) -> None:
    """A handshake of another version."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n\r\n"
    )
    assert b" 426 " in await reader.read()
    writer.close()


async def _asked(server: FakeServer, line: str, body: dict[str, object]) -> dict[str, Any]:
    """The answer's body; empty if it has none."""
    reader, writer = await _request(server, line, json.dumps(body))
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = head.partition("content-length: ")[2].partition("\r\n")[0]
    answer: dict[str, Any] = json.loads(await reader.readexactly(int(size or 0)) or "{}")
    writer.close()
    return answer


async def _polling(server: FakeServer) -> None:
    session = (await _asked(server, "POST /realtime/poll?channel=a", {}))["session"]
    ping = {"seq": 1, "messages": [{"type": "ping"}]}
    cursor = 0
    while True:
        answer = await _asked(server, "POST /realtime/poll", {"session": session, "cursor": cursor, **ping})
        if any(message["type"] == "close" for message in answer["messages"]):
            break
        cursor, ping = answer["cursor"], {}
        if any(message["type"] == "pong" for message in answer["messages"]):
            await _asked(server, "DELETE /realtime/session", {"session": session})
    ended = await _asked(server, "POST /realtime/poll", {"session": session, "cursor": answer["cursor"]})
    assert ended["status"] == 404
    await server.left_alone()


@pytest.mark.parametrize(
    "come_and_go", [_stream, _polling, _refused], ids=["event stream", "long polling", "refused handshake"]
)
async def test_an_ended_session_leaves_nothing_to_the_cyclic_collector(
    come_and_go: Callable[[FakeServer], Awaitable[None]],
) -> None:
    async with fake_server(connection_limits=ConnectionLimits(close_timeout=0.01)) as server:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await come_and_go(server)
            with only_new_objects():
                for _ in range(_CONNECTIONS):
                    await come_and_go(server)
                after_the_timers = asyncio.Event()
                asyncio.get_running_loop().call_later(0.05, after_the_timers.set)
                await after_the_timers.wait()
                assert found_by_the_collector() == []
