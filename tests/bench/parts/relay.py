"""The reference: a bare picows server that only passes bytes on. ``python -m tests.bench.parts.relay '{"port": …}'``.

No database, no checks, no protocol beyond what the clients of the benchmarks look at: a message that comes in goes out
to all subscribers in the form and size in which the real server sends it, the frame built once, one write per connection
and turn of the event loop. On a line of input, it sends so many messages by itself, as fast as the sockets take
them.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import deque

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from server.wire.encoder import text_frame
from tests.bench.parts.load import report
from tests.bench.parts.sockets import publication

_DATA = b'"data":'
_FLOOD_BLOCK = 64
_PAST = 1000
_HISTORY = re.compile(rb'"history":(\d+)')
_USER = (
    b'{"id":"0123456789ab-00000000000000000000000000000000","name":null,"metadata":{},"state":{},'
    b'"lastSeen":"2026-01-25T09:00:00.123456Z"}'
)


def message(number: int, data: bytes) -> bytes:
    """As the server writes it."""
    return (
        b'{"type":"message","channel":"bench","event":"sent","data":%b,"timestamp":"2026-01-25T09:00:00.123456Z",'
        b'"sender":null,"id":"%032x","position":"0/16B3790/%d"}'
    ) % (data, number, number)


def presence(kind: bytes, number: int, data: bytes, count: int) -> bytes:
    """As the server writes it."""
    return (
        b'{"type":"presence:%b","channel":"bench","user":{"id":"0123456789ab-%032x","name":null,"metadata":{},"state":%b,'
        b'"lastSeen":"2026-01-25T09:00:00.123456Z"},"count":%d}'
    ) % (kind, number, data, count)


class Relay:
    """Who is connected, and what goes to all of them at the end of this turn of the loop."""

    def __init__(self) -> None:
        self.subscribers: list[Connection] = []
        self._out: list[bytes] = []
        self._past: deque[bytes] = deque(maxlen=_PAST)
        self._joined: tuple[tuple[int, int], bytes] = (0, 0), b""
        self._number = 0

    def pass_on(self, data: bytes) -> int:
        """Send it to all subscribers soon; returns its number."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._number += 1
        frame = text_frame(message(self._number, data))
        self._out.append(frame)
        self._past.append(frame)
        return self._number

    def last(self, count: int) -> bytes:
        """The last messages, as one block that is made once."""
        if self._joined[0] != (self._number, count):
            self._joined = (self._number, count), b"".join(list(self._past)[-count:])
        return self._joined[1]

    def pass_on_presence(self, kind: bytes, data: bytes) -> None:
        """The same for a change of presence."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._number += 1
        self._out.append(text_frame(presence(kind, self._number, data, len(self.subscribers))))

    def _flush(self) -> None:
        block = b"".join(self._out)
        self._out.clear()
        for subscriber in self.subscribers:
            subscriber.write(block)

    async def flood(self, count: int) -> None:
        """Send ``count`` messages as fast as the slowest subscriber takes them."""
        while count > 0:
            for _ in range(min(_FLOOD_BLOCK, count)):
                self.pass_on(publication("bench", time.time(), -1, -1).partition(_DATA)[2][:-1])
            count -= _FLOOD_BLOCK
            await asyncio.sleep(0)
            for subscriber in self.subscribers:
                await subscriber.writable.wait()


class Connection(WSListener):
    """One client."""

    def __init__(self, relay: Relay) -> None:
        self.writable = asyncio.Event()
        self.writable.set()
        self._relay = relay
        self._transport: WSTransport | None = None
        self._acks: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        body = frame.get_payload_as_bytes()
        if body.startswith((b'{"type": "subscribe"', b'{"type":"subscribe"')):
            self._subscribe(transport, b'"presence"' in body)
            if found := _HISTORY.search(body):
                self.write(self._relay.last(int(found[1])))
            return
        if body.startswith(b'{"type":"presence:update"'):
            self._relay.pass_on_presence(b"update", body.partition(_DATA)[2][:-1])
            transport.send(WSMsgType.TEXT, b'{"type":"ack","channel":"bench"}')
            return
        number = self._relay.pass_on(body.partition(_DATA)[2][:-1])
        if not self._acks:
            asyncio.get_running_loop().call_soon(self._acknowledge)
        self._acks.append(
            text_frame(b'{"type":"ack","channel":"bench","id":"%032x","position":"0/16B3790/%d"}' % (number, number))
        )

    def _subscribe(self, transport: WSTransport, present: bool) -> None:
        relay = self._relay
        relay.subscribers.append(self)
        answer = b'{"type":"subscribed","channel":"bench"}'
        if present:
            users = b",".join([_USER] * len(relay.subscribers))
            answer = b'{"type":"subscribed","channel":"bench","presence":{"users":[%b],"count":%d}}' % (
                users,
                len(relay.subscribers),
            )
            relay.pass_on_presence(b"join", b"{}")
        transport.send(WSMsgType.TEXT, answer)

    def _acknowledge(self) -> None:
        self.write(b"".join(self._acks))
        self._acks.clear()

    def write(self, data: bytes) -> None:
        """Frames that are ready."""
        assert self._transport is not None
        self._transport.underlying_transport.write(data)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.writable.set()
        if self in self._relay.subscribers:
            self._relay.subscribers.remove(self)


async def main() -> None:
    """Serve until the input ends."""
    relay = Relay()

    def accept(request: WSUpgradeRequest) -> Connection:
        return Connection(relay)

    await ws_create_server(accept, "127.0.0.1", json.loads(sys.argv[1])["port"], backlog=2048)
    report("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        await relay.flood(json.loads(line))


if __name__ == "__main__":
    uvloop.run(main())
