"""Where a body ends is never in doubt: a request behind it, which a proxy took for a part of it, is not answered."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

NEXT = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


async def answers_to(sent: bytes) -> tuple[list[bytes], bool]:
    """The statuses of all answers, and whether the server closed the connection."""
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        found = b""
        while not reader.at_eof() and found.count(b"HTTP/1.1 ") < 2:
            found += await reader.read(65536)
        closed = reader.at_eof()
        writer.close()
    return [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]], closed


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n", b"400"),
        (b"Content-Length: 2\r\nContent-Length: 3", b"{}", b"400"),
        (b"Content-Length: 2, 3", b"{}", b"400"),
        (b"Content-Length: +2", b"{}", b"400"),
        (b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n", b"501"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", b"501"),
        (b"Transfer-Encoding : chunked", b"0\r\n\r\n", b"400"),
    ],
    ids=["both", "both-otherwise", "two", "list", "sign", "coding", "coding-twice", "space"],
)
async def test_a_request_whose_body_has_no_certain_end_is_refused_and_the_connection_closed(
    headers: bytes, body: bytes, status: bytes
) -> None:
    sent = b"POST /realtime/send HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n" + body + NEXT
    assert await answers_to(sent) == ([status], True)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 2\r\nContent-Length: 2", b"{}"),
        (b"Transfer-Encoding: chunked", b"2;name=value\r\n{}\r\n0;x\r\n\r\n"),
    ],
    ids=["same", "extensions"],
)
async def test_what_has_one_end_is_read_up_to_it(headers: bytes, body: bytes) -> None:
    sent = b"GET /health HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n" + body + NEXT
    assert await answers_to(sent) == ([b"200", b"200"], False)
