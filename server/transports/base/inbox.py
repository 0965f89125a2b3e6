"""The messages of a client without a socket: batches of messages, each carried out once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode

__all__ = ["Inbox", "Receiver"]

_MAX_BATCHES = 8


class Receiver(Protocol):
    """Where the messages go."""

    async def room(self) -> bool:
        """Wait until the client's next message can be taken; False: the session ends, and none is taken any more."""
        ...

    def receive(self, message: bytes) -> None:
        """The client sent a message."""


class Inbox:
    """The batches of one session. ``accept`` first, at once; then ``carry_out``, which may have to wait."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._last = 0
        self._batches = 0

    def accept(self, number: int | None) -> bool:
        """Whether the batch of this number is to be carried out; False: it was accepted before.

        ``number``: None if the client does not count its batches. Raises ``ProblemError`` if one before it is missing,
        or too many wait already.
        """
        if number is not None and number <= self._last:
            return False
        if number is not None and number != self._last + 1:
            text = f"seq is {number}, but the last batch that came was {self._last}"
            raise ProblemError(ErrorCode.INVALID_MESSAGE, text, HTTPStatus.CONFLICT)
        if self._batches >= _MAX_BATCHES:
            raise ProblemError(ErrorCode.RATE_LIMITED, f"{self._batches} batches are waiting already", retry_after=1)
        self._last = number or self._last
        self._batches += 1
        return True

    async def carry_out(self, connection: Receiver, messages: Sequence[bytes]) -> bool:
        """Have ``connection``, whose inbox this is, carry out an accepted batch after the batches before it; waits while
        reading from the client is paused.

        False: the session ended before the batch was done.
        """
        try:
            async with self._lock:
                for message in messages:
                    if not await connection.room():
                        return False
                    connection.receive(message)
        finally:
            self._batches -= 1
        return True
