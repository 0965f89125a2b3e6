"""Cheap WebSocket clients: what they cost is taken from the same processors as what is measured.

Every subscriber of a channel gets the same bytes, so one of them checks order and content, and the others that their
bytes have the same checksum. Each takes the time of every so many messages.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from zlib import crc32

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

__all__ = ["Checker", "Publisher", "Subscriber", "pad", "publication"]

_RECEIVE = 64 * 1024


class _Data(msgspec.Struct):
    at: float
    by: int = -1
    n: int = -1


class _Message(msgspec.Struct):
    data: _Data
    position: str


decode = msgspec.json.Decoder(_Message).decode


def publication(channel: str, at: float, by: int, n: int) -> bytes:
    """A client's publish of about 150 bytes."""
    return b'{"type":"message","channel":"%b","event":"sent","data":{"at":%.6f,"by":%d,"n":%d,"text":"%b"}}' % (
        channel.encode(),
        at,
        by,
        n,
        pad,
    )


pad = b"a text of about the length that people write in a chat room."


class Checker:
    """Looks at every message of one subscriber: positions grow, and each publisher's numbers come one after the other."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._last = (0, 0, 0)
        self._numbers: dict[int, int] = {}

    def look(self, body: bytes) -> None:
        """The next message."""
        message = decode(body)
        high, low, seq = message.position.split("/")
        position = (int(high, 16), int(low, 16), int(seq))
        if position <= self._last:
            self._problem(f"{position} after {self._last}")
        self._last = position
        by, n = message.data.by, message.data.n
        if n >= 0:
            if n != self._numbers.get(by, -1) + 1:
                self._problem(f"publisher {by}: {n} after {self._numbers.get(by)}")
            self._numbers[by] = n

    def _problem(self, text: str) -> None:
        if len(self.problems) < 10:
            self.problems.append(text)


class Subscriber(WSListener):
    """Counts what follows ``subscribed``; ``taken``: seconds from ``data.at`` to here, of every ``every``-th message."""

    def __init__(self, subscribe: bytes, every: int, offset: int, checker: Checker | None = None) -> None:
        self.count = 0
        self.checksum = 0
        self.bytes = 0
        self.last = 0.0
        self.taken: list[float] = []
        self.since = 0.0  # times of messages published before are not taken
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None
        self.ended: str | None = None
        self._subscribe = subscribe
        self._every = every
        self._due = offset % every
        self._checker = checker

    @classmethod
    async def open(
        cls, url: str, subscribe: bytes, *, every: int = 1, offset: int = 0, checker: Checker | None = None
    ) -> Subscriber:
        """Connect, subscribe, and wait for the answer."""
        _, listener = await ws_connect(
            lambda: cls(subscribe, every, offset, checker), url, read_buffer_init_size=_RECEIVE, enable_auto_pong=True
        )
        assert isinstance(listener, Subscriber)
        await listener.ready
        return listener

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.TEXT, self._subscribe)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.ready.done() or frame.msg_type != WSMsgType.TEXT:
            return self._other(frame)
        body = frame.get_payload_as_memoryview()
        self.checksum = crc32(body, self.checksum)
        self.count += 1
        self.bytes += frame.payload_size
        if self.count > self._due:
            self._due += self._every
            self.last = time.time()
            at = decode(body).data.at
            if at >= self.since:
                self.taken.append(self.last - at)
        if self._checker is not None:
            self._checker.look(frame.get_payload_as_bytes())

    def _other(self, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.ended = f"{frame.get_close_code()} {frame.get_close_message()!r}"
            return
        if frame.msg_type != WSMsgType.TEXT:
            return
        kind = json.loads(frame.get_payload_as_bytes())["type"]
        if kind == "subscribed":
            self.ready.set_result(None)
        elif kind == "error":
            self.ready.set_exception(RuntimeError(frame.get_payload_as_utf8_text()))


class Publisher(WSListener):
    """Publishes at a steady rate; ``acks`` are the seconds until each answer."""

    def __init__(self, channel: str, number: int, rate: float) -> None:
        self.sent = 0
        self.answered = 0
        self.errors = 0
        self.acks: list[float] = []
        self.since = 0.0
        self._channel = channel
        self._number = number
        self._rate = rate
        self._times: list[float] = []
        self._transport: WSTransport | None = None

    @classmethod
    async def open(cls, url: str, channel: str, number: int, rate: float) -> Publisher:
        """Connect."""
        _, listener = await ws_connect(lambda: cls(channel, number, rate), url)
        assert isinstance(listener, Publisher)
        return listener

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        # Acks come in the order of the publishes of one connection to one channel.
        head = bytes(frame.get_payload_as_memoryview()[:13])
        if head == b'{"type":"ack"':
            at = self._times[self.answered]
            self.answered += 1
            if at >= self.since:
                self.acks.append(time.time() - at)
        elif head == b'{"type":"erro':
            self.errors += 1

    async def run(self, seconds: float, tick: float, stop: Callable[[], bool]) -> None:
        """Publish for that many seconds; what is late is sent at once, so the load does not give way."""
        assert self._transport is not None
        start = time.monotonic()
        total = int(seconds * self._rate)
        before = self.sent
        while self.sent - before < total and not stop():
            due = min(total, int((time.monotonic() - start) * self._rate) + 1) - (self.sent - before)
            for _ in range(due):
                at = time.time()
                self._times.append(at)
                self._transport.send(WSMsgType.TEXT, publication(self._channel, at, self._number, self.sent))
                self.sent += 1
            await asyncio.sleep(tick)
