"""Clients that are slow, silent or gone, and the end of the server."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.frames import Opcode

from server.limits.connection_limits import ConnectionLimits
from server.protocol.close_codes import CloseCode
from server.transports.base.backpressure import Pause, Writing
from tests.support.clients.raw_socket import handshake, masked, read_frame, reading, slow_client
from tests.support.fakes.server import closed_after, fake_server, receive, receive_to_the_end, subscribe
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_silent_client_is_dropped() -> None:
    async with fake_server(connection_limits=ConnectionLimits(ping_interval=0.05, missed_pings=2)) as server:
        reader, writer = await handshake(server)
        kinds = [(await read_frame(reader))[0], (await read_frame(reader))[0]]
        assert kinds == [Opcode.PING, Opcode.PING]
        assert await reader.read() == b""
        writer.close()
        await server.left_alone()


@pytest.mark.long
async def test_a_client_that_answers_pings_stays() -> None:
    async with fake_server(connection_limits=ConnectionLimits(ping_interval=0.1, missed_pings=5)) as server:
        reader, writer = await handshake(server)
        for _ in range(10):
            opcode, payload = await read_frame(reader)
            assert opcode == Opcode.PING
            writer.write(masked(Opcode.PONG, payload))
        writer.close()
        await server.left_alone()


SMALL = ConnectionLimits(buffer_size=64 * 1024)


async def test_a_slow_client_gets_the_current_rows_and_others_never_notice() -> None:
    async with fake_server(connection_limits=SMALL) as server, server.connect() as quick:
        await receive(quick)
        await subscribe(quick)
        await receive(quick)
        await receive(quick)
        reader, writer, _ = await slow_client(server, queries=3)
        slow = [s for s in server.lists.subscriptions if s.deliver is not server.lists.subscriptions[0].deliver]
        changes = 0
        while not all(s.paused for s in slow):
            changes += 1
            server.lists.change([str(changes), "x" * 5000])
            assert (await receive(quick))["changes"][0] == str(changes)
        for _ in range(500):
            changes += 1
            server.lists.change([str(changes), "x" * 5000])
            assert (await receive(quick))["changes"][0] == str(changes)
        reading(writer).resume_reading()
        latest: dict[str, str] = {}
        received = 0
        while latest != {str(n): str(changes) for n in range(3)}:
            _, payload = await asyncio.wait_for(read_frame(reader), 60)
            event = json.loads(payload)
            latest[event["id"]] = event["changes"][0]
            received += 1
        assert received < 3 * changes
        server.lists.change(["last"])
        assert {json.loads((await read_frame(reader))[1])["changes"][0] for _ in range(3)} == {"last"}
        writer.close()


async def test_a_slow_client_is_not_read_from_either() -> None:
    async with fake_server(connection_limits=SMALL) as server:
        _reader, writer, _ = await slow_client(server)
        [connection] = server.connections
        while connection.writing is not Writing.BLOCKED:  # then the kernel takes no more, either
            server.lists.change(["x" * 5000])
            await asyncio.sleep(0)
        before = connection.client.session.subscriptions
        writer.write(
            masked(Opcode.TEXT, b'{"type":"subscribe","channel":"db:collection:list","id":"more"}'),
        )
        async with server.connect() as other:
            await receive(other)
        assert connection.client.session.subscriptions == before
        writer.close()


async def test_a_client_is_read_again_when_the_last_reason_against_it_is_gone() -> None:
    async with fake_server(connection_limits=SMALL) as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer, _ = await slow_client(server)
        [connection] = server.connections
        while connection.writing is not Writing.BLOCKED:  # then the kernel takes no more, either
            server.lists.change(["x" * 5000])
            await asyncio.sleep(0)
        connection.pause_reading(True)
        assert connection.pauses == {Pause.CONGESTED, Pause.INTAKE}
        reading(writer).resume_reading()
        while connection.congested:
            await read_frame(reader)
        assert (connection.writing, connection.pauses) == (Writing.FLOWING, {Pause.INTAKE})
        writer.write(masked(Opcode.TEXT, b'{"type":"ping"}'))
        async with server.connect() as other:
            await receive(other)
        assert connection.pauses == {Pause.INTAKE}
        connection.pause_reading(False)
        while json.loads((await read_frame(reader))[1])["type"] != "pong":
            pass
        assert connection.pauses == frozenset()
        writer.close()


async def test_a_connection_that_is_closed_is_read_for_the_answer_whatever_had_paused_it() -> None:
    limits = ConnectionLimits(close_timeout=3600.0)
    async with (
        fake_server(connection_limits=limits) as server,
        asyncio.timeout(GIVE_UP_AFTER),
        server.connect() as client,
    ):
        await receive(client)
        [connection] = server.connections
        connection.pause_reading(True)
        connection.close(CloseCode.GOING_AWAY, "later")
        assert await closed_after(receive_to_the_end(client)) == CloseCode.GOING_AWAY
        await server.left_alone()


@pytest.mark.long
async def test_a_client_that_takes_nothing_at_all_is_dropped() -> None:
    limits = ConnectionLimits(buffer_size=64 * 1024, stall_timeout=1.0)
    async with fake_server(connection_limits=limits) as server:
        _reader, writer, _ = await slow_client(server)
        async with asyncio.timeout(60):
            while server.connections:  # more waits than the kernel takes, which it does not when writing begins
                server.lists.change(["x" * 5000])
                await asyncio.sleep(0)
        assert server.lists.subscriptions == []
        writer.close()


async def test_a_first_snapshot_larger_than_the_buffer_arrives_whole() -> None:
    async with fake_server(connection_limits=SMALL) as server, server.connect(max_size=None) as client:
        server.lists.rows = ["x" * 1000] * 1000
        await receive(client)
        await subscribe(client, "a")
        await subscribe(client, "b")
        received = [await receive(client) for _ in range(4)]
        assert sorted((frame["type"], frame["id"]) for frame in received) == [
            ("snapshot", "a"),
            ("snapshot", "b"),
            ("subscribed", "a"),
            ("subscribed", "b"),
        ]
        server.lists.change(["after"])
        assert [(await receive(client))["changes"] for _ in range(2)] == [["after"]] * 2


async def test_shutting_down_asks_clients_to_reconnect_after_their_pending_messages() -> None:
    async with fake_server() as server, server.connect() as client:
        await receive(client)
        await subscribe(client)
        await receive(client)
        await receive(client)
        server.lists.change(["last"])
        assert server.http_server is not None
        server.http_server.ended.set()
        assert (await receive(client))["changes"] == ["last"]
        assert await closed_after(receive_to_the_end(client)) == 1001
