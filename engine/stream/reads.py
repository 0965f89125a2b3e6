"""Snapshot reads under way, and from when on a snapshot decides what is no longer needed.

The transaction tail and the unrecorded messages each keep what a snapshot might not show. Both may drop what a snapshot has
shown only once no read is under way that began before that snapshot was known: such a read can have an older snapshot.
Reads are numbered as they begin, so these are the reads with a lower number.
"""

from __future__ import annotations

from collections import deque

from engine.postgres.snapshot import Snapshot

__all__ = ["SnapshotReads"]


class SnapshotReads:
    """Plain state, no I/O; thousands of reads may be under way. ``upcoming`` is the number of the next read."""

    def __init__(self) -> None:
        self.upcoming = 0
        self._trusted = 0  # the number of the first read whose snapshot counts
        self._running: set[int] = set()
        self._begun: deque[int] = deque()  # those that run and some that have ended, in order; the first one runs
        # The reads below the first number end first; the read; its snapshot. First numbers grow.
        self._waiting: deque[tuple[int, int, Snapshot]] = deque()

    def begin(self) -> int:
        """A read is about to take its snapshot. Returns its number."""
        number = self.upcoming
        self.upcoming += 1
        self._running.add(number)
        self._begun.append(number)
        return number

    def distrust(self) -> None:
        """Snapshots up to now may have shown commits that were lost: only those of later reads count."""
        self._trusted = self.upcoming
        self._waiting.clear()

    def end(self, number: int, snapshot: Snapshot | None) -> list[tuple[int, Snapshot]]:
        """The read has been joined to the stream; ``snapshot`` is None if it failed.

        Returns the snapshots, each with the number of its read, that decide from now on.
        """
        self._running.discard(number)
        if snapshot is not None and number >= self._trusted:
            self._waiting.append((self.upcoming, number, snapshot))
        while self._begun and self._begun[0] not in self._running:
            self._begun.popleft()
        oldest = self._begun[0] if self._begun else self.upcoming
        decisive: list[tuple[int, Snapshot]] = []
        while self._waiting and self._waiting[0][0] <= oldest:
            _, read, seen = self._waiting.popleft()
            decisive.append((read, seen))
        return decisive
