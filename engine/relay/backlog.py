"""The events that some worker has not been sent yet, and some before them for workers that come back. Plain state, no I/O.

The log is one for all workers; each has a :class:`Cursor` in it. What all cursors have passed stays while there is room, so
that a worker whose connection broke can resume. What a cursor has before it is never dropped: where that alone fills the log
it is
*full*, and nothing may be added.

Positions chain the events: each has the position of the event before it. A cursor stands at the beginning of an event, or in
the middle of a large transaction that is being sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.lsn import Lsn

__all__ = ["Backlog", "Cursor"]


@dataclass(frozen=True, slots=True)
class _Entry:
    data: bytes
    previous: Lsn  # the position before the event
    first: bool  # the event begins with it


@dataclass(slots=True, eq=False)
class Cursor:
    """A place in the log. ``next``: the number of the entry that is sent next; ``skips``: not before an event begins."""

    next: int
    skips: bool = False


class Backlog:
    """Entries in order, bounded by ``limit`` bytes.

    Attributes:
        position: the end of the last event, of which the last part may still be missing.
        generation: of the stream. Positions of another generation mean nothing.
    """

    def __init__(self, limit: int, position: Lsn, generation: int) -> None:
        self.position = position
        self.generation = generation
        self._limit = limit
        self._entries: dict[int, _Entry] = {}  # by number
        self._first = self._next = 0  # the numbers of the first entry and of the one to come
        self._bytes = 0
        self._cursors: set[Cursor] = set()
        self._passed = position  # the end of the last event that is complete
        self._whole = True  # the last event is complete
        self._floor = 0  # the number of the generation's first entry

    @property
    def full(self) -> bool:
        """Nothing may be added now: what the slowest cursor has before it fills the log."""
        return self._bytes >= self._limit

    def __len__(self) -> int:
        """The bytes of all entries."""
        return self._bytes

    def waits(self, cursor: Cursor) -> bool:
        """Everything was sent to ``cursor``."""
        return cursor.next == self._next

    @property
    def slowest(self) -> Cursor | None:
        """The cursor with the most before it."""
        return min(self._cursors, key=lambda cursor: cursor.next, default=None)

    # -- what the stream brings ------------------------------------------------------------------------------------

    def add(self, data: bytes, position: Lsn, *, last: bool = True) -> None:
        """Add an event that ends at ``position``, or a part of one (``last``: the last one)."""
        self._entries[self._next] = _Entry(data, self._passed, self._whole)
        self._next += 1
        self._bytes += len(data)
        self._whole = last
        self.position = position
        if last:
            self._passed = position
        self._trim()

    def begin_generation(self, generation: int, position: Lsn) -> None:
        """The last event was a break, behind which the stream goes on at ``position``."""
        self.generation, self.position, self._passed = generation, position, position
        self._floor = self._next

    # -- cursors ---------------------------------------------------------------------------------------------------

    def join(self) -> tuple[Cursor, Lsn]:
        """A cursor behind the last event, and the position from which it has every event."""
        cursor = Cursor(self._next, skips=not self._whole)
        self._cursors.add(cursor)
        return cursor, self.position

    def resume(self, position: Lsn) -> tuple[Cursor, Lsn] | None:
        """A cursor that has every event after ``position``, and the position from which it really has them, which is not
        above; None if some were dropped already.
        """
        number = self._next if self._whole else None
        previous = self._passed
        if number is None or previous > position:
            found = self._covering(position)
            if found is None:
                return None
            number, previous = found
        cursor = Cursor(number)
        self._cursors.add(cursor)
        return cursor, previous

    def _covering(self, position: Lsn) -> tuple[int, Lsn] | None:
        for number in range(self._next - 1, max(self._first, self._floor) - 1, -1):
            entry = self._entries[number]
            if entry.first and entry.previous <= position:
                return number, entry.previous
        return None

    def leave(self, cursor: Cursor) -> None:
        """``cursor`` is not used any more."""
        self._cursors.discard(cursor)
        self._trim()

    def take(self, cursor: Cursor, limit: int) -> list[bytes]:
        """What is sent next, about ``limit`` bytes; empty if there is nothing."""
        taken, size = [], 0
        for entry in self._ahead(cursor):
            taken.append(entry.data)
            size += len(entry.data)
            if size >= limit:
                break
        self._trim()
        return taken

    def _ahead(self, cursor: Cursor) -> Iterator[_Entry]:
        while cursor.next < self._next:
            entry = self._entries[cursor.next]
            cursor.next += 1
            cursor.skips = cursor.skips and not entry.first
            if not cursor.skips:
                yield entry

    def _trim(self) -> None:
        """Drop what all cursors have passed until there is room."""
        if self._bytes < self._limit:
            return
        slowest = self.slowest
        end = self._next if slowest is None else slowest.next
        while self._first < end and self._bytes >= self._limit:
            self._bytes -= len(self._entries.pop(self._first).data)
            self._first += 1
