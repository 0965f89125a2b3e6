"""Long polling: messages wait, numbered, until a request fetches them and a later one acknowledges them.

The cursor is the number of the last message that an answer holds. A request acknowledges all up to its cursor and gets the
messages after it, so a lost answer is sent again and no message is delivered twice. One request waits at a time. Until a
message has been given its number, those of higher priority can overtake it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus

from server.client.admission import Admission
from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.transports.base.http_connection import HttpConnection, SessionStore

__all__ = ["PollConnection"]

_MAX_BYTES = 256 * 1024


class PollConnection(HttpConnection):
    """A client that fetches its messages. ``timeout``: seconds without a request until its session is closed."""

    def __init__(self, secret: str, admission: Admission, store: SessionStore, timeout: float) -> None:
        super().__init__(secret, admission, admission.services.wires.plain, store)
        self._timeout = timeout
        self._given: deque[bytes] = deque()  # their size is ``_unconfirmed``
        self._acknowledged = 0
        self._sent = 0
        self._poll = 0
        self._waiter: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def finished(self) -> bool:
        """True when the client has acknowledged the last message."""
        return self.closing and not self._given and not self.queue

    async def wait(self, cursor: int, timeout: float) -> tuple[int, list[bytes]]:
        """Answer a request: the new cursor and the messages; none after ``timeout`` seconds, or if a later request comes.

        Raises ``ProblemError`` for a cursor that no answer had. When cancelled, no message counts as sent.
        """
        if cursor > self._sent:
            raise ProblemError(
                ErrorCode.INVALID_MESSAGE, f"cursor {cursor} was never given; the last one was {self._sent}"
            )
        if cursor < self._acknowledged:
            return cursor, []  # overtaken by its successor
        self._acknowledge(cursor)
        if self.finished:
            self.end()
            raise ProblemError(
                ErrorCode.CONNECTION_FAILED, "the session has ended; open a new one", HTTPStatus.NOT_FOUND
            )
        self._poll += 1
        poll = self._poll
        self._wake()
        try:
            if not self._given and not self.queue and not self.closing and timeout > 0:
                await self._pause(timeout)
            return self._batch() if poll == self._poll else (cursor, [])
        finally:
            if poll == self._poll:
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
            self._unconfirmed -= len(self._given.popleft())
            self._acknowledged += 1
        self._taken()

    def _batch(self) -> tuple[int, list[bytes]]:
        """The unacknowledged messages, then the next ones, as far as there is room."""
        frames = self.queue.take(_MAX_BYTES - self._unconfirmed, at_least=0 if self._given else 1)
        self._given.extend([frame.data for frame in frames])
        self._unconfirmed += sum([len(frame.data) for frame in frames])
        self._wrote(frames, self._unconfirmed)
        self._sent = self._acknowledged + len(self._given)
        return self._sent, list(self._given)

    def _expect(self) -> None:
        """No request waits; the next one must arrive in time."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later(self._timeout, self.end)

    def end(self) -> None:
        """See the base."""
        if self._expiry is not None:
            self._expiry.cancel()
        super().end()
        self._wake()

    def _schedule(self) -> None:
        self._wake()

    def _close(self) -> None:
        # The messages stay until they are fetched or the time for that is up.
        self._loop.call_soon(self.release)


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
