"""A connection to NATS that is given up while it is made is closed."""

from __future__ import annotations

import asyncio

import pytest

from engine.cluster.nats_stream import connected
from engine.cluster.settings import ClusterSettings
from tests.support.servers.processes import GIVE_UP_AFTER

INFO = b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"headers":true}\r\n'


async def test_a_connection_that_is_given_up_while_it_is_made_is_closed() -> None:
    come, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        await reader.readline()  # CONNECT, which PING follows: there is no PONG
        come.set()
        await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(GIVE_UP_AFTER):
        host, port = server.sockets[0].getsockname()
        connecting = asyncio.create_task(
            connected(ClusterSettings(urls=(f"nats://{host}:{port}",), slot="s"), "a test").__aenter__()
        )
        await come.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await gone.wait()
