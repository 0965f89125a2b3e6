"""Messages of a channel as an async iterator over a bounded buffer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableSet
from typing import Any, Generic, Literal, Self

from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.expected import expect_optional_text, expect_whole
from bunbase.protocol.model import Message
from bunbase.protocol.type_variables import T_co

__all__ = ["Messages"]


class Messages(Generic[T_co]):
    """See ``Channel.messages``. Collects from the moment it is made until ``close`` or the end of the channel.

    ``expects``: whether there is a subscription, or one is under way. Without one no message can come, and a loop would wait
    for ever, so that is the iterator's end, with an error.
    """

    def __init__(
        self,
        channel: str,
        readers: MutableSet[Messages[Any]],
        expects: Callable[[], bool],
        event: str | None,
        buffer: int,
        overflow: Literal["error", "drop-oldest"],
    ) -> None:
        if overflow not in ("error", "drop-oldest"):
            raise ValueError(f"overflow: {overflow!r}; known are error, drop-oldest")
        expect_optional_text("event", event)
        expect_whole("buffer", buffer, 1)
        self.dropped = 0
        self._channel = channel
        self._readers = readers
        self._expects = expects
        self._event = event
        self._buffer = buffer
        self._overflow = overflow
        self._waiting: deque[Message[T_co]] = deque()
        self._changed = asyncio.Event()
        self._over = False
        self._error: RealtimeError | None = None
        readers.add(self)

    def __repr__(self) -> str:
        of = "all events" if self._event is None else repr(self._event)
        return (
            f"<Messages of {of}, {len(self._waiting)} waiting, {self.dropped} dropped{', ended' if self._over else ''}>"
        )

    def take(self, message: Message) -> bool:
        """A message came. Returns whether it is one of these."""
        if self._event not in (None, message.event):
            return False
        if len(self._waiting) >= self._buffer:
            if self._overflow == "error":
                text = f"more than {self._buffer} messages waited for an iterator over them"
                self.end(RealtimeError(ErrorCode.CONNECTION_FAILED, text, message.channel))
                return True
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)
        self._changed.set()
        return True

    def end(self, error: RealtimeError | None) -> None:
        """The last message."""
        self._over, self._error = True, error
        self._readers.discard(self)
        self._changed.set()

    def close(self) -> None:
        """Collect no more."""
        self.end(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message[T_co]:
        while not self._waiting:
            if not self._over and not self._expects():
                self.end(RealtimeError(ErrorCode.NOT_FOUND, "subscribe to the channel first", self._channel))
            if self._over:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()
