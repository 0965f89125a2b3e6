"""A server process, a database with a column of every kind, and a client that only wants to be left in peace."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import Message, SocketClient
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

__all__ = ["ITEMS", "BrokenError", "World"]

ITEMS = """
create type mood as enum ('sad', 'ok', 'happy');
create type pair as (a int, b text);
create domain dom as varchar(5) check (value <> 'no');
create table items (
  id int primary key, small int2, big int8, num numeric(20, 5), real float4, flag bool, body text, code varchar(5),
  chars char(4),
  day date, at timestamptz(3), clock time(0), span interval, uid uuid, raw bytea, doc jsonb, js json, ints int[],
  texts text[],
  mood mood, pair pair, addr inet, rng int4range, bits bit(3), dom dom);
insert into items (id, small, body, doc, ints, texts, mood)
values (1, 0, 'a', '{"a": 1}', '{1,2}', '{a}', 'ok'), (2, 1, null, null, null, null, null);
select realtime.expose('items')
"""
_ANSWERS = frozenset({"subscribed", "unsubscribed", "ack", "error", "pong"})
_SEVERE = re.compile(r'"level": ?"(error|critical)"|Traceback')


class BrokenError(AssertionError):
    """Hostile input looked like a failure of the server."""


class World:
    """Made by :meth:`open`. ``try_…`` raise ``BrokenError`` if an answer is wrong; ``check`` looks at the rest."""

    def __init__(self, server: ServerProcess, dsn: str) -> None:
        self._server = server
        self._writer = psycopg.connect(dsn, autocommit=True)
        self._witness: SocketClient
        self._round = 0
        self._read = 0

    @classmethod
    async def open(cls, dsn: str, stack: AsyncExitStack) -> World:
        """Everything ends with ``stack``."""
        options = {
            "slot_name": slot_name(),
            "trust_user_parameter": True,
            "max_message_rate": 1e6,
            "log_format": "json",
        }
        server = await stack.enter_async_context(serving(dsn, free_port(), **options))
        world = cls(server, dsn)
        stack.callback(world._writer.close)
        world._witness = SocketClient(await stack.enter_async_context(connect(server.websocket)), packed=False)
        await world._witness.receive("connected")
        await world._witness.join("witness")
        await world._witness.join("db:collection:items", query={"where": [["id", "==", 1]]})
        await world._witness.receive("snapshot")
        return world

    async def check(self) -> None:
        """The server has logged no failure, and its other client still receives messages and rows."""
        self._round += 1
        witness = self._witness
        await witness.send(type="message", channel="witness", event="e", data=self._round)
        while (received := await witness.receive("message"))["channel"] != "witness":  # what REST sends everybody
            pass
        if received["data"] != self._round or (await witness.receive("ack", "error"))["type"] != "ack":
            raise BrokenError("the other client's message was lost")
        self._writer.execute("update items set small = small # 1 where id = 1")
        await witness.receive("snapshot")
        self.check_log()

    def check_log(self) -> None:
        """The server has logged no failure since the last look."""
        lines = self._server.lines[self._read :]
        self._read = len(self._server.lines)
        if severe := [line for line in lines if _SEVERE.search(line)]:
            raise BrokenError(f"the server logged {severe[0]}")

    async def try_messages(self, messages: Sequence[str] | Sequence[bytes]) -> None:
        """One connection sends all this; each is answered once. What was subscribed to is given back at once."""
        await self.try_frames(messages, packed=bool(messages) and isinstance(messages[0], bytes))

    async def try_frames(self, messages: Sequence[str | bytes], *, packed: bool) -> None:
        """The same, of frames of either kind, over a connection with MessagePack or without."""
        format = "?format=msgpack" if packed else ""
        async with connect(self._server.websocket + format, max_size=None) as socket:
            client = SocketClient(socket, packed=packed)
            await client.receive("connected")
            await client.send(type="subscribe", channel="presence:1")
            await _answer(client)
            for message in messages:
                await socket.send(message)
                try:
                    answer = await _answer(client)
                except BrokenError as broken:
                    raise BrokenError(f"{message[:300]!r}: {broken}") from broken
                if answer["type"] == "subscribed":
                    await client.send(
                        type="unsubscribe", **{name: answer[name] for name in ("channel", "id") if name in answer}
                    )
                    await _answer(client)
            await client.send(type="ping")
            if (last := await _answer(client))["type"] != "pong":
                raise BrokenError(f"something was answered twice: {last}")

    async def try_stream(self, query: str, last_id: str) -> None:
        """An event stream with this address: refused, or everything in it answered."""
        reader, writer = await self._request("GET", f"/realtime/sse?{query}", b"", f"Last-Event-ID: {last_id}\r\n")
        try:
            if await _head(reader) != 200:
                _judge(await reader.read())
                return
            wanted = sum(name in ("channel", "subscribe") for name, _ in parse_qsl(query, keep_blank_values=True))
            received: Counter[str] = Counter()
            async with asyncio.timeout(GIVE_UP_AFTER):
                session = _sane(await _event(reader))["session"]
                while received["answers"] < wanted:
                    received["answers"] += _sane(await _event(reader))["type"] in _ANSWERS
                await self.post(
                    "/realtime/send", json.dumps({"session": session, "messages": [{"type": "ping"}]}).encode()
                )
                while (message := _sane(await _event(reader)))["type"] != "pong":
                    if message["type"] in _ANSWERS:
                        raise BrokenError(f"something was answered twice: {message}")
        finally:
            writer.close()

    async def poll_session(self) -> str:
        """The secret of a new polling session."""
        _, body = await self.post("/realtime/poll", b"{}")
        secret: str = json.loads(body)["session"]
        return secret

    async def try_upgrade(self, headers: Sequence[tuple[str, str]]) -> None:
        """A handshake with these headers, too: it is accepted or refused."""
        handshake = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        reader, writer = await self._request("GET", "/realtime", b"", handshake + _lines(headers), connection="Upgrade")
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                status = await _head(reader)
        finally:
            writer.close()
        if status != 101 and not 400 <= status < 500:
            raise BrokenError(f"the handshake was answered with {status}")

    async def post(
        self, path: str, body: bytes, method: str = "POST", headers: Sequence[tuple[str, str]] | None = None
    ) -> tuple[int, bytes]:
        """One request; its status and body."""
        lines = _lines([("Content-Type", "application/json")] if headers is None else headers)
        reader, writer = await self._request(method, path, body, lines)
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                status = await _head(reader)
                content = await reader.read()
        finally:
            writer.close()
        if status >= 500:
            raise BrokenError(f"{method} {path}: {status} {content!r}")
        _judge(content)
        return status, content

    async def _request(
        self, method: str, path: str, body: bytes, headers: str, connection: str = "close"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port, limit=1 << 24)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n{headers}"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode("latin-1") + body)
        return reader, writer


def _lines(headers: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


async def _answer(client: SocketClient) -> Message:
    """What the last message is answered by; the rest of what comes is not looked at."""
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while (message := await client.next())["type"] not in _ANSWERS:
                if message["type"] == "close":
                    raise BrokenError(f"the connection was closed: {message}")
    except (TimeoutError, ConnectionClosed) as wrong:
        raise BrokenError("there was no answer") from wrong
    return _sane(message)


def _sane(message: Message) -> Message:
    if message.get("code") == "RT_001":
        raise BrokenError(f"the client's input looks like a failure of the server: {message}")
    return message


def _judge(body: bytes) -> None:
    """A problem document reports what was wrong; that there is no such session is RT_001, and right."""
    if b'"code":"RT_001"' in body and b"there is no such session" not in body and b"the session has ended" not in body:
        raise BrokenError(f"the client's input looks like a failure of the server: {body!r}")


async def _head(reader: asyncio.StreamReader) -> int:
    try:
        line, *_ = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except asyncio.IncompleteReadError as wrong:
        raise BrokenError("the request was not answered") from wrong
    return int(line.split()[1])


async def _event(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message of an event stream; its chunks end where lines end."""
    while line := await reader.readline():
        if line.startswith(b"data: "):
            message: dict[str, Any] = json.loads(line[6:])
            return message
    raise BrokenError("the stream ended")
