"""What a connection that only waits keeps in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.frames import Opcode

from tests.support.clients.raw_socket import masked
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CONNECTIONS = 20
_OURS = ("server.", "engine.")
_HANDSHAKE = (
    b"GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: a=b\r\n\r\n"
)


async def _subscribed(port: int) -> socket.socket:
    """A plain socket, which is a client of few objects, that has subscribed to a channel."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, _HANDSHAKE)
    await loop.sock_sendall(client, masked(Opcode.TEXT, json.dumps({"type": "subscribe", "channel": "a"}).encode()))
    received = b""
    while b'"subscribed"' not in received:
        received += await loop.sock_recv(client, 4096)
    return client


@asynccontextmanager
async def _idle_connections() -> AsyncIterator[tuple[FakeServer, Callable[[], Counter[type]]]]:
    """A server with connections, and how many objects of each type they have added."""
    clients = []
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        try:
            clients.append(await _subscribed(server.port))  # what is made once
            gc.collect()
            gc.freeze()  # to look through all objects of the process would take a second
            before = _objects()
            clients += [await _subscribed(server.port) for _ in range(_CONNECTIONS)]
            await asyncio.sleep(0)
            yield server, lambda: _objects() - before
        finally:
            for client in clients:
                client.close()


def _objects() -> Counter[type]:
    """Those that are not frozen. A timer that was cancelled is the event loop's: asyncio's lets go of them later."""
    gc.collect()
    return Counter(
        type(each) for each in gc.get_objects() if not (type(each) is asyncio.TimerHandle and each.cancelled())
    )


async def test_an_idle_connection_has_few_objects_nothing_of_its_handshake_and_no_task_or_timer() -> None:
    async with _idle_connections() as (server, added_objects):
        added = added_objects()
        of_each = {kind for kind, count in added.items() if count >= _CONNECTIONS}
        kept = {kind.__qualname__ for kind in of_each}
        assert "WebSocketConnection" in kept
        assert not {"HttpProtocol", "CIMultiDict"} & kept
        assert not {"h11", "uvicorn", "multidict"} & {kind.__module__.partition(".")[0] for kind in of_each}
        assert not {"Task", "TimerHandle", "UVTimer", "coroutine", "Lock"} & kept
        own = {kind: count / _CONNECTIONS for kind, count in added.items() if kind.__module__.startswith(_OURS)}
        assert max(own.values()) <= 2
        assert added[set] + added[frozenset] + added[deque] < _CONNECTIONS
        # Beyond 30 attributes CPython gives each object a dictionary of its own.
        assert {len(vars(connection)) for connection in server.connections} <= set(range(31))
