"""Clients that cost little: what they take from the machine is missing for the server that is measured.

A message is recognized by one byte of its frame; one in so many is looked at more closely, for its time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from server.bench.load.clients.stamp import MARK, now, taken
from server.bench.load.clients.tally import Tally

__all__ = ["Connection"]

_NEVER: Final = 1 << 62
_KIND: Final = len(b'{"type":"')
_MESSAGE: Final = ord("m")
_TEXT: Final = WSMsgType.TEXT
_BUFFER: Final = 4096  # bytes for reading, of each connection; it grows where it has to
_CLEAN: Final = WSCloseCode.OK


class _Subscribed(msgspec.Struct):
    position: str = ""
    epoch: str = ""


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


_subscribed = msgspec.json.Decoder(_Subscribed).decode
_error = msgspec.json.Decoder(_Error).decode


class Connection(WSListener):
    """One client, by the protocol of this server, over a WebSocket. ``count``: deliveries since the last :meth:`clear`.

    ``rows``: a subscription is answered by its first rows. ``goal``: of this many deliveries the last one is timed, from
    ``began`` on. ``members``: the presence list has to have this many for the same.
    """

    __slots__ = (
        "_due",
        "_look_at",
        "_members",
        "began",
        "closing",
        "count",
        "epoch",
        "goal",
        "greeting",
        "members",
        "number",
        "position",
        "rows",
        "sent",
        "tally",
        "transport",
    )  # fmt: skip

    binary = False
    """What is sent goes in binary frames."""

    @property
    def ended(self) -> bool:
        """Nothing of it is left."""
        return self.transport is None

    def __init__(self, tally: Tally, number: int) -> None:
        self.tally = tally
        self.number = number
        self.transport: WSTransport | None = None
        self.greeting: asyncio.Future[None] | None = None
        self.rows = False
        self.closing = False
        self.began = 0
        self.position = self.epoch = ""
        self.sent: deque[int] = deque()
        self.goal = _NEVER
        self._members = b""
        self.clear(tally)

    def clear(self, tally: Tally) -> None:
        """Begin to count again, for ``tally``."""
        self.tally = tally
        self.count = 0
        self._due = self.number % tally.every + 1
        self.expect(0)

    def expect(self, deliveries: int, members: int = 0) -> None:
        """Time until this many deliveries, or members of the channel, have come; 0: do not."""
        self.goal = deliveries or _NEVER
        self._members = b'"count":%d}' % members if members else b""
        self._look_at = min(self._due, self.goal)

    async def open(self, url: str, headers: dict[str, str], local: tuple[str, int] | None) -> None:
        """Do the handshake, from the address ``local`` if there is one. Raises ``OSError`` or ``WSError``."""
        await ws_connect(
            lambda: self,
            url,
            extra_headers=headers,
            enable_auto_pong=True,
            read_buffer_init_size=_BUFFER,
            websocket_handshake_timeout=None,
            max_redirects=0,
            local_addr=local,
        )

    def send(self, message: bytes) -> None:
        """Send a message."""
        if self.transport is not None:
            self.transport.send(WSMsgType.BINARY if self.binary else _TEXT, message)

    def close(self, *, clean: bool) -> None:
        """End the connection: with a close code, or as a network does that fails."""
        self.closing = True
        if self.transport is not None:
            if clean:
                self.transport.send_close(_CLEAN)
                self.transport.disconnect()
            else:
                self.transport.underlying_transport.abort()

    # -- what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self.transport = transport
        self.connected()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if frame.msg_type != _TEXT:
            self._control(transport, frame)
            return
        view = frame.get_payload_as_memoryview()
        if view[_KIND] == _MESSAGE:
            self.count += 1
            if self.count >= self._look_at:
                self.look(bytes(view))
        else:
            self._other(bytes(view))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection has ended."""
        self.transport = None
        self._closed("connection lost")

    def _control(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            reason = (frame.get_close_message() or b"").decode(errors="replace")
            code = frame.get_close_code()
            number = code.value if isinstance(code, WSCloseCode) else code
            self._closed(f"closed by the server: {number} {reason}".rstrip())
            transport.disconnect()

    # -- what messages mean

    def connected(self) -> None:
        """The WebSocket is open; here the server then sends the first message."""

    def greeted(self) -> None:
        """The connection can be used."""
        if self.greeting is not None and not self.greeting.done():
            self.greeting.set_result(None)

    def answered(self) -> None:
        """A subscription was answered."""
        self.tally.answers += 1
        self.tally.answered.record(now() - self.began)

    def acknowledged(self) -> None:
        """A publication was answered."""
        self.tally.acks += 1
        if self.sent:
            self.tally.acked.record(now() - self.sent.popleft())

    def look(self, body: bytes) -> None:
        """Time the delivery that has just been counted."""
        at = now()
        if self.count >= self._due:
            self._due = self.count + self.tally.every
            if (nanoseconds := taken(body, at)) >= 0:
                self.tally.latency.record(nanoseconds)
            self.tally.last = at
        if self.count >= self.goal:
            self.goal = _NEVER
            self.tally.complete.record(at - self.began)
            self.tally.last = at
        self._look_at = min(self._due, self.goal)

    def failed(self, reason: str) -> None:
        """Something was refused, or ended."""
        self.tally.errors[reason] += 1

    def _closed(self, reason: str) -> None:
        if self.greeting is not None and not self.greeting.done():
            self.closing = True
            self.greeting.set_exception(ConnectionError(reason))  # counted where that is awaited
        elif not self.closing:
            self.closing = True
            self.failed(reason)

    def _other(self, body: bytes) -> None:
        kind = body[_KIND : body.find(b'"', _KIND)]
        if kind == b"ack":
            self.acknowledged()
        elif kind == b"snapshot":
            self._rows(body)
        elif kind == b"subscribed":
            about = _subscribed(body)
            self.position, self.epoch = about.position, about.epoch
            self._look_for_members(body)
            if not self.rows:
                self.answered()
        elif kind.startswith(b"presence:"):
            self._presence(kind, body)
        elif kind == b"error":
            self._refused(_error(body))
        elif kind == b"connected":
            self.greeted()

    def _refused(self, error: _Error) -> None:
        reason = f"{error.code}: {error.message}"
        if self.greeting is not None and not self.greeting.done():
            self._closed(reason)
        else:
            self.failed(reason)

    def _rows(self, body: bytes) -> None:
        if self.rows and b'"reset":true' in body[:300]:
            self.answered()
        elif MARK in body:  # conflation joins changes; each document comes once
            self.count += 1
            if self.count >= self._look_at:
                self.look(body)

    def _presence(self, kind: bytes, body: bytes) -> None:
        if kind == b"presence:update":
            self.count += 1
            if self.count >= self._look_at:
                self.look(body)
        else:
            self.tally.events += 1
            self._look_for_members(body)

    def _look_for_members(self, body: bytes) -> None:
        if self._members and self._members in body[-20:]:
            self._members = b""
            self.tally.complete.record(now() - self.began)
