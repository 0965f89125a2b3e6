"""The latest events of one live query, from which a subscriber resumes after it lost its connection.

The state of a subscriber is named by the position of the last event it applied. A position alone does not identify a state:
rows that were read can include commits ahead of the position they are delivered with, so two servers (or two reads) may
deliver different lists with the same position. So a position is valid only together with the *epoch*, the identifier of this
log; and if two states were delivered with the same position, neither can be resumed from.

Under policies a subscriber that was away is not sent what it may not see any more: if a document came or changed and left
again meanwhile, the events would show it, so they count as unknown, and the subscriber is sent the list.

A log begins with its first state. A position below that one's is of another epoch, even if a subscriber names it together
with the epoch of this log.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass

from engine.live.core.document_changes import REMOVED, WindowEvent
from engine.lsn import Lsn

__all__ = ["Resume", "ResumeLog"]

_MAX_EVENTS = 64
_MAX_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Resume:
    """The state a subscriber resumes from: the position of the last event it applied, and the epoch of its subscription."""

    position: Lsn
    epoch: str


class ResumeLog:
    """The latest events of one query, at most 64 of them with 32 KiB of documents.

    Invariant: the events after a state that :meth:`since` accepts, applied in order to the list of that state, give the
    current list.
    """

    __slots__ = ("_bytes", "_delivered", "_doubtful", "_events", "_floor", "_policed", "epoch")

    def __init__(self, *, policed: bool = False) -> None:
        """``policed``: policies decide which documents the subscribers may see."""
        self._policed = policed
        self.epoch = secrets.token_hex(8)
        self._events: deque[WindowEvent] = deque()
        self._doubtful: set[WindowEvent] | None = None  # whose position names the state before, too; few
        self._bytes = 0
        self._floor: Lsn = 0  # the earliest position that can be resumed from; at first that of the first state
        self._delivered: Lsn = -1  # the last position that a state was delivered with

    @property
    def weight(self) -> int:
        """Bytes of the documents in the events."""
        return self._bytes

    def delivered(self, position: Lsn) -> None:
        """The current list was delivered with ``position``."""
        if self._delivered < 0:
            self._floor = position
        self._delivered = max(self._delivered, position)

    def add(self, event: WindowEvent) -> None:
        """Add the event of a change of the list."""
        position, events = event.position, self._events
        if position > self._delivered:
            if self._delivered < 0:
                self._floor = position
            self._delivered = position
        else:
            self._doubt(event)
        events.append(event)
        size = self._bytes + event.size
        while size > _MAX_BYTES or len(events) > _MAX_EVENTS:
            oldest = events.popleft()
            size -= oldest.size
            self._floor = oldest.position
            if self._doubtful is not None and oldest in self._doubtful:
                self._doubtful.discard(oldest)
                self._floor += 1
        self._bytes = size

    def _doubt(self, event: WindowEvent) -> None:
        if self._doubtful is None:
            self._doubtful = set()
        self._doubtful.add(event)

    def since(self, resume: Resume) -> list[WindowEvent] | None:
        """The events after the state that ``resume`` names; None if they are unknown."""
        position = resume.position
        if resume.epoch != self.epoch or not self._floor <= position <= self._delivered:
            return None
        if self._doubtful and any(event.position == position for event in self._doubtful):
            return None
        missed = [event.again() for event in self._events if event.position > position]
        return None if self._policed and _withdraws(missed) else missed


def _withdraws(events: list[WindowEvent]) -> bool:
    """Whether the events show a document that is not in the list at their end."""
    shown: set[str] = set()
    for event in events:
        for change in event.changes:
            if change.type != REMOVED:
                shown.add(change.id)
            elif change.id in shown:
                return True
    return False
