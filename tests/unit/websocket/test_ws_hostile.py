"""Nothing that one client sends keeps the event loop for more than a message of it, or breaks what the server sends.

The event loop is counted in turns: what waits for one turn waits for as long as that takes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from picows import WSFrame, WSTransport
from websockets.frames import Close, Opcode

from server.limits.connection_limits import ConnectionLimits
from server.protocol.close_codes import CloseCode
from server.session.actions import Output
from server.transports.websocket.assembler import Message
from server.transports.websocket.websocket_connection import WebSocketConnection
from tests.support.clients.raw_socket import handshake, masked, read_frame
from tests.support.fakes.server import FakeServer, fake_server, receive, send
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ENDLESS = 10_000_000  # fragments
_TAKEN = (
    250_000  # frames until a client that does not stop is dropped, at most: 1 MiB of them, and what is in the buffers
)


class Counting(WebSocketConnection):
    """Counts what each turn of the event loop takes of a client."""

    frames = 0
    messages = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        Counting.frames += 1
        super().on_ws_frame(transport, frame)

    def _received(self, message: Message, now: float) -> list[Output]:
        Counting.messages += 1
        return super()._received(message, now)


@asynccontextmanager
async def turns() -> AsyncIterator[list[tuple[int, int]]]:
    """The frames and messages that were taken in each turn of the event loop."""
    found: list[tuple[int, int]] = []
    seen = Counting.frames, Counting.messages
    loop, going = asyncio.get_running_loop(), True

    def look() -> None:
        nonlocal seen
        now = Counting.frames, Counting.messages
        found.append((now[0] - seen[0], now[1] - seen[1]))
        seen = now
        if going:
            loop.call_soon(look)

    loop.call_soon(look)
    try:
        yield found
    finally:
        going = False


async def test_fragments_without_end_are_taken_a_buffer_at_a_time_and_their_client_is_dropped() -> None:
    limits = ConnectionLimits(close_timeout=3600.0)
    async with (
        fake_server(connection_limits=limits, kind=Counting) as server,
        server.connect() as other,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await receive(other)
        reader, writer = await handshake(server)
        closing = asyncio.create_task(read_frame(reader))
        some = masked(Opcode.CONT, b"x", fin=False) * 1000
        before = Counting.frames

        async def go_on() -> None:
            writer.write(masked(Opcode.TEXT, b"x", fin=False))
            with suppress(ConnectionError):
                for _ in range(_ENDLESS // 1000):
                    writer.write(some)
                    await writer.drain()
                raise AssertionError("all fragments were taken")

        async with turns() as found:
            attack = asyncio.create_task(go_on())
            for _ in range(20):
                await send(other, {"type": "ping"})
                assert (await receive(other))["type"] == "pong"
            await attack
            opcode, payload = await closing
            assert (opcode, Close.parse(payload).code) == (Opcode.CLOSE, CloseCode.MESSAGE_TOO_BIG)
        assert Counting.frames - before < _TAKEN
        assert max(frames for frames, _ in found) <= 1024 + 64 * 1024 // 7, "one read has no more"
        writer.transport.abort()


async def test_many_lists_of_ten_thousand_values_are_read_one_at_a_time() -> None:
    async with (
        fake_server(kind=Counting) as server,
        server.connect() as other,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await receive(other)
        reader, writer = await handshake(server)
        for number in range(20):
            query = {"where": [["likes", "in", list(range(10_000))]]}
            about = {"type": "subscribe", "channel": "db:collection:list", "id": f"{number}", "query": query}
            writer.write(masked(Opcode.TEXT, json.dumps(about).encode()))
        async with turns() as found:
            for _ in range(20):
                await send(other, {"type": "ping"})
                assert (await receive(other))["type"] == "pong"
            while len(server.lists.subscriptions) < 20:  # noqa: ASYNC110 - a turn of the event loop
                await asyncio.sleep(0)
        of_lists = [messages for _, messages in found]
        assert sum(of_lists) == 40
        assert max(of_lists) <= 3, "of 64 KiB, and one of the other client"
        writer.transport.abort()
        del reader


_NO_REASONS = (
    b"",
    b"\x03",
    b"\x03\xe8" + b"\xff\xfe",
    b"\x03\xe8" + b"a\r\nX: y\0",
    b"\x00\x00reason",
    b"\x03\xee",
    b"\xff\xff" + b"\xed\xa0\x80",
    b"\x0f\xa0" + "é".encode() * 61,
)


async def frames_of(reader: asyncio.StreamReader) -> list[tuple[int, bytes]]:
    """All frames until the end of the connection."""
    found = []
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            found.append(await read_frame(reader))
    return found


async def test_whatever_a_client_closes_with_the_answer_is_a_close_frame() -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        for payload in _NO_REASONS:
            reader, writer = await handshake(server)
            writer.write(masked(Opcode.CLOSE, payload))
            writer.write_eof()
            opcode, answer = (await frames_of(reader))[-1]
            assert opcode == Opcode.CLOSE, payload
            Close.parse(answer)
            writer.close()


_TEXTS = (
    "a\r\nX-Injected: 1\0",
    "é" * 100,
    "x" + "é" * 100,
    "\U0001f600" * 100,
    "x" * 5000,
    "half \ud800 of a pair",
    "",
)


async def test_whatever_text_a_connection_is_closed_with_its_frame_is_valid_with_as_much_as_fits() -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        for text in _TEXTS:
            reader, writer = await handshake(server)
            [connection] = server.connections
            connection.close(CloseCode.TRY_AGAIN_LATER, text)
            opcode, payload = await read_frame(reader)
            assert (opcode, Close.parse(payload).code) == (Opcode.CLOSE, 1013)
            reason = Close.parse(payload).reason
            assert 120 <= len(reason.encode()) <= 123 or len(reason) == len(text)
            assert not any(ord(character) < 32 for character in reason)
            writer.write(masked(Opcode.CLOSE, payload))
            await server.left_alone()
            writer.close()


_PIECES = (
    "\r\nX-Injected: 1",
    "\nX-Injected: 1",
    "\rX-Injected: 1",
    "\0",
    "%0d%0aX-Injected:%201",
    "é\x85\u2028",
    "x" * 3000,
)
_PLACES = (
    ("GET /realtime/sse?channel={} HTTP/1.1", ""),
    ("GET /realtime{} HTTP/1.1", ""),
    ("GET /health HTTP/1.1", "Origin: http://a{}"),
    ("GET /nothing/ HTTP/1.1", "X-Forwarded-Host: a{}"),
    ("GET /realtime HTTP/1.1", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: {}"),
    (
        "GET /realtime HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: bunbase, {}",
    ),
    ("POST /realtime/poll HTTP/1.1", "Origin: http://a{}\r\nContent-Length: 0"),
    ("OPTIONS /realtime/poll HTTP/1.1", "Origin: http://a{}\r\nAccess-Control-Request-Method: POST"),
    ("GET /realtime/sse HTTP/1.1", "Last-Event-ID: {}"),
    ("{} /realtime/send HTTP/1.1", ""),
)


async def _answer(server: FakeServer, line: str, headers: str) -> bytes:
    """The head of the answer; empty if there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(f"{line}\r\nHost: a\r\n{headers + chr(13) + chr(10) if headers else ''}\r\n".encode())
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


async def test_no_text_of_a_client_makes_a_header_of_an_answer() -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        for line, headers in _PLACES:
            answers = [await _answer(server, line.format(each), headers.format(each)) for each in _PIECES]
            assert any(answers), line
            for answer in filter(None, answers):
                first, *lines = answer[:-4].split(b"\r\n")
                assert first.startswith(b"HTTP/1.1 "), answer
                names = [each.partition(b":")[0].lower() for each in lines]
                assert b"x-injected" not in names, answer
                assert not set(b"\0\r\n") & set(answer.replace(b"\r\n", b"")), answer
                assert all(name and name.replace(b"-", b"").isalnum() for name in names), answer
