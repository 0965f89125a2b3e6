"""Long polling: messages wait, numbered, until a request fetches them and a later one says that they arrived.

The cursor is the number of the last message that an answer holds. A request acknowledges all up to its cursor and gets what
comes after, so an answer that was lost is simply given again, and nothing is doubled. One request waits at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus

from server.admission import Admission
from server.channels import ChannelEvent
from server.http_connection import HttpConnection, Keeper
from server.live import LiveEvent
from server.rest.problems import Problem

__all__ = ["PollConnection"]

_MOST_BYTES = 256 * 1024


class PollConnection(HttpConnection):
    """The sink of one client that asks for its messages. ``timeout``: seconds without a request until it counts as gone."""

    def __init__(self, secret: str, admission: Admission, keeper: Keeper, timeout: float) -> None:
        super().__init__(secret, admission, keeper)
        self._wire = admission.services.plain
        self._timeout = timeout
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._acknowledged = 0
        self._handed = 0
        self._turn = 0
        self._waiter: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The session is open: the first answer holds the greeting."""
        self.client.start()

    @property
    def finished(self) -> bool:
        """True when the client has been given the last message and has said so."""
        return self._closing and not self._messages

    async def wait(self, cursor: int, timeout: float) -> tuple[int, list[bytes]]:
        """Answer a request: the new cursor and the messages; none after ``timeout`` seconds, or if a later request comes.

        Raises ``Problem`` for a cursor that was never given. When cancelled, nothing counts as given.
        """
        if cursor > self._handed:
            raise Problem("RT_007", f"cursor {cursor} was never given; the last one was {self._handed}")
        if cursor < self._acknowledged:
            return cursor, []  # overtaken by its successor
        self._acknowledge(cursor)
        if self.finished:
            self.end()
            raise Problem("RT_001", "the session has ended; open a new one", HTTPStatus.NOT_FOUND)
        self._turn += 1
        turn = self._turn
        self._wake()
        try:
            if not self._messages and not self._closing and timeout > 0:
                await self._pause(timeout)
            return self._batch() if turn == self._turn else (cursor, [])
        finally:
            if turn == self._turn:
                self._expect()

    async def _pause(self, timeout: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout, _set, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None:
            _set(self._waiter)
            self._waiter = None

    def _acknowledge(self, cursor: int) -> None:
        while self._acknowledged < cursor:
            self._size -= len(self._messages.popleft())
            self._acknowledged += 1
        self._taken()

    def _batch(self) -> tuple[int, list[bytes]]:
        batch: list[bytes] = []
        size = 0
        for message in self._messages:
            size += len(message)
            if batch and size > _MOST_BYTES:
                break
            batch.append(message)
        cursor = self._acknowledged + len(batch)
        self._handed = max(self._handed, cursor)
        return cursor, batch

    def _expect(self) -> None:
        """No request waits; the next one must come in time."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later(self._timeout, self.end)

    def end(self) -> None:
        """See the base."""
        if self._expiry is not None:
            self._expiry.cancel()
        super().end()
        self._wake()

    # What a transport is.

    def _waiting(self) -> int:
        return self._size

    def _own(self, payload: bytes) -> None:
        self._add(self._wire.own(payload))

    def _live(self, head: bytes, event: LiveEvent) -> None:
        self._add(self._wire.events.frame(head, event))

    def _shared(self, event: ChannelEvent) -> None:
        self._add(self._wire.channels.frame(event))

    def _add(self, message: bytes) -> None:
        self._messages.append(message)
        self._size += len(message)
        self._wake()

    def _close(self) -> None:
        # The messages stay until they are fetched or the time for that is over.
        self._loop.call_soon(self.leave)


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
