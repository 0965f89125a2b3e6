"""Event streams whose reader is slow or takes nothing, and what keeps a quiet one open."""

from __future__ import annotations

import asyncio
import socket

from tests.integration.transports.test_sse import EventSource
from tests.support.clients.list_client import write
from tests.support.clients.transports import open_stream, transport_client
from tests.support.clients.users import rest_client, running_server
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess


async def test_a_reader_that_is_too_slow_is_cut_and_resumes_and_others_are_not_disturbed(database: str) -> None:
    async with (
        running_server(database, max_buffer_size=65_536, max_backlog=262_144) as server,
        transport_client(server.url, "websocket") as quick,
        rest_client(server) as http,
    ):
        await quick.join()
        sent = 0
        reader, writer = await _stuck(server, "channel=chat:1")
        while (await server.health())[1]["connections"] > 1:
            numbers = f"generate_series({sent + 1}, {sent + 5}) n"
            write(
                database, f"select realtime.broadcast('chat:1', 'e', to_jsonb(n || repeat('x', 40000))) from {numbers}"
            )
            sent += 5
            for _ in range(5):
                await quick.receive("message")
            assert sent < 2_000
        text = (await asyncio.wait_for(reader.read(), GIVE_UP_AFTER)).decode()
        writer.close()
        *whole, _ = text.split("\n\n")  # the last block may have been cut
        ids = [line[4:] for each in whole for line in each.splitlines() if line.startswith("id: ")]
        got = sum("event: message\n" in each for each in whole)
        assert 10 < got < sent
        source = EventSource(http, "channel=chat:1")
        source.last_id = ids[-1]
        while len(source.received) < sent - got:  # each time it is sent as much as may wait
            async with source.open() as stream:
                assert (await stream.receive("subscribed"))["recovered"] is True
                while len(source.received) < sent - got and (message := await stream.receive())["type"] != "close":
                    source.take(message)
        received = [int(message["data"].rstrip("x")) for message in source.received.values()]
        assert received == list(range(got + 1, sent + 1))


async def test_a_peer_that_takes_nothing_any_more_is_dropped_by_time_however_little_waits(database: str) -> None:
    # Far below the bounds on bytes, and long before the kernel gives up: only the stall is noticed.
    async with (
        running_server(
            database, stall_timeout=3, ping_interval=300, max_buffer_size=64 << 20, max_backlog=64 << 20
        ) as server,
        transport_client(server.url, "websocket") as quick,
    ):
        await quick.join()
        _, writer = await _stuck(server, "channel=chat:1")
        async with asyncio.timeout(GIVE_UP_AFTER):
            large = (
                "select realtime.broadcast('chat:1', 'e', to_jsonb(repeat('x', 100000))) from generate_series(1, 100)"
            )
            write(database, large)
            for _ in range(100):
                await quick.receive("message")
            await server.connections(1)
        writer.close()


async def _stuck(server: ServerProcess, query: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that has subscribed and takes nothing any more until it is read."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=8192)
    writer.write(f"GET /realtime/sse?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await asyncio.wait_for(reader.readuntil(b'"type":"subscribed"'), GIVE_UP_AFTER)
    return reader, writer


async def test_heartbeats_are_comments_and_bring_the_id_up_to_date(database: str) -> None:
    async with running_server(database, ping_interval=0.2) as server, rest_client(server) as http:
        response = await open_stream(http, params={"channel": "chat:1"})
        text = ""
        async with asyncio.timeout(GIVE_UP_AFTER):
            async for part in response.aiter_text():
                text += part
                if text.count(": ping\n\n") >= 3:
                    break
        assert text.startswith("retry: ")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        await response.aclose()
