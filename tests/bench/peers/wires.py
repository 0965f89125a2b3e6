"""Connections that speak the peers' protocols, as little of them as a load needs. Deliveries are counted by their stamps."""

from __future__ import annotations

import asyncio
import re
import struct
from typing import ClassVar, Final
from urllib.parse import urljoin, urlsplit

from picows import WSFrame, WSMsgType, WSTransport

from server.bench.load.clients.connection import Connection
from server.bench.load.clients.stamp import MARK

__all__ = ["Json", "Mqtt", "Nats", "SocketIo"]


class _Counting(Connection):
    """A frame may hold any number of messages. ``answer``: what is in the answer to a subscription."""

    __slots__ = ()
    answer: ClassVar[bytes] = b'"subscribed"'

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self.took(frame.get_payload_as_bytes())
        else:
            super().on_ws_frame(transport, frame)

    def took(self, body: bytes) -> None:
        """Bytes have come."""
        if found := body.count(MARK):
            self.count += found
            if self.count >= self._look_at:
                self.look(body)
        else:
            self.control(body)

    def control(self, body: bytes) -> None:
        """What came is no message."""
        for _ in range(body.count(self.answer)):
            self.answered()


class Json(_Counting):
    """``servers/ws.mjs``, ``servers/uws.py`` and ``servers/byhand.mjs``."""

    __slots__ = ()

    def connected(self) -> None:
        self.greeted()


class SocketIo(_Counting):
    """Engine.IO 4 and Socket.IO 5."""

    __slots__ = ()
    answer = b"430[]"

    async def open(self, url: str, headers: dict[str, str], local: tuple[str, int] | None) -> None:
        await super().open(urljoin(url, "/socket.io/?EIO=4&transport=websocket"), headers, local)

    def control(self, body: bytes) -> None:
        if body.startswith(b"0{"):
            self.send(b"40")
        elif body.startswith(b"40{"):
            self.greeted()
        elif body == b"2":
            self.send(b"3")
        else:
            super().control(body)


class Nats(_Counting):
    """NATS over WebSocket. Each subscription is followed by a PING, whose PONG is its answer."""

    __slots__ = ()
    binary = True

    def connected(self) -> None:
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"lang":"x","version":"1","protocol":1}\r\nPING\r\n')

    def control(self, body: bytes) -> None:
        if b"PING" in body:
            self.send(b"PONG\r\n")
        if b"-ERR" in body:
            self.failed(body.decode(errors="replace").strip())
        for _ in range(body.count(b"PONG")):
            if self.greeting is not None and not self.greeting.done():
                self.greeted()
            else:
                self.answered()


_ORDER: Final = re.compile(rb"(\w+) (\S+)(?: (.*))?", re.DOTALL)


class Mqtt(_Counting, asyncio.Protocol):
    """MQTT 3.1.1 with QoS 0 over TCP: Debian's Mosquitto has no WebSockets. Orders are ``SUB topic``, ``PUB topic data``."""

    __slots__ = ("_tail", "_tcp")
    _tcp: asyncio.Transport

    async def open(self, url: str, headers: dict[str, str], local: tuple[str, int] | None) -> None:
        """Connect."""
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        self._tail = b""
        await asyncio.get_running_loop().create_connection(
            lambda: self, address.hostname, address.port, local_addr=local
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = transport  # type: ignore[assignment]
        name = b"client-%d" % self.number
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(name)) + name
        self._tcp.write(b"\x10" + _length(len(body)) + body)
        self.transport = transport  # type: ignore[assignment]

    def send(self, message: bytes) -> None:
        order = _ORDER.fullmatch(message)
        assert order is not None
        topic = struct.pack("!H", len(order[2])) + order[2]
        if order[1] == b"SUB":
            self._tcp.write(b"\x82" + _length(len(topic) + 3) + b"\x00\x01" + topic + b"\x00")
        else:
            self._tcp.write(b"\x30" + _length(len(topic) + len(order[3])) + topic + order[3])

    def close(self, *, clean: bool) -> None:
        self.closing = True
        if self.transport is not None:
            self._tcp.abort()

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        self._tail = b""
        if (last := data.rfind(MARK[:1])) >= 0 and len(data) - last < _STAMP:
            cut = last - 1 if data[last - 1 : last] == MARK[:1] else last
            data, self._tail = data[:cut], data[cut:]
        if data:
            self.took(data)

    def control(self, body: bytes) -> None:
        if body.startswith(b"\x20\x02"):
            self.greeted()
        for _ in range(body.count(b"\x90\x03")):
            self.answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_ws_disconnected(None)  # type: ignore[arg-type]


_STAMP: Final = 22  # bytes of a mark and its digits: a stamp that is cut off waits for its rest


def _length(size: int) -> bytes:
    """The remaining length of a packet (MQTT 3.1.1, 2.2.3)."""
    out = b""
    while True:
        size, low = divmod(size, 128)
        out += bytes([low | (0x80 if size else 0)])
        if not size:
            return out
