"""Messages that are not answered yet, in the order of their sends.

The invariant: on every connection they are sent in that order, each once, beginning with the oldest unanswered one. As the
server stores a message's id once, sends over several connections still store every message once, in order.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError

__all__ = ["Entry", "SendQueue"]

Answer = dict[str, Any] | RealtimeError


@dataclass(eq=False, slots=True)
class Entry:
    """A message with its number; ``done`` is called once, with the ``ack`` or the error."""

    number: int
    message: dict[str, Any]
    done: Callable[[Answer], None]
    sent: bool = False


class SendQueue:
    """``limit``: how many messages may wait while there is no connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[int, Entry] = {}
        self._unsent: list[int] = []  # a heap
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, message: dict[str, Any], done: Callable[[Answer], None], *, online: bool) -> Entry:
        """Take a message; it is given its ``ref``. Raises ``RealtimeError`` (RT_001) if too many wait offline.

        Later changes of the application's objects are not sent.
        """
        if not online and len(self._entries) >= self._limit:
            text = f"not connected, and {self._limit} messages are waiting already"
            raise RealtimeError(ErrorCode.CONNECTION_FAILED, text, message.get("channel"))
        self._numbers += 1
        entry = Entry(self._numbers, {**copy.deepcopy(message), "ref": str(self._numbers)}, done)
        self._entries[entry.number] = entry
        heapq.heappush(self._unsent, entry.number)
        return entry

    def next(self) -> Entry | None:
        """The oldest message that this connection has not sent; it counts as sent from now on."""
        while self._unsent:
            entry = self._entries.get(heapq.heappop(self._unsent))
            if entry is not None:
                entry.sent = True
                return entry
        return None

    def answered(self, ref: str, answer: Answer) -> bool:
        """The server answered; False if it was no message of this queue."""
        entry = self._entries.pop(int(ref), None) if ref.isdecimal() else None
        if entry is None:
            return False
        entry.done(answer)
        return True

    def refused(self, ref: str) -> bool:
        """The server's rate limit was hit: the message is sent again, before those after it that wait."""
        entry = self._entries.get(int(ref)) if ref.isdecimal() else None
        if entry is None:
            return False
        self._again(entry)
        return True

    def restart(self) -> None:
        """Another connection: everything unanswered is sent again, oldest first."""
        for entry in self._entries.values():
            self._again(entry)

    def withdraw(self, entry: Entry) -> bool:
        """Drop an unsent message; False if it was sent, and may be stored."""
        if entry.sent:
            return False
        return self._entries.pop(entry.number, None) is not None

    def fail(self, error: RealtimeError) -> None:
        """Answer everything with ``error``."""
        entries = list(self._entries.values())
        self._entries.clear()
        self._unsent.clear()
        for entry in entries:
            entry.done(error)

    def _again(self, entry: Entry) -> None:
        if entry.sent:
            entry.sent = False
            heapq.heappush(self._unsent, entry.number)
