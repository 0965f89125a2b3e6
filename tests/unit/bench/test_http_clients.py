"""Clients of event streams and of polling: what they count, however it arrives, and what they ask for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.bench.load.clients.event_stream import EventStream
from server.bench.load.clients.http_connection import Endpoint, HttpConnection
from server.bench.load.clients.polling import Polling
from server.bench.load.clients.stamp import stamp
from server.bench.load.clients.tally import Tally
from server.protocol.error_codes import ErrorCode
from server.wire.sse_blocks import END, block, comment, mark, retry

SECRET = "s" * 32
OK = b"HTTP/1.1 200 OK\r\n"


class Wire(asyncio.Transport):
    """Takes what is written. ``ended``: it was closed or aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.ended = True

    abort = close


def message(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, **more}, separators=(",", ":")).encode()


def connected() -> bytes:
    return message("connected", connectionId="c", session=SECRET)


def delivery() -> bytes:
    return message("message", channel="bench:0", event="bench", data=stamp().decode(), position="0/1/1")


MESSAGES = [
    connected(),
    message("subscribed", channel="bench:0", position="0/1", epoch="e"),
    delivery(),
    delivery(),
    message("error", code=ErrorCode.RATE_LIMITED, message="too many"),
    delivery(),
]


def opened(kind: type[HttpConnection]) -> tuple[HttpConnection, Tally, Wire]:
    """A client that waits for its first message."""
    tally, wire = Tally(), Wire()
    client = kind(tally, 0)
    client.endpoint = Endpoint.of("ws://localhost:8000/realtime", {"apikey": "k"}, None)
    client.greeting = asyncio.get_running_loop().create_future()
    client.connection_made(wire)
    return client, tally, wire


def stream() -> bytes:
    """The messages as this server writes them, a chunk for two blocks; comments and ids between them."""
    blocks = [retry(1.0), *(block(each) + (END, mark("0/1;e"))[number % 2] for number, each in enumerate(MESSAGES))]
    blocks += [comment("ping"), mark("0/2;e")]
    chunks = [b"".join(blocks[at : at + 2]) for at in range(0, len(blocks), 2)]
    head = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def answer(cursor: int, *messages: bytes, more: bytes = b"") -> bytes:
    """One to a poll."""
    body = b'{%b"cursor":%d,"messages":[%b]}' % (more, cursor, b",".join(messages))
    return OK + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def check(client: HttpConnection, tally: Tally) -> None:
    """It has seen ``MESSAGES``."""
    assert client.greeting is not None
    assert client.greeting.done()
    assert (client.count, tally.answers, tally.latency.count) == (3, 1, 3)
    assert (client.position, client.epoch) == ("0/1", "e")
    assert tally.errors == {f"{ErrorCode.RATE_LIMITED}: too many": 1}


@pytest.mark.parametrize("size", [1, 5, 64, 1 << 20])
async def test_a_stream_is_counted_the_same_in_pieces_of_any_size(size: int) -> None:
    client, tally, wire = opened(EventStream)
    assert wire.written[0].startswith(b"GET /realtime/sse HTTP/1.1\r\nHost: localhost:8000\r\napikey: k\r\n")
    data = stream()
    for at in range(0, len(data), size):
        client.data_received(data[at : at + size])
    check(client, tally)
    assert not wire.ended


async def test_one_delivery_in_so_many_is_timed() -> None:
    client, _, _ = opened(EventStream)
    client.data_received(stream())
    tally = Tally(every=4)
    client.clear(tally)
    body = b"".join(block(delivery()) + END for _ in range(10))
    client.data_received(b"%x\r\n%b\r\n" % (len(body), body))
    assert (client.count, tally.latency.count) == (10, 3)


async def test_a_poll_follows_the_answer_of_the_one_before() -> None:
    client, tally, wire = opened(Polling)
    assert wire.written[-1].endswith(b"\r\n\r\n{}")
    client.data_received(answer(1, MESSAGES[0], more=b'"session":"%b",' % SECRET.encode()))
    client.data_received(answer(len(MESSAGES), *MESSAGES[1:]))
    check(client, tally)
    asked = [json.loads(each.rpartition(b"\r\n\r\n")[2]) for each in wire.written]
    assert asked == [{}, {"session": SECRET, "cursor": 1}, {"session": SECRET, "cursor": len(MESSAGES)}]


@pytest.mark.parametrize("kind", [EventStream, Polling])
async def test_a_refused_session_has_its_reason_and_is_counted_once_where_it_is_awaited(
    kind: type[HttpConnection],
) -> None:
    client, tally, wire = opened(kind)
    body = json.dumps({"code": ErrorCode.RATE_LIMITED, "detail": "this address has 2 connections"}).encode()
    client.data_received(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert client.greeting is not None
    with pytest.raises(ConnectionError, match=f"HTTP 429: {ErrorCode.RATE_LIMITED}: this address has"):
        await client.greeting
    assert (tally.errors.total(), wire.ended) == (0, True)


async def test_a_session_that_the_server_ends_is_one_error_with_its_code() -> None:
    client, tally, wire = opened(EventStream)
    client.data_received(stream())
    tally.errors.clear()
    body = block(message("close", code=4008, reason="too slow")) + END
    client.data_received(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    client.connection_lost(None)
    assert tally.errors == {"closed by the server: 4008 too slow": 1}
    assert (wire.ended, client.ended) == (True, True)


async def test_a_lost_stream_and_one_of_another_protocol_are_errors() -> None:
    lost, tally, _ = opened(EventStream)
    lost.data_received(stream())
    tally.errors.clear()
    lost.connection_lost(None)
    assert tally.errors == {"connection lost": 1}
    other, _, wire = opened(EventStream)
    other.data_received(b"220 mail.example ESMTP\r\n\r\n")
    assert other.greeting is not None
    with pytest.raises(ConnectionError, match=r"no HTTP/1\.1"):
        await other.greeting
    assert wire.ended
