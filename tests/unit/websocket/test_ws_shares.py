"""Reading what one address sends takes its share of the processor at most, and a flood of connections is not answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from picows import WSFrame, WSTransport
from websockets.frames import Opcode

from server.limits.connection_limits import ConnectionLimits
from server.limits.read_turns import TURN, ReadTurns
from server.limits.reading_shares import ReadingShare
from server.transports.websocket import upgrade
from server.transports.websocket.websocket_connection import WebSocketConnection
from tests.support.clients.raw_socket import handshake, masked
from tests.support.fakes.server import fake_server, receive, send
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_address_that_has_used_its_share_is_read_again_when_it_has_gained_time_and_others_meanwhile() -> None:
    now = 100.0
    share = ReadingShare(1.0, lambda: now)
    async with fake_server(share=share) as server, server.connect() as greedy, asyncio.timeout(GIVE_UP_AFTER):
        await receive(greedy)
        [connection] = server.connections
        server.share = None
        async with server.connect() as other:
            await receive(other)
            share.charge(1.2)
            await send(greedy, {"type": "ping"})
            await receive(greedy)
            while not connection.reading_paused:  # noqa: ASYNC110 - what has been read is charged after its answer
                await asyncio.sleep(0)
            await send(greedy, {"type": "ping"})
            for _ in range(20):
                await send(other, {"type": "ping"})
                assert (await receive(other))["type"] == "pong"
            assert connection.reading_paused
            now += 10.0
            assert (await receive(greedy))["type"] == "pong"
            assert not connection.reading_paused


async def test_who_goes_on_sending_what_is_refused_waits_and_others_of_the_address_do_not() -> None:
    now = 100.0
    share = ReadingShare(1.0, lambda: now, refused=0.5)
    async with fake_server(share=share) as server, server.connect() as bad, asyncio.timeout(GIVE_UP_AFTER):
        await receive(bad)
        [connection] = server.connections
        async with server.connect() as good:
            await receive(good)
            assert share.refused is not None
            share.refused.charge(0.6)
            await bad.send("no message")
            assert (await receive(bad))["type"] == "error"
            while not connection.reading_paused:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            await send(bad, {"type": "ping"})
            for _ in range(20):
                await send(good, {"type": "ping"})
                assert (await receive(good))["type"] == "pong"
            assert connection.reading_paused
            now += 10.0
            assert (await receive(bad))["type"] == "pong"


async def test_of_a_connection_whose_bytes_take_long_little_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, reads, arrived = 0, list[int](), WebSocketConnection.on_ws_frame

    def count(connection: WebSocketConnection, transport: WSTransport, frame: WSFrame) -> None:
        nonlocal frames
        frames += 1
        arrived(connection, transport, frame)

    def seconds() -> float:  # each frame takes 3 µs; called before each read and after it
        reads.append(frames)
        return frames * 3e-6

    monkeypatch.setattr(WebSocketConnection, "on_ws_frame", count)
    monkeypatch.setattr(upgrade, "thread_time", seconds)
    async with fake_server(share=ReadingShare(1.0, lambda: 100.0)) as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await handshake(server)
        writer.write(masked(Opcode.PONG, b"x") * 100_000 + masked(Opcode.TEXT, b'{"type":"ping"}'))
        await reader.readuntil(b"pong")
        writer.close()
    each = [after - before for before, after in pairwise(reads)]
    assert frames > 100_000
    assert max(each) <= 1000, "from the first read on"


async def test_after_few_bytes_that_took_long_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, waited, arrived, wait = 0, list[int](), WebSocketConnection.on_ws_frame, ReadTurns.wait

    def count(connection: WebSocketConnection, transport: WSTransport, frame: WSFrame) -> None:
        nonlocal frames
        frames += 1
        arrived(connection, transport, frame)

    def note(turns: ReadTurns, size: int, read_on: Callable[[], None]) -> None:
        waited.append(size)
        wait(turns, size, read_on)

    monkeypatch.setattr(WebSocketConnection, "on_ws_frame", count)
    monkeypatch.setattr(ReadTurns, "wait", note)
    monkeypatch.setattr(upgrade, "thread_time", lambda: frames * 3e-5)
    async with fake_server(share=ReadingShare(1.0, lambda: 100.0)) as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await handshake(server)
        writer.write(masked(Opcode.TEXT, b'{"type":"ping"}'))
        await reader.readuntil(b"pong")
        assert not waited
        writer.write(masked(Opcode.PONG, b"") * 100 + masked(Opcode.TEXT, b'{"type":"ping"}'))
        await reader.readuntil(b"pong")
        writer.close()
    assert sum(waited) >= TURN, "as if a whole turn had been read"


async def test_a_closed_connection_that_goes_on_sending_beyond_its_share_is_dropped() -> None:
    share = ReadingShare(1.0, lambda: 100.0)
    limits = ConnectionLimits(close_timeout=3600.0)
    async with fake_server(share=share, connection_limits=limits) as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await handshake(server)
        writer.write(masked(Opcode.TEXT, b"\xff"))  # no UTF-8: the server closes
        share.charge(2.0)

        async def go_on() -> None:
            while True:
                writer.write(masked(Opcode.TEXT, json.dumps({"type": "ping"}).encode()))
                await asyncio.sleep(0.01)

        sending = asyncio.create_task(go_on())
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass  # a reset, because bytes were under way
        finally:
            sending.cancel()
            writer.close()


async def test_a_connection_of_a_flood_is_closed_before_anything_of_it_is_read() -> None:
    async with fake_server(flooding=True) as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await reader.read() == b""
        except ConnectionError:
            pass  # as above
        writer.close()
        server.flooding = False
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.readuntil(b"}")
        writer.close()
