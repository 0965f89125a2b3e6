"""The floor of a published message: ``python -m tests.bench.costs.floor_publish '{"port": …, "dsn": …}'``.

Every step that the server cannot do without, by the same libraries and through the same PostgreSQL, and nothing else: no
rights, limits, content rules, sessions, histories, metrics or recovery. Frames are read by picows and decoded by msgspec.
Messages that come while a commit is under way go into the next one, by the server's own statement. Its slot is followed,
the columns that clients see are cut from each row's bytes, and written as JSON, one block for a transaction to all
subscribers; publishers get an ack with the position.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import time
from collections import defaultdict
from typing import Any

import msgspec
import psycopg
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from engine.feed.decoders.base import PUBLICATION
from engine.feed.replication_stream import Keepalive, ReplicationStream
from engine.lsn import format_lsn
from engine.postgres.statements.arrays import plain_array, text_array
from engine.postgres.statements.named_queries import query
from server.wire.encoder import text_frame
from tests.bench.parts.load import report

_LINGER = 0.002  # seconds, behind a large batch, as the server waits
_CROWD = 8
_STATUS_EVERY = 0.02  # seconds
_TEXT = WSMsgType.TEXT


class _Publish(msgspec.Struct, gc=False):
    channel: str
    event: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    type: str = ""


_decode = msgspec.json.Decoder(_Publish).decode


class Floor:
    """What waits to be written, and who is to be answered."""

    def __init__(self, dsn: str) -> None:
        self.subscribers: list[Connection] = []
        self.waiting: list[tuple[str, _Publish, Connection]] = []
        self._dsn = dsn
        self._wanted = asyncio.Event()
        self._sent: dict[bytes, Connection] = {}
        self._ids: list[str] = []
        self._columns: dict[bytes, int] = {}
        self._committed: int = 0

    def add(self, publish: _Publish, connection: Connection) -> None:
        """Have a message written."""
        if not self._ids:
            digits = os.urandom(16 * 256).hex()
            self._ids = [digits[at : at + 32] for at in range(0, len(digits), 32)]
        if not self.waiting:
            self._wanted.set()
        self.waiting.append((self._ids.pop(), publish, connection))

    async def write(self) -> None:
        """Group commit, for ever."""
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        statement, crowd = query("engine_publish").encode(), False
        while True:
            await self._wanted.wait()
            if crowd:
                await asyncio.sleep(_LINGER)
            self._wanted.clear()
            batch, self.waiting = self.waiting, []
            for id, _, sender in batch:
                self._sent[id.encode()] = sender
            crowd, none = len(batch) >= _CROWD, "{" + ",".join(["NULL"] * len(batch)) + "}"
            await connection.execute(
                statement,
                {
                    "channels": text_array([publish.channel for _, publish, _ in batch]),
                    "events": text_array([publish.event for _, publish, _ in batch]),
                    "payloads": text_array([bytes(publish.data).decode() for _, publish, _ in batch]),
                    "senders": none,
                    "connections": text_array([sender.id for _, _, sender in batch]),
                    "ids": text_array([id for id, _, _ in batch]),
                    "claims": plain_array(["f"] * len(batch)),
                    "priorities": plain_array([0] * len(batch)),
                    "traces": None,
                    "whole": True,
                },
            )

    async def follow(self, stream: ReplicationStream) -> None:
        """The slot, for ever."""
        options = {"proto_version": "1", "publication_names": f'"{PUBLICATION}"', "messages": "true"}
        await stream.start("floor", 0, options)
        rows: list[bytes] = []
        relation, position, due = b"", 0, 0.0
        while True:
            message = stream.read()
            if message is None:
                if time.monotonic() > due:
                    await stream.send_status(position, position)
                    due = time.monotonic() + _STATUS_EVERY
                await stream.readable(1.0)
            elif isinstance(message, Keepalive):
                if message.reply:
                    await stream.send_status(position, position)
            elif message[:5] == relation:
                rows.append(message)
            elif message[0] == 0x43:  # 'C': commit LSN, end
                commit, position = struct.unpack_from("!QQ", message, 2)
                if rows:
                    self._deliver(rows, format_lsn(commit).encode())
                    rows = []
            elif message[0] == 0x52 and b"\0messages\0" in message:
                relation = b"I" + message[1:5]
                self._read_columns(message)

    def _read_columns(self, message: bytes) -> None:
        at = message.index(0, message.index(0, 5) + 1) + 2
        (count,) = struct.unpack_from("!H", message, at)
        at += 2
        for number in range(count):
            end = message.index(0, at + 1)
            self._columns[message[at + 1 : end]] = number
            at = end + 9

    def _deliver(self, rows: list[bytes], position: bytes) -> None:
        names = (b"channel", b"event", b"payload", b"inserted_at", b"id", b"seq")
        channel, event, payload, inserted, id, seq = (self._columns[name] for name in names)
        frames: list[bytes] = []
        answers: dict[Connection, list[bytes]] = defaultdict(list)
        unpack = struct.Struct("!I").unpack_from
        for raw in rows:
            at, values = 8, []
            while at < len(raw):
                if raw[at] == 0x74:
                    end = at + 5 + unpack(raw, at + 1)[0]
                    values.append(raw[at + 5 : end])
                    at = end
                else:
                    values.append(b"")
                    at += 1
            at_time = values[inserted].replace(b" ", b"T", 1).removesuffix(b"+00")
            frames.append(
                text_frame(
                    b'{"type":"message","channel":"%b","event":"%b","data":%b,"timestamp":"%bZ","sender":null,"id":"%b","position":"%b/%b"}'
                    % (values[channel], values[event], values[payload], at_time, values[id], position, values[seq])
                )
            )
            if (sender := self._sent.pop(values[id], None)) is not None:
                answers[sender].append(
                    text_frame(
                        b'{"type":"ack","channel":"%b","id":"%b","position":"%b/%b"}'
                        % (values[channel], values[id], position, values[seq])
                    )
                )
        block = b"".join(frames)
        for subscriber in self.subscribers:
            subscriber.write(block)
        for sender, acks in answers.items():
            sender.write(b"".join(acks))


class Connection(WSListener):
    """One client."""

    def __init__(self, floor: Floor, number: int) -> None:
        self.id = f"0123456789ab-{number:032x}"
        self._floor = floor
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != _TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            return
        message = _decode(frame.get_payload_as_bytes())
        if message.type == "subscribe":
            self._floor.subscribers.append(self)
            transport.send(_TEXT, b'{"type":"subscribed","channel":"bench"}')
        else:
            self._floor.add(message, self)

    def write(self, data: bytes) -> None:
        """Frames that are ready."""
        if self._transport is not None:
            self._transport.underlying_transport.write(data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        if self in self._floor.subscribers:
            self._floor.subscribers.remove(self)


async def main() -> None:
    """Serve until the input ends."""
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    floor, count = Floor(arguments["dsn"]), iter(range(1 << 30))
    stream = await ReplicationStream.connect(arguments["dsn"], "floor")
    await stream.create_slot("floor", "pgoutput", failover=False)
    tasks = [asyncio.create_task(floor.write()), asyncio.create_task(floor.follow(stream))]

    def accept(request: WSUpgradeRequest) -> Connection:
        return Connection(floor, next(count))

    await ws_create_server(accept, "127.0.0.1", arguments["port"], backlog=2048)
    report("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        pass
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await stream.close()
    with psycopg.connect(arguments["dsn"], autocommit=True) as connection:
        connection.execute("select pg_drop_replication_slot('floor')")


if __name__ == "__main__":
    uvloop.run(main())
