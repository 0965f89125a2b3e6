"""What lets a subscriber that lost its connection go on with the difference: the latest events of one live query.

A subscriber is in the state it was last told of, named by that event's position. Positions do not name states by
themselves: rows that were read can show commits a moment ahead of the position they are told with, so two servers (or two
readings) may tell different lists with the same position. So a position only counts together with the *epoch*, the name
of this log; and of two states told with the same position neither can be resumed from.

A log begins with its first state. A position below that one's is of another epoch, even if a subscriber names it together
with the epoch of this log.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass

from engine.live.core.diff import WindowEvent
from engine.lsn import Lsn

__all__ = ["Resume", "ResumeLog"]

_MOST_EVENTS = 64
_MOST_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a subscriber wants to go on: the position of the last event it applied, and the epoch it was told."""

    position: Lsn
    epoch: str


class ResumeLog:
    """The latest events of one query, at most 64 of them with 32 KiB of documents.

    Invariant: the events after a state that :meth:`since` accepts, applied in order to the list of that state, give the
    current list.
    """

    __slots__ = ("_bytes", "_entries", "_floor", "_told", "epoch")

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        self._entries: deque[tuple[WindowEvent, bool]] = (
            deque()
        )  # with: does its position name the state before it, too?
        self._bytes = 0
        self._floor: Lsn = 0  # the earliest position that can be resumed from
        self._told: Lsn = -1

    @property
    def weight(self) -> int:
        """Bytes of the documents in the events."""
        return self._bytes

    def told(self, position: Lsn) -> None:
        """Somebody was told the current list with ``position``."""
        self._begin(position)
        self._told = max(self._told, position)

    def add(self, event: WindowEvent) -> None:
        """The list has changed."""
        self._begin(event.position)
        self._entries.append((event, event.position <= self._told))
        self._told = max(self._told, event.position)
        self._bytes += _size(event)
        while len(self._entries) > _MOST_EVENTS or self._bytes > _MOST_BYTES:
            gone, doubtful = self._entries.popleft()
            self._bytes -= _size(gone)
            self._floor = gone.position + 1 if doubtful else gone.position

    def _begin(self, position: Lsn) -> None:
        """``position`` is told with a state; none was told with one below the first."""
        if self._told < 0:
            self._floor = position

    def since(self, resume: Resume) -> list[WindowEvent] | None:
        """The events after the state that ``resume`` names; None if that cannot be told."""
        position = resume.position
        if resume.epoch != self.epoch or not self._floor <= position <= self._told:
            return None
        if any(doubtful and event.position == position for event, doubtful in self._entries):
            return None
        return [event.again() for event, _ in self._entries if event.position > position]


def _size(event: WindowEvent) -> int:
    return sum(len(change.doc) for change in event.changes)
