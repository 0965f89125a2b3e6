"""A closed connection is freed with its last use. The cyclic collector comes seldom in a server
(``server.app.gc_tuning``): what it had to free would be the connections of a long time at once, while every client waits.
"""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from websockets.frames import Opcode

from server.limits.connection_limiter import ArrivalLimits, ConnectionLimiter
from server.limits.connection_limits import ConnectionLimits
from tests.support.clients.freed import found_by_the_collector, only_new_objects
from tests.support.clients.raw_socket import masked
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CONNECTIONS = 10
_HANDSHAKE = (
    b"GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MESSAGES = (
    {"type": "subscribe", "channel": "a"},
    {"type": "subscribe", "channel": "db:collection:list", "id": "1"},
    {"type": "publish", "channel": "a", "event": "e", "payload": {}},
    {"type": "ping"},
)


async def _come_and_go(server: FakeServer, *, clean: bool) -> None:
    """By a plain socket: a client's library makes cycles of its own."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", server.port))
        await loop.sock_sendall(client, _HANDSHAKE)
        for message in _MESSAGES:
            await loop.sock_sendall(client, masked(Opcode.TEXT, json.dumps(message).encode()))
        received = b""
        while b'"pong"' not in received:
            received += await loop.sock_recv(client, 4096)
        if clean:
            await loop.sock_sendall(client, masked(Opcode.CLOSE, (1000).to_bytes(2, "big")))
            while await loop.sock_recv(client, 4096):
                pass
    await server.left_alone()


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "cut off"])
async def test_a_closed_connection_leaves_nothing_to_the_cyclic_collector(clean: bool) -> None:
    limiter = ConnectionLimiter(ArrivalLimits(per_network=10**6, per_minute=10**6))
    limits = ConnectionLimits(close_timeout=0.01)  # a timer has the transport until then
    async with fake_server(limiter=limiter, connection_limits=limits) as server, asyncio.timeout(GIVE_UP_AFTER):
        await _come_and_go(server, clean=clean)
        with only_new_objects():
            for _ in range(_CONNECTIONS):
                await _come_and_go(server, clean=clean)
            after_the_timers = asyncio.Event()
            asyncio.get_running_loop().call_later(0.05, after_the_timers.set)
            await after_the_timers.wait()
            assert found_by_the_collector() == []
