"""What the stream driver needs of the feed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from engine.lsn import Lsn
from engine.transaction import FeedEvent

__all__ = ["ChangeFeed"]


class ChangeFeed(Protocol):
    """What is needed of :class:`engine.feed.feed.Feed`."""

    def __aiter__(self) -> AsyncIterator[FeedEvent]:
        """The events, in order."""
        ...

    @property
    def received(self) -> Lsn:
        """How far the stream has come."""
        ...

    @property
    def confirmed(self) -> Lsn:
        """What the slot may advance to; at first and after a discontinuity where it begins."""
        ...

    def confirm(self, position: Lsn) -> None:
        """Everything before ``position`` is done with."""
        ...

    def saw(self, position: Lsn, timeline: int) -> None:
        """A snapshot was read that may show commits up to ``position`` of ``timeline``. Raises ``OtherServerError``."""
        ...

    def doubt(self) -> None:
        """Another connection to the server has died without a word."""
        ...

    def on_reconnect(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when the server was reached again, before an event comes from there."""
        ...
