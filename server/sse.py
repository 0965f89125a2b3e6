"""Server-sent events: the stream is the session.

Ids are positions to resume from, and a client that comes back with one must not lose anything. So a block carries an id only
if every message up to that position, of every channel of the session, has been put into the stream before it: not while a
channel is being opened or replayed, and within a transaction only where no message with a smaller position follows.
At the end of a stream that was closed in the middle of a transaction, this transaction's messages have none either.
Blocks are gathered in an outbox, where those of higher priority can overtake others, until the writer takes some, which it
does between two transactions. The stream is written as plain ASGI: the ready-made libraries take one event at a time, encode
it per client, and do not say when the client has taken it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from engine.channels.model import format_position
from server.admission import Admission
from server.blocks import END, comment, mark, retry
from server.channel_client import DISCONNECTED
from server.channels import ChannelEvent
from server.http_connection import HttpConnection, Keeper
from server.live import LiveEvent
from server.outbox import Outbox

__all__ = ["GONE_ID", "SseConnection"]

GONE_ID: Final = "disconnected"
"""The id of the last block if the client shall not come back by itself."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_RETRY = retry(1.0)
_PING = comment("ping")
_MOST_BYTES: Final = 256 * 1024  # that are taken at once: nothing can overtake them any more
_SUBSCRIBED = b'{"type":"subscribed"'
_Key = tuple[int, int]
_Block = tuple[bytes, _Key | None]


class SseConnection(HttpConnection):
    """The sink of one client, over one streaming answer. ``epoch``: what the positions of its ids belong to."""

    def __init__(self, secret: str, admission: Admission, keeper: Keeper, epoch: str) -> None:
        super().__init__(secret, admission, keeper)
        self._wire = admission.services.blocks
        self._epoch = epoch
        self._outbox: Outbox[_Block] = Outbox()
        self._writing = 0
        self._woken = asyncio.Event()
        self._unmarked = False
        self._marked = b""
        self._ping_due = False
        self._last = END
        self._close_settled = self._close_alone = False
        self._gone = False
        self._transport: asyncio.Transport | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def run(self, scope: Scope, receive: Receive, send: Send, first: Sequence[bytes]) -> None:
        """Answer the request with the stream, until either side ends it. ``first``: messages the client sent with it."""
        self._transport = scope.get("state", {}).get("transport")
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send(_body(_RETRY))
            self._later("ping", self._limits.ping_interval, self._ping)
            self.client.start()
            for message in first:
                self.receive(message)
            await self._write(send)
        finally:
            for timer in self._timers.values():
                timer.cancel()
            watching.cancel()
            self.end()

    # What a transport is.

    def _waiting(self) -> int:
        return self._outbox.size + self._writing

    def _own(self, payload: bytes) -> None:
        self._add(None, 0, self._wire.own(payload), None)
        if payload.startswith(_SUBSCRIBED):
            self._unmarked = True

    def _live(self, head: bytes, event: LiveEvent) -> None:
        self._add(None, 0, self._wire.events.frame(head, event), None)

    def _shared(self, event: ChannelEvent) -> None:
        self._add(event.channel, event.priority, self._wire.channels.frame(event), event.key)

    def close(self, code: int, reason: str) -> None:
        """See the base."""
        if code == DISCONNECTED:
            self._last = mark(GONE_ID)
        if not self._closing:
            self._close_settled = self.client.settled is not None
            self._close_alone = self.client.channels == 1
        super().close(code, reason)

    def _close(self) -> None:
        self._wake()
        self._later("close", self._limits.close_timeout, self._drop)

    # Writing.

    def _add(self, channel: str | None, priority: int, block: bytes, key: _Key | None) -> None:
        self._outbox.add(channel, priority, (block, key), len(block))
        self._wake()

    def _wake(self) -> None:
        self._woken.set()

    async def _write(self, send: Send) -> None:
        while not self._gone:
            await self._woken.wait()
            self._woken.clear()
            data = self._take()
            if data:
                self._writing = len(data)
                self._watch_stall(self._unsent())
                await send(_body(data))
                await send(_body(b""))  # writes nothing, and returns when most of it has gone
                self._writing = 0
                self._timers["stall"].cancel()
                self._taken()
            if self._outbox:
                self._wake()
            elif self._closing:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    def _take(self) -> bytes:
        """What is next of what waits, with ids where there may be some."""
        blocks = self._outbox.take(_MOST_BYTES)
        position = None if self._closing else self.client.settled
        ends = [END] * len(blocks)
        if position is not None or (self._closing and self._close_settled):
            self._number(blocks, ends)
        else:
            self._unmarked = self._unmarked or any(key is not None for _, key in blocks)
        if self._closing and ends and not self._outbox:
            ends[-1] = self._last
        parts = [part for (block, _), end in zip(blocks, ends, strict=True) for part in (block, end)]
        if self._ping_due:
            self._ping_due = False
            self._unmarked = True
            if not parts:
                parts.append(_PING)
        if self._unmarked and position is not None and not self._outbox:
            self._unmarked = False
            marked = mark(self._id(position))
            if marked != self._marked:
                self._marked = marked
                parts.append(marked)
        return b"".join(parts)

    def _number(self, blocks: Sequence[_Block], ends: list[bytes]) -> None:
        """Give an id to each message after which none with a smaller or the same position follows."""
        later = [key for _, key in self._outbox if key is not None]
        least = min(later, default=None)
        if self._closing and not self._close_alone:  # the rest of the last transaction is missing
            last = max((key[0] for _, key in blocks if key is not None), default=0), 0
            least = last if least is None else min(least, last)
        for place in range(len(blocks) - 1, -1, -1):
            key = blocks[place][1]
            if key is None:
                continue
            if least is None or key < least:
                least = key
                ends[place] = _mark_of(key, self._epoch)
            else:
                self._unmarked = True

    def _id(self, position: str) -> str:
        return f"{position};{self._epoch}" if self._epoch else position

    # Watching for dead peers.

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._wake()

    def _ping(self) -> None:
        self._later("ping", self._limits.ping_interval, self._ping)
        if not self._closing:
            self._ping_due = True
            self._wake()

    def _watch_stall(self, before: int) -> None:
        self._later("stall", self._limits.stall_timeout, self._check_stall, before)

    def _check_stall(self, before: int) -> None:
        left = self._unsent()
        if before and left >= before:
            self._drop()
        else:
            self._watch_stall(left)

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _drop(self) -> None:
        """End the stream without ceremony: the other side takes nothing."""
        if self._transport is not None:
            self._transport.abort()

    def _later(self, name: str, delay: float, work: Callable[..., None], *arguments: object) -> None:
        if (before := self._timers.get(name)) is not None:
            before.cancel()
        self._timers[name] = self._loop.call_later(delay, work, *arguments)


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


@lru_cache(maxsize=1024)
def _mark_of(key: _Key, epoch: str) -> bytes:
    position = format_position(*key)
    return mark(f"{position};{epoch}" if epoch else position)
