"""A machine that has slept finds its connection dead, and comes back with a token of now."""

from __future__ import annotations

import asyncio
import json

from bunbase import Realtime
from websockets.asyncio.server import ServerConnection, serve

from tests.support.servers.processes import GIVE_UP_AFTER

CONNECTED = {"type": "connected", "connectionId": "c", "epoch": "e", "pingInterval": 25_000}


async def test_a_client_whose_server_has_forgotten_it_comes_back_with_another_token() -> None:
    """The server lets the first connection be: it has ended it while the machine slept, and no packet of that arrived."""
    tokens: list[str] = []
    given: list[str] = []
    back = asyncio.Event()

    def get_token() -> str:
        given.append(f"token {len(given) + 1}")
        return given[-1]

    async def accept(socket: ServerConnection) -> None:
        assert socket.request is not None
        tokens.append(socket.request.headers["Authorization"].removeprefix("Bearer "))
        await socket.send(json.dumps(CONNECTED))
        if len(tokens) == 2:
            back.set()
            async for message in socket:
                if json.loads(message)["type"] == "ping":
                    await socket.send('{"type": "pong"}')
        await socket.wait_closed()

    async with (
        asyncio.timeout(GIVE_UP_AFTER),
        serve(accept, "127.0.0.1", 0) as server,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        client = Realtime(
            f"http://127.0.0.1:{port}",
            transports=("websocket",),
            get_token=get_token,
            heartbeat_interval=0.05,
            heartbeat_timeout=2,
            reconnect_delay=0.01,
        )
        async with client:
            await back.wait()
    assert tokens[:2] == given[:2] == ["token 1", "token 2"]
