"""Messages that a client sends before it is authenticated, kept within a bound."""

from __future__ import annotations

from server.transports.websocket.assembler import Message

__all__ = ["EarlyMessages"]

_MESSAGE = 200  # bytes that a message takes besides its text


class EarlyMessages:
    """Messages and when they arrived. ``full``: reading is to be paused. ``size`` and ``bound`` in bytes."""

    __slots__ = ("_bound", "_messages", "size")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._messages: list[tuple[Message, float]] = []
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether there are more than ``bound`` bytes; the last message may have gone beyond."""
        return self.size > self._bound

    def add(self, message: Message, arrived: float) -> None:
        """One more."""
        self._messages.append((message, arrived))
        self.size += len(message.data) + _MESSAGE

    def take(self) -> list[tuple[Message, float]]:
        """All of them; none is kept."""
        messages, self._messages, self.size = self._messages, [], 0
        return messages
