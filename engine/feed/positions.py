"""The positions of a feed: received, delivered, consumed, and confirmed, to which the slot advances. Plain state, no I/O.

A confirmation comes from :meth:`engine.stream.driver.StreamDriver.confirm`, which takes the minimum of all consumers;
:meth:`Positions.confirm` bounds and keeps it; ``engine/feed/streaming_session.py:StreamingSession._report`` sends it to the
server as a status update.

Invariant: ``confirmed <= handed_out <= delivered``, so the slot never advances beyond the consumer's confirmations. After a
discontinuity the positions restart at the new slot's, and confirmations of earlier events are ignored: while the consumer
has not taken as many such events as there were restarts, for several may wait in the buffer.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from engine.lsn import Lsn
from engine.transaction import Discontinuity, FeedEvent, Transaction

__all__ = ["Lag", "Positions"]


class Lag(NamedTuple):
    """How far the consumer is behind the server: bytes of WAL, and the age of the oldest commit it has not confirmed."""

    bytes: int
    seconds: float


class Positions:
    """The feed's bookkeeping.

    Attributes:
        received: the server has sent everything that committed before this.
        delivered: everything up to this is in the buffer, or past it; after a reconnect the stream is asked for from here.
        confirmed: the consumer has processed everything up to this, which the slot may advance to.
    """

    def __init__(self) -> None:
        self.received: Lsn = 0
        self.delivered: Lsn = 0
        self.confirmed: Lsn = 0
        self._handed_out: Lsn = 0
        self._starting_over = 0  # restarts whose event the consumer has not taken
        self._unconfirmed: deque[tuple[Lsn, int]] = deque()  # end and commit time of what waits for confirmation

    def start(self, position: Lsn) -> None:
        """A slot stands at ``position``, and nothing before it was delivered by it."""
        self.received = self.delivered = self.confirmed = self._handed_out = position
        self._unconfirmed.clear()

    def start_over(self, position: Lsn) -> None:
        """As :meth:`start`, after a discontinuity: confirmations are ignored until the consumer has taken its event."""
        self.start(position)
        self._starting_over += 1

    def deliver(self, end: Lsn, commit_time: int | None = None) -> None:
        """An event that ends at ``end`` was buffered; ``commit_time``: microseconds since 1970, None for a Progress."""
        self.delivered = max(self.delivered, end)
        self.received = max(self.received, end)
        if commit_time:
            self._unconfirmed.append((end, commit_time))

    def hand_out(self, event: FeedEvent) -> None:
        """The consumer takes ``event``."""
        if isinstance(event, Discontinuity):
            self._starting_over = max(0, self._starting_over - event.missing)
        elif not self._starting_over:
            end = event.end if isinstance(event, Transaction) else event.position
            self._handed_out = max(self._handed_out, end)

    def confirm(self, end: Lsn) -> bool:
        """The consumer has processed everything up to ``end``; returns whether ``confirmed`` has advanced."""
        end = min(end, self._handed_out)
        if self._starting_over or end <= self.confirmed:
            return False
        self.confirmed = end
        while self._unconfirmed and self._unconfirmed[0][0] <= end:
            self._unconfirmed.popleft()
        return True

    def lag(self) -> Lag:
        """The current lag behind the position that the server has reported."""
        oldest = self._unconfirmed[0][1] if self._unconfirmed else None
        seconds = 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e6)
        return Lag(max(0, self.received - self.confirmed), seconds)
