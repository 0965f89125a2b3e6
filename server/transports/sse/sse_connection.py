"""Server-sent events: the stream is the session.

Blocks wait in the send queue, where those of higher priority can overtake others, until the writer takes some, which it
does between two transactions. :mod:`server.transports.sse.progress` determines their ids; this module puts them at the
ends of blocks, and behind the blocks of one write. The stream is begun and ended as plain ASGI: the ready-made libraries
take one event at a time, encode it per client, and do not report when the client has read it. Between these a chunk
(RFC 9112, 7.1) goes to the transport itself: through middleware, uvicorn and h11 it would cost as much as all else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from engine.channels.core.messages.model import Position, format_position, parse_position
from server.client.admission import Admission
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State
from server.transports.base.http_connection import HttpConnection, SessionStore
from server.transports.base.stall_timer import StallTimer
from server.transports.sse.event_ids import StreamPosition
from server.transports.sse.progress import Key, Progress, WriteState
from server.transports.sse.request import StreamRequest
from server.wire.frame import Frame
from server.wire.sse_blocks import END, comment, mark, retry

__all__ = ["GONE_ID", "SseConnection"]

GONE_ID: Final = "disconnected"
"""The id of the last block if the client shall not reconnect by itself."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_RETRY = retry(1.0)
_PING = comment("ping")
_MAX_BYTES: Final = 256 * 1024  # of one write: no other block can overtake them
_SUBSCRIBED = b"event: subscribed\n"


class SseConnection(HttpConnection):
    """A client over one streaming answer. ``epoch``: the epoch of the positions in its ids."""

    def __init__(self, secret: str, admission: Admission, store: SessionStore, epoch: str) -> None:
        super().__init__(secret, admission, admission.services.wires.blocks, store)
        self._epoch = epoch
        self._progress = Progress(epoch)
        self._counted = self._writing_counted = 0  # bytes of channels' messages: all that wait, those being written
        self._woken = asyncio.Event()
        self._unmarked = False
        self._marked: str | None = None
        self._ping_due = False
        self._last = END
        self._closed: WriteState | None = None
        self._closed_caught_up = False
        self._transport: asyncio.Transport | None = None
        self._chunked = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stall = StallTimer(self._limits.stall_timeout)

    async def run(self, scope: Scope, receive: Receive, send: Send, stream_request: StreamRequest) -> None:
        """Answer the request with the stream, until either side ends it."""
        self._progress.resume(stream_request.places)
        self._transport = scope.get("state", {}).get("transport")
        self._chunked = (
            self._transport is not None and scope["http_version"] == "1.1"
        )  # as h11 answers without a length
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send(_body(_RETRY))
            self._later("ping", self._limits.ping_interval, self._ping)
            for message in stream_request.messages:
                if self.state is State.OPEN:
                    self.receive(message)
            await self._write(send)
        finally:
            self._stall.stop()
            for timer in self._timers.values():
                timer.cancel()
            watching.cancel()
            self.end()

    def write(self, frame: Frame) -> None:
        """See the base."""
        if self.state is State.OPEN:
            if frame.channel is not None:
                self._counted += len(frame.data)
            elif frame.data.startswith(_SUBSCRIBED):
                self._unmarked = True
        super().write(frame)

    def _backlog(self) -> int:
        """See the base. Only channels' messages count: a client that is sent much else can still be served."""
        return self._counted

    def close(self, code: CloseCode, reason: str) -> None:
        """See the base."""
        if code == CloseCode.DISCONNECTED:
            self._last = mark(GONE_ID)
        if self.state is State.OPEN:
            state = self._write_state()
            # The rest of the transaction at hand may be missing.
            self._closed = state._replace(position=Position(state.position[0] - 1))
            self._closed_caught_up = self.client.caught_up is not None
        super().close(code, reason)

    def _close(self) -> None:
        self._wake()
        self._later("close", self._limits.close_timeout, self._drop)

    # Writing.

    def _schedule(self) -> None:
        self._wake()

    def _wake(self) -> None:
        self._woken.set()

    async def _write(self, send: Send) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self.state is State.CLOSED:
                return
            frames = self.queue.take(_MAX_BYTES)
            data = self._numbered(frames)
            if data:
                self._unconfirmed = len(data)
                await self._put(send, data, frames)
                self._unconfirmed = 0
                self._counted -= self._writing_counted
                self._stall.stop()
                self._taken()
            if self.queue:
                self._wake()
            elif self.closing:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    async def _put(self, send: Send, data: bytes, frames: Sequence[Frame]) -> None:
        """Write ``data``, which are ``frames``, and wait until most of it is sent."""
        transport = self._transport
        if self._chunked and transport is not None and not transport.is_closing():
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            self._wrote(frames, len(data))
            if not transport.get_write_buffer_size():
                return
            self._stall.start(self._unsent, self._drop)
        else:
            self._stall.start(self._unsent, self._drop)
            await send(_body(data))
            self._wrote(frames, len(data))
        await send(_body(b""))  # writes nothing, and returns when most of it is sent

    def _numbered(self, blocks: Sequence[Frame]) -> bytes:
        """The bytes of ``blocks``, with ids where there may be some."""
        position = None if self.closing else self.client.caught_up
        caught_up = position is not None or (self.closing and self._closed_caught_up)
        keys = self._progress.number(blocks, self.queue, caught_up, self._closed)
        parts: list[bytes] = []
        numbered: bool | None = None  # the last message
        self._writing_counted = 0
        for block, key in zip(blocks, keys, strict=True):
            parts += (block.data, END if key is None else _mark_of(key, self._epoch))
            if block.channel is not None:
                self._writing_counted += len(block.data)
            if block.key is not None:
                numbered = key is not None
                self._unmarked = self._unmarked or not numbered
        if self._ping_due:
            self._ping_due = False
            self._unmarked = True
            if not parts:
                parts.append(_PING)
        id = self._id_behind(blocks, numbered, position)
        if self.closing and blocks and not self.queue:  # the last one marks the opening
            parts[-1] = self._last if id is None or self._last is not END else mark(id)
        elif id is not None:
            parts.append(mark(id))
        return b"".join(parts)

    def _id_behind(self, blocks: Sequence[Frame], numbered: bool | None, position: str | None) -> str | None:
        """The id that the ``blocks`` are to be followed by, if there is a new one.

        ``numbered``: whether the last message has an id of its own; None: there is no message.
        """
        if position is not None and not self.queue:
            if not self._unmarked:
                return None
            self._unmarked = False
            id: str | None = self._progress.reach(position)
        elif blocks and (numbered is False or not self._progress.even):
            self._progress.advance(blocks, self.queue, self._closed or self._write_state())
            # While nothing but answers is put in, the client's last id is as good, and much shorter.
            if numbered is None and not self.closing and self._progress.resuming:
                return None
            id = self._progress.id
        else:
            return None
        if id == self._marked:
            return None
        self._marked = id
        return id

    def _write_state(self) -> WriteState:
        position, synced = self.client.synced
        return WriteState(parse_position(position), synced, self.client.refused)

    # Watching for dead peers.

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end()
        self._wake()

    def _ping(self) -> None:
        self._later("ping", self._limits.ping_interval, self._ping)
        if not self.closing:
            self._ping_due = True
            self._wake()

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _drop(self) -> None:
        """Abort the stream: the client does not read."""
        if self._transport is not None:
            self._transport.abort()

    def _later(self, name: str, delay: float, work: Callable[..., None], *arguments: object) -> None:
        if (before := self._timers.get(name)) is not None:
            before.cancel()
        self._timers[name] = self._loop.call_later(delay, work, *arguments)


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


@lru_cache(maxsize=1024)
def _mark_of(key: Key, epoch: str) -> bytes:
    return mark(str(StreamPosition(format_position(*key), epoch)))
