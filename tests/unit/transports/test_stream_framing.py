"""An event stream is framed as HTTP has it, though its blocks go past uvicorn and h11 to the socket."""

from __future__ import annotations

import asyncio

import pytest

from server.protocol.close_codes import CloseCode
from tests.support.fakes.channels import Event
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

BLOCKS = (b"retry: ", b"event: connected", b"event: subscribed", b"first of two", b"event: close")


async def unchunked(reader: asyncio.StreamReader) -> bytes:
    """The whole body of a chunked answer, as RFC 9112, 7.1 has it."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_event_stream_has_chunks_in_http_1_1_and_ends_with_the_connection_before(version: str) -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            line = f"GET /realtime/sse?channel=chat%3A1 HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"
            writer.write(line.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert (b"transfer-encoding: chunked" in head.lower()) == (version == "1.1")
            reading = asyncio.create_task(unchunked(reader) if version == "1.1" else reader.read())
            while not (server.rooms.subscriptions and server.rooms.subscriptions[0].begun):  # noqa: ASYNC110 - a fake
                await asyncio.sleep(0)
            for text in ("first of two", "x" * 200_000):  # the second one does not fit into the socket at once
                for subscription in server.rooms.subscriptions:
                    subscription.receiver.deliver(Event({"type": "message", "channel": "chat:1", "data": text}))
            [connection] = server.connections
            connection.close(CloseCode.GOING_AWAY, "the end")
            body = await reading
        finally:
            writer.close()
    at = [body.index(block) for block in BLOCKS]
    assert at == sorted(at)
    assert body.count(b"x" * 200_000) == 1
    assert body.endswith(b"\n\n")
