"""Every connection that is begun is closed: one that the server greets otherwise, and one that is given up meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from bunbase import Realtime, RealtimeError
from bunbase.connection.connection_manager import ConnectionManager
from bunbase.connection.link import Link
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports import TRANSPORTS, Transport
from bunbase.transports.base import Message
from websockets.asyncio.server import ServerConnection, serve

from tests.support.servers.processes import GIVE_UP_AFTER

OTHERWISE = b'{"type":"pong"}'
ERROR = b'{"type":"error","code":"RT_002","message":"no such user"}'


def stream(*messages: bytes) -> bytes:
    return b"content-type: text/event-stream\r\n\r\n" + b"".join(b"data: %b\n\n" % message for message in messages)


def batch(*messages: bytes) -> bytes:
    body = b'{"session":"s","cursor":0,"messages":[%b]}' % b",".join(messages)
    return b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


ANSWERS: dict[str, Callable[..., bytes]] = {"sse": stream, "polling": batch}


@asynccontextmanager
async def server_with(answer: bytes, gone: asyncio.Event) -> AsyncIterator[int]:
    """A server that answers the first request with that; ``gone``: its client has closed the connection. Gives its port."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + answer)
        while await reader.read(1024):  # what a poll has behind its head
            pass
        gone.set()
        writer.close()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def client(port: int, transport: str) -> Realtime:
    return Realtime(f"http://127.0.0.1:{port}", transports=(transport,), reconnect=False)


@pytest.mark.parametrize("transport", ANSWERS)
async def test_a_connection_over_http_that_does_not_begin_with_connected_is_closed(transport: str) -> None:
    gone = asyncio.Event()
    async with asyncio.timeout(GIVE_UP_AFTER), server_with(ANSWERS[transport](OTHERWISE), gone) as port:
        with pytest.raises(RealtimeError, match="began with 'pong'"):
            await client(port, transport).connect()
        await gone.wait()


@pytest.mark.parametrize("transport", ANSWERS)
@pytest.mark.parametrize(
    ("code", "before", "message", "state"),
    [
        (4001, [], "RT_001: by an administrator", "failed"),
        (4401, [], "RT_002: by an administrator", "needs-auth"),
        (4401, [ERROR], "RT_002: no such user", "needs-auth"),
    ],
)
async def test_a_connection_over_http_that_begins_with_its_end_has_the_code_and_the_reason_of_that(
    transport: str, code: int, before: list[bytes], message: str, state: str
) -> None:
    gone = asyncio.Event()
    end = b'{"type":"close","code":%d,"reason":"by an administrator"}' % code
    async with asyncio.timeout(GIVE_UP_AFTER), server_with(ANSWERS[transport](*before, end), gone) as port:
        realtime = client(port, transport)
        with pytest.raises(RealtimeError, match=f"^{message}$"):
            await realtime.connect()
        await gone.wait()
        assert realtime.state == state


async def test_a_websocket_that_does_not_begin_with_connected_is_closed() -> None:
    gone = asyncio.Event()

    async def answer(socket: ServerConnection) -> None:
        await socket.send(OTHERWISE.decode())
        await socket.wait_closed()
        gone.set()

    async with asyncio.timeout(GIVE_UP_AFTER), serve(answer, "127.0.0.1", 0) as server:
        realtime = client(next(iter(server.sockets)).getsockname()[1], "websocket")
        with pytest.raises(RealtimeError, match="began with 'pong'"):
            await realtime.connect()
        await gone.wait()


async def test_a_connection_that_failed_is_closed_although_the_client_is_ended_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closing, go_on, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Failing(Transport):
        name = "sse"

        async def open(self) -> None:
            raise ConnectionEndedError("refused")

        async def send(self, messages: list[Message]) -> None:
            raise AssertionError("it is not open")

        async def receive(self) -> list[Message]:
            raise AssertionError("it is not open")

        async def close(self, *, leave: bool) -> None:
            assert not leave
            closing.set()
            await go_on.wait()
            closed.set()

    monkeypatch.setitem(cast("dict[str, Any]", TRANSPORTS), "sse", Failing)
    async with asyncio.timeout(GIVE_UP_AFTER):
        realtime = client(1, "sse")
        connecting = asyncio.create_task(realtime.connect())
        await closing.wait()
        ending = asyncio.create_task(realtime.disconnect())
        await asyncio.wait({ending}, timeout=0.1)
        go_on.set()
        await ending
        await closed.wait()
        with pytest.raises(RealtimeError):
            await connecting


async def test_a_connection_that_has_just_taken_over_is_closed_where_the_client_is_ended() -> None:
    closed = asyncio.Event()

    class NewLink:
        async def close(self) -> None:
            closed.set()

    class OldLink:
        ended: asyncio.Future[ConnectionEndedError] = asyncio.get_running_loop().create_future()

    manager = ConnectionManager(*cast("Any", (None,) * 5))

    async def move(_: Link) -> Link:
        using.cancel()  # in the same round of the loop
        return cast("Link", NewLink())

    manager._move = cast("Any", move)  # type: ignore[method-assign]
    using = asyncio.create_task(manager._replacement_of(cast("Link", OldLink())))
    async with asyncio.timeout(GIVE_UP_AFTER):
        with pytest.raises(asyncio.CancelledError):
            await using
        await closed.wait()
