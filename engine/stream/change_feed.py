"""The interface of the feed, as the stream driver uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from engine.feed.table_interest import TableInterest
from engine.lsn import Lsn
from engine.transaction import FeedEvent, Transaction

__all__ = ["ChangeFeed"]


class ChangeFeed(Protocol):
    """The part of :class:`engine.feed.feed.Feed` that the stream driver uses."""

    def __aiter__(self) -> AsyncIterator[FeedEvent]:
        """The events, in order."""
        ...

    @property
    def waiting(self) -> int:
        """How many events are here that were not asked for yet."""
        ...

    def take(self, wanted: Callable[[Transaction], bool]) -> Transaction | None:
        """The next event, if it is here and a ``wanted`` transaction; None: ask for the next one."""
        ...

    @property
    def leads_recording(self) -> bool:
        """Whether where messages committed is to be recorded here at once. Of those that follow one slot one does; the
        others record what it leaves.
        """
        ...

    @property
    def reports_recorded(self) -> bool:
        """Whether another process records for this one, and ``Progress.recorded`` shows how far it is."""
        ...

    def request_recording(self) -> None:
        """What committed until now is waited for: have that other process record it at once."""
        ...

    def commit_of(self, xid: int) -> Lsn | None:
        """Where the transaction committed that has this 64-bit id, if it was delivered elsewhere and this feed may not bring
        it; None: not known.
        """
        ...

    @property
    def interest(self) -> TableInterest:
        """Consumers hold there the tables that they look at; transactions of others need not be brought."""
        ...

    def request_progress(self) -> None:
        """A position is waited for: bring ``Progress`` soon, also where nothing that is brought has happened."""
        ...

    @property
    def received(self) -> Lsn:
        """The server has sent everything that committed before this position."""
        ...

    @property
    def confirmed(self) -> Lsn:
        """The position the slot may advance to; at first and after a discontinuity the slot's start."""
        ...

    def confirm(self, position: Lsn) -> None:
        """The consumers need nothing before ``position`` any more."""
        ...

    def saw(self, position: Lsn, timeline: int) -> None:
        """A snapshot that may show commits up to ``position`` of ``timeline`` was read. Raises ``OtherServerError``."""
        ...

    def doubt(self) -> None:
        """Another connection to the server was found dead, without an error from the server."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each reconnect to the server, before the first event of the new stream."""
        ...
